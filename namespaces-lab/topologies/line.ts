/**
 * Topology `line`: two hosts and an emulated link between them.
 *
 *      host ============ link ============ far
 *      10.72.1.1                     10.72.1.2
 *      fd72:1::1   l0           l0   fd72:1::2
 *
 * The link's devices are those of the hosts: nothing but the link stands between them.
 */
import { addAddress } from '../../lib/netns/addresses.ts';
import type { LabScope } from '../../lib/netns/lab-scope.ts';
import type { LabLink, LabLinkOptions } from '../links/lab-link.ts';
import { openLabLink } from '../links/lab-link.ts';

/** Addresses and device of the topology. */
export const LINE = {
  device: 'l0',
  hostAddress: '10.72.1.1',
  hostAddress6: 'fd72:1::1',
  farAddress: '10.72.1.2',
  farAddress6: 'fd72:1::2',
} as const;

/** A running line. */
export interface LineTopology {
  readonly host: string;
  readonly far: string;
  readonly link: LabLink;
}

/** Builds the topology; everything in it is undone when `scope` closes. */
export function buildLine(scope: LabScope, link: LabLinkOptions): LineTopology {
  const host = scope.namespace('host');
  const far = scope.namespace('far');
  const lab = openLabLink(scope, { netns: host, name: LINE.device }, { netns: far, name: LINE.device }, link);
  addAddress(LINE.device, `${LINE.hostAddress}/24`, { netns: host });
  addAddress(LINE.device, `${LINE.hostAddress6}/64`, { netns: host });
  addAddress(LINE.device, `${LINE.farAddress}/24`, { netns: far });
  addAddress(LINE.device, `${LINE.farAddress6}/64`, { netns: far });
  return { host, far, link: lab };
}
