/** Poisson numbers: how many packets are lost, how many flows arrive. */
import type { RandomStream } from '../random.ts';

/** From this mean on the normal distribution is near enough: it is off by less than 1 % of the deviation there. */
const NORMAL_FROM = 200;

/**
 * A Poisson number with that mean, 0 or more.
 *
 * @see Knuth, The Art of Computer Programming vol. 2, section 3.4.1; Box and Muller 1958 for large means
 */
export function poisson(mean: number, random: RandomStream): number {
  if (mean <= 0) return 0;
  if (mean >= NORMAL_FROM) {
    const radius = Math.sqrt(-2 * Math.log1p(-random.uniform()));
    const normal = radius * Math.cos(2 * Math.PI * random.uniform());
    return Math.max(0, Math.round(mean + normal * Math.sqrt(mean)));
  }
  const limit = Math.exp(-mean);
  let count = 0;
  for (let product = random.uniform(); product > limit; product *= random.uniform()) count++;
  return count;
}
