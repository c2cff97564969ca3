/** From the parts of a gateway to `struct pref_settings` of the gateway programs. Pure. */
import { invalidOption } from '../errors.ts';
import { FlowHash } from '../pref/flow-hash.ts';
import { FneLimiter } from '../pref/fne-limiter.ts';
import type { GatewaySettings } from '../pref/gateway-options.ts';
import { NO_SLOT } from '../pref/route-table.ts';
import type { StructLayout } from './btf.ts';
import { StructView } from './btf.ts';

/** What the programs have to know beside the options of the gateway. */
export interface GatewayTraffic {
  /** Bits of skb->mark that carry the path ID, at least as many as the largest path ID needs; the others are kept. */
  readonly markMask: number;
  /** Slots that are up at all; default all. */
  readonly upMask?: number;
  /** When a route was suspended last, ns of CLOCK_MONOTONIC; default 0, as if at its start. */
  readonly suspendedAtNs?: number | undefined;
  /**
   * Routing tables of the routes whose packets the programs send themselves, by path ID; default none: the kernel
   * forwards.
   */
  readonly redirectTables?: ReadonlyMap<number, number>;
  /** Path IDs of the routes whose tables hold a default route and nothing else; default none. */
  readonly ownTables?: ReadonlySet<number>;
  /** Until when they do, ns of CLOCK_MONOTONIC, 0 for never; default for ever. */
  readonly redirectUntilNs?: number | undefined;
  /** Whether what begins and what is lost is reported for the flowlet turnover; default false. */
  readonly measuresTurnover?: boolean;
}

/** The bits of skb->mark that carry the path ID by default: 24..29. */
export const DEFAULT_MARK_MASK = 0x3f000000;

/** Ways of a set of the FNE memory. */
export const MEMORY_WAYS = 4;
const NS_PER_MS = 1e6;
/** Further ahead than this nothing ever is. */
const LONGEST_NS = 2 ** 62;

/**
 * The bytes of the settings.
 *
 * @param layout - of struct pref_settings
 * @throws PreflexError ERR_INVALID_OPTION for options that the programs do not have
 */
export function encodeGatewaySettings(
  layout: StructLayout,
  gateway: GatewaySettings,
  traffic: GatewayTraffic,
): Uint8Array {
  const { markMask, measuresTurnover = false, upMask = 0xffff, suspendedAtNs = 0, redirectTables } = traffic;
  const { routes, scheme } = gateway;
  for (const { name, nat } of routes) {
    if (nat === true) throw invalidOption('nat', name, 'no route with the eBPF datapath; use datapath tun');
  }
  const largest = Math.max(...routes.map(({ pathId }) => pathId));
  const view = new StructView(layout);
  const limiter = new FneLimiter(gateway.fneLimits);
  view.write('token_ns', limiter.tokenNs);
  view.write('ahead_ns', Math.min(limiter.aheadNs, LONGEST_NS));
  view.write('total_token_ns', limiter.totalTokenNs);
  view.write('total_ahead_ns', Math.min(limiter.totalAheadNs, LONGEST_NS));
  view.write('redirect_until_ns', Math.min(traffic.redirectUntilNs ?? LONGEST_NS, LONGEST_NS));
  view.write('memory_set_mask', gateway.fneMemoryEntries / MEMORY_WAYS - 1);
  view.write('memory_lifetime_ms', Math.ceil(gateway.fneMemoryLifetimeNs / NS_PER_MS));
  view.write('route_count', routes.length);
  view.write('up_mask', upMask);
  view.write('mark_mask', markMask);
  view.write('mark_shift', markShift(markMask, largest));
  view.write('assignment_codepoint', scheme.assignmentCodepoint);
  view.write('infers_from_syn', gateway.inferFromSyn ? 1 : 0);
  view.write('infers_from_answer', gateway.inferFromAnswer ? 1 : 0);
  view.write('hashes_not_lect', gateway.isNotLectHashed ? 1 : 0);
  view.write('is_watching', gateway.failures.isOn ? 1 : 0);
  view.write('suspended_at_ms', Math.floor(suspendedAtNs / NS_PER_MS));
  view.write('measures_turnover', measuresTurnover ? 1 : 0);
  const { seed1, seed2 } = new FlowHash(gateway.seed);
  view.write('seed1', seed1);
  view.write('seed2', seed2);
  for (let i = 0; i < 64; i++) {
    view.write('decode_table', scheme.decodeTable[i], i);
    view.write('encode_table', scheme.encodeTable[i], i);
    view.write('is_exposed', gateway.exposeTo.includes(i) ? 1 : 0, i);
    view.write('slot_of', NO_SLOT, i);
  }
  for (const [slot, { pathId }] of routes.entries()) {
    view.write('slot_of', slot, pathId);
    view.write('path_id_of', pathId, slot);
    view.write('has_own_table', traffic.ownTables?.has(pathId) === true ? 1 : 0, pathId);
    view.write('redirect_table_of', redirectTables?.get(pathId) ?? 0, pathId);
  }
  return view.bytes;
}

/** Where the path ID stands in the mark: the lowest bit of the mask. */
export function markShift(markMask: number, largestPathId: number): number {
  const shift = 31 - Math.clz32(markMask & -markMask);
  const bits = markMask >>> shift;
  const isOneRun = (bits & (bits + 1)) === 0;
  if (markMask === 0 || !isOneRun || largestPathId > bits) {
    throw invalidOption('markMask', markMask, `neighbouring bits that hold ${largestPathId}`);
  }
  return shift;
}
