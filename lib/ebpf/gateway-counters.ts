/** From `struct pref_counters` of the gateway programs, one for each processor, to the counters of the gateway. Pure. */
import { GatewayCounters } from '../pref/reasons.ts';
import type { StructLayout } from './btf.ts';
import { StructView } from './btf.ts';
import { perCpuStride } from './object-spec.ts';

/** What the programs counted. */
export interface KernelGatewayCounters {
  readonly pref: GatewayCounters;
  /** Reports for the detector of failures that found no room: evidence that it never saw. */
  readonly reportsLost: number;
  /** Packets that the programs sent by their routes themselves. */
  readonly redirected: number;
}

/**
 * Sums the counters of all processors.
 *
 * @param layout - of struct pref_counters
 * @param bytes - a struct for each processor, each padded to 8 bytes
 */
export function decodeGatewayCounters(layout: StructLayout, bytes: Uint8Array): KernelGatewayCounters {
  const pref = new GatewayCounters();
  let reportsLost = 0;
  let redirected = 0;
  const stride = perCpuStride(layout.size);
  for (let at = 0; at + stride <= bytes.length; at += stride) {
    const view = new StructView(layout, bytes.subarray(at, at + stride));
    const add = (into: Float64Array, name: string): void => {
      for (let i = 0; i < into.length; i++) into[i] += view.read(name, i);
    };
    add(pref.packets, 'packets');
    add(pref.events, 'events');
    add(pref.notLectBytes, 'not_lect_bytes');
    add(pref.inboundBytes, 'inbound_bytes');
    pref.unroutedLexMarkedBytes[0] += view.read('unrouted_lex_marked_bytes');
    reportsLost += view.read('reports_lost');
    redirected += view.read('redirected');
  }
  return { pref, reportsLost, redirected };
}
