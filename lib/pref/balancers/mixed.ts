/** The paper's balancer: a mix of the equal, the conservative and the loss-driven split. */

import { invalidOption, rejectUnknownKeys, requireNumber } from '../../errors.ts';
import type { Balancer } from './balancer.ts';
import { DEFAULT_SHRINK_BYTES, equalShare, mixShares, sumOf } from './splits.ts';

/** The parameters of equation 3. The betas sum to 1. */
export interface MixedOptions {
  /** Part spread evenly, 0..1. It is what probes routes without traffic. */
  readonly betaE: number;
  /** Part that stays where it is, 0..1. */
  readonly betaC: number;
  /** Part that equalises losses, 0..1. */
  readonly betaL: number;
  /** k: how many bytes at the pooled loss ratio each route is credited with. Above 0; default 150,000. */
  readonly shrinkBytes?: number;
}

const OPTION_NAMES = ['betaE', 'betaC', 'betaL', 'shrinkBytes'];
/** How far the sum of the betas may be from 1: rounding of decimal fractions, nothing more. */
const BETA_TOLERANCE = 1e-9;

/**
 * f'_i = beta_E f(E)_i + beta_C f(C)_i + beta_L f(L)_i. Each split sums to 1, so the ratios do.
 *
 * @throws PreflexError ERR_INVALID_OPTION for a beta outside 0..1 or betas that do not sum to 1
 * @see paper eq. 1 and 3
 */
export function mixed(options: MixedOptions): Balancer {
  rejectUnknownKeys('balancer', options, OPTION_NAMES);
  const sum =
    requireNumber('betaE', options.betaE, 0, 1) +
    requireNumber('betaC', options.betaC, 0, 1) +
    requireNumber('betaL', options.betaL, 0, 1);
  if (Math.abs(sum - 1) > BETA_TOLERANCE) throw invalidOption('betaE + betaC + betaL', sum, 'a sum of 1');
  const shrinkBytes = requireNumber('shrinkBytes', options.shrinkBytes ?? DEFAULT_SHRINK_BYTES, 1, 1e12);
  const mix = {
    betaE: options.betaE / sum,
    betaC: options.betaC / sum,
    betaL: options.betaL / sum,
    shrinkBytes,
  };
  return {
    name: 'mixed',
    probeShare: (routeCount) => mix.betaE * equalShare(routeCount),
    mix: () => mix,
    balance(count, bytes, lostBytes, ratios, next) {
      if (sumOf(bytes, count) > 0) mixShares(mix, count, bytes, lostBytes, next);
      else for (let i = 0; i < count; i++) next[i] = ratios[i];
    },
  };
}
