/**
 * Topology `pair`: two hosts on one veth pair, the fastest network there is between namespaces.
 *
 *      host ------------------------ far
 *      10.73.1.1                10.73.1.2
 *      v0                              v0
 */
import type { LabScope } from '../../lib/netns/lab-scope.ts';
import { wire } from './wiring.ts';

/** Addresses and device of the topology. */
export const PAIR = { device: 'v0', hostAddress: '10.73.1.1', farAddress: '10.73.1.2' } as const;

/** A running pair. */
export interface PairTopology {
  readonly host: string;
  readonly far: string;
}

/**
 * Builds the topology; everything in it is undone when `scope` closes.
 *
 * @param suffix - of the namespaces' roles, for one beside another
 */
export function buildPair(scope: LabScope, suffix = ''): PairTopology {
  const host = scope.namespace(`host${suffix}`);
  const far = scope.namespace(`far${suffix}`);
  wire(
    { netns: host, name: PAIR.device, addresses: [`${PAIR.hostAddress}/24`] },
    { netns: far, name: PAIR.device, addresses: [`${PAIR.farAddress}/24`] },
  );
  return { host, far };
}
