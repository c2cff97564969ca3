/** From `struct lex_counters` of the host programs, one for each processor, to the counters of the host. Pure. */
import { LexCounters } from '../lex/counters.ts';
import type { StructLayout } from './btf.ts';
import { StructView } from './btf.ts';
import { perCpuStride } from './object-spec.ts';

/** What the programs counted. */
export interface HostCounters {
  readonly lex: LexCounters;
  /** Flows that were made, that had been idle too long when their next packet came, and for which there was no room. */
  readonly flows: { readonly made: number; readonly expired: number; readonly refused: number };
}

/**
 * Sums the counters of all processors.
 *
 * @param layout - of struct lex_counters
 * @param bytes - a struct for each processor, each padded to 8 bytes
 */
export function decodeHostCounters(layout: StructLayout, bytes: Uint8Array): HostCounters {
  const lex = new LexCounters();
  const flows = { made: 0, expired: 0, refused: 0 };
  const stride = perCpuStride(layout.size);
  for (let at = 0; at + stride <= bytes.length; at += stride) {
    const view = new StructView(layout, bytes.subarray(at, at + stride));
    const add = (into: Float64Array, name: string): void => {
      for (let i = 0; i < into.length; i++) into[i] += view.read(name, i);
    };
    add(lex.outPackets, 'out_packets');
    add(lex.inPackets, 'in_packets');
    add(lex.codepointPackets, 'codepoint_packets');
    add(lex.codepointBytes, 'codepoint_bytes');
    add(lex.pathPackets, 'path_packets');
    add(lex.assignments, 'assignments');
    add(lex.excludedBytes, 'excluded_bytes');
    lex.lexPayloadBytes += view.read('lex_payload_bytes');
    lex.unpinned += view.read('unpinned');
    lex.keptPaths += view.read('kept_paths');
    lex.impossibleAcks += view.read('impossible_acks');
    flows.made += view.read('flows_made');
    flows.expired += view.read('flows_expired');
    flows.refused += view.read('flows_refused');
  }
  return { lex, flows };
}
