/** The balancer of a scenario's mode. */
import type { Balancer } from '../../pref/balancers/balancer.ts';
import { conservative } from '../../pref/balancers/conservative.ts';
import { equal } from '../../pref/balancers/equal.ts';
import { loss } from '../../pref/balancers/loss.ts';
import { mixed } from '../../pref/balancers/mixed.ts';
import type { Betas, Mode } from './scenario.ts';

/**
 * The balancer that the daemon would have with that strategy and those weights.
 *
 * @throws PreflexError for weights outside 0..1, or that do not sum to 1
 */
export function balancerOf(mode: Mode, betas: Betas): Balancer {
  switch (mode) {
    case 'equal':
      return equal();
    case 'conservative':
      return conservative(betas.equal);
    case 'loss':
      return loss(betas.equal);
    case 'mixed':
      return mixed({ betaE: betas.equal, betaC: betas.conservative, betaL: betas.loss });
  }
}
