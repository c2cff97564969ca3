/** The strategies by name, as configurations, scenarios and commands choose them, and their weights. */
import type { Balancer } from './balancer.ts';
import { conservative } from './conservative.ts';
import { equal } from './equal.ts';
import { loss } from './loss.ts';
import { mixed } from './mixed.ts';
import { selfTuning } from './self-tuning.ts';

/** Names of the strategies. */
export const STRATEGIES = ['equal', 'conservative', 'loss', 'mixed', 'self-tuning'] as const;
/** Name of a strategy. */
export type Strategy = (typeof STRATEGIES)[number];

/** Weights of the paper's equation 3; their sum is 1. */
export interface Betas {
  readonly equal: number;
  readonly conservative: number;
  readonly loss: number;
}

/**
 * The weights of each strategy unless others are given. `mixed` is this project's choice, `self-tuning` begins with
 * what is here; the others are the paper's.
 */
export const BETAS: Readonly<Record<Strategy, Betas>> = {
  equal: { equal: 1, conservative: 0, loss: 0 },
  conservative: { equal: 0.1, conservative: 0.9, loss: 0 },
  loss: { equal: 0.1, conservative: 0, loss: 0.9 },
  mixed: { equal: 0.1, conservative: 0.3, loss: 0.6 },
  'self-tuning': { equal: 0.1, conservative: 0, loss: 0.9 },
};

/**
 * The balancer of a strategy.
 *
 * @throws PreflexError for weights outside 0..1, or that do not sum to 1
 */
export function balancerOf(strategy: Strategy, betas: Betas = BETAS[strategy]): Balancer {
  switch (strategy) {
    case 'equal':
      return equal();
    case 'conservative':
      return conservative(betas.equal);
    case 'loss':
      return loss(betas.equal);
    case 'mixed':
      return mixed({ betaE: betas.equal, betaC: betas.conservative, betaL: betas.loss });
    case 'self-tuning':
      return selfTuning();
  }
}
