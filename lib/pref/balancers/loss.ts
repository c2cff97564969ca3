/** The strategy that equalises the loss ratios of the routes: the paper's aggressive balancer. */

import { requireNumber } from '../../errors.ts';
import type { Balancer } from './balancer.ts';
import { mixed } from './mixed.ts';

/**
 * Balances losses, but for the part beta_E that is spread evenly.
 *
 * @param betaE - 0..1, default 0.1, the paper's value. At 0 a route that had no traffic in one interval never
 *   has any again.
 */
export function loss(betaE = 0.1): Balancer {
  requireNumber('betaE', betaE, 0, 1);
  return { ...mixed({ betaE, betaC: 0, betaL: 1 - betaE }), name: 'loss' };
}
