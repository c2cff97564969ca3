/** The strategy that gives every route the same part: what engineering by utilisation aims at. */

import { mixed } from './mixed.ts';
import type { Balancer } from './balancer.ts';

/** Every route takes the same part of the flowlets (beta_E = 1). */
export function equal(): Balancer {
  return { ...mixed({ betaE: 1, betaC: 0, betaL: 0 }), name: 'equal' };
}
