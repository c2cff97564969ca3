/** Loads between all domains of a generated network, all alike. */
import { invalidOption, requireInteger } from '../../errors.ts';
import type { GeneratedNetwork } from '../generate.ts';
import type { FluidLoad } from './loads.ts';

/**
 * Spreads closed-loop flows evenly: from the first host of each domain to one host in each prefix of each other domain.
 *
 * @param flows - how many at the same time, 1 to 1e8; what does not divide evenly goes to the first loads
 * @throws PreflexError when a prefix has no host
 */
export function evenLoads({ domains }: GeneratedNetwork, flows: number): FluidLoad[] {
  requireInteger('flows', flows, 1, 1e8);
  const pairs: { from: string; to: string }[] = [];
  // By distance between the domains, so that what is left over at the end is spread over all of them.
  for (let distance = 1; distance < domains.length; distance++) {
    for (const [d, { hosts }] of domains.entries()) {
      const other = domains[(d + distance) % domains.length];
      if (other.hosts.length < other.prefixes.length) {
        throw invalidOption('generate.hostsPerDomain', other.hosts.length, 'a host in each prefix');
      }
      for (let k = 0; k < other.prefixes.length; k++) pairs.push({ from: hosts[0], to: other.hosts[k] });
    }
  }
  const each = Math.floor(flows / pairs.length);
  const rest = flows % pairs.length;
  return pairs
    .map((pair, i) => ({ ...pair, concurrency: each + (i < rest ? 1 : 0) }))
    .filter(({ concurrency }) => concurrency > 0);
}
