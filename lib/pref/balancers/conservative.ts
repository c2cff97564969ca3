/** The strategy that keeps traffic where it is. */

import { requireNumber } from '../../errors.ts';
import type { Balancer } from './balancer.ts';
import { mixed } from './mixed.ts';

/**
 * Keeps the split of the last interval, but for the part beta_E that is spread evenly.
 *
 * @param betaE - 0..1, default 0.1. At 0 a route that had no traffic in one interval never has any again.
 */
export function conservative(betaE = 0.1): Balancer {
  requireNumber('betaE', betaE, 0, 1);
  return { ...mixed({ betaE, betaC: 1 - betaE, betaL: 0 }), name: 'conservative' };
}
