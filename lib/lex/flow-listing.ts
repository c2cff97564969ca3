/**
 * A list of the host's flows for people, from a table that may hold millions: walked over in steps of so many places,
 * with packets in between, keeping the first few in the order asked for.
 *
 *      listFlows -> step, step, ... until it says that all was seen -> reports
 *
 * Between two steps the table changes. A flow that moved within it meanwhile may be left out; none is listed twice.
 */
import { FLOW_KEY_WORDS, KEY_LOCAL, KEY_PORTS, KEY_PROTOCOL, KEY_REMOTE } from '../flow/flow-key.ts';
import type { FlowTable } from '../flow/flow-table.ts';
import { DOUBLE_LAST_SEEN, RECORD_WORDS, WORD_TAG } from '../flow/flow-table.ts';
import { formatAddress } from '../wire/addr.ts';
import { PROTOCOL_TCP } from '../wire/protocol-numbers.ts';
import type { FlowHistory } from './flow-history.ts';
import { HISTORY_DOUBLES, bytesMarkedLex, bytesSent, readHistory } from './flow-history.ts';
import {
  FLAG_ACK_SEEN,
  FLAG_FIN_IN,
  FLAG_FIN_OUT,
  FLAG_HEARD,
  FLAG_SYN_SEEN,
  IDLE_CLASS_CLOSED,
  WORD_SRTT,
  hasFlag,
  pinnedPath,
  previousPath,
  successiveTimeouts,
} from './flow-state.ts';

/** Orders of a list: most bytes sent, most bytes marked LEx, longest silent, or last heard of first. */
export const FLOW_SORTS = ['bytes', 'lex', 'age', 'recent'] as const;
/** An order of a list. */
export type FlowSort = (typeof FLOW_SORTS)[number];

/** One end of the flows that are meant. */
export interface FlowEnd {
  /** As flow keys have it: four words, only the first used for IPv4. */
  readonly address: Int32Array;
  /** 0 for any. */
  readonly port: number;
}

/** Which flows are meant. */
export interface FlowMatch {
  /** IP protocol number, 0 for any. */
  readonly protocol: number;
  readonly version: 4 | 6;
  /** The ends; either may be the host's. */
  readonly ends: readonly [FlowEnd, FlowEnd];
}

/** What to list. */
export interface FlowQuery {
  readonly sort: FlowSort;
  /** Flows in the list at most, 1 or more. */
  readonly limit: number;
  /** Default: all. */
  readonly match?: FlowMatch | undefined;
}

/** A flow as it is now. */
export interface FlowReport {
  readonly protocol: number;
  readonly local: string;
  readonly localPort: number;
  readonly remote: string;
  readonly remotePort: number;
  /** Path ID that its packets carry, 0 for none. */
  readonly pathId: number;
  /** Path ID that it goes back to when its FNE packet is answered without an assignment, 0 for none. */
  readonly previousPathId: number;
  /** `datagrams` for everything but TCP. */
  readonly state: 'opening' | 'open' | 'closing' | 'closed' | 'datagrams';
  /** Whether something came back from the peer. */
  readonly isHeard: boolean;
  /** Time since its last packet in either direction, ns. */
  readonly idleNs: number;
  /** Smoothed round-trip time, us; 0 when it was not measured. */
  readonly srttUs: number;
  /** Successive timeouts without acknowledgement progress. */
  readonly timeouts: number;
  /** Only of a host with the option `flowHistory`. */
  readonly history?: FlowHistory | undefined;
}

const CLASS_MASK = 0xff;

/** A list in the making. */
export class FlowListing {
  /** Flows seen that are meant. */
  matched = 0;

  readonly #table: FlowTable;
  readonly #query: FlowQuery;
  readonly #hasHistory: boolean;
  #place = 0;
  /** Kept flows: their values in falling order, and where in the copies each is. */
  readonly #values: Float64Array;
  readonly #order: Int32Array;
  #kept = 0;
  readonly #words: Int32Array;
  readonly #doubles: Float64Array;
  readonly #history: Float64Array;
  readonly #reported = new Set<string>();

  /**
   * @internal Lists come from LexHost.listFlows.
   * @param hasHistory - whether the table's extra doubles are the flows' histories
   */
  constructor(table: FlowTable, query: FlowQuery, hasHistory: boolean) {
    this.#table = table;
    this.#query = query;
    this.#hasHistory = hasHistory;
    this.#values = new Float64Array(query.limit);
    this.#order = new Int32Array(query.limit);
    const memory = new ArrayBuffer(query.limit * RECORD_WORDS * 4);
    this.#words = new Int32Array(memory);
    this.#doubles = new Float64Array(memory);
    this.#history = new Float64Array(query.limit * HISTORY_DOUBLES);
  }

  /**
   * Looks at the next places of the table.
   *
   * @returns whether all were seen
   */
  step(places: number): boolean {
    const table = this.#table;
    const end = Math.min(table.places, this.#place + places);
    for (let record = this.#place; record < end; record++) {
      if (!table.isUsed(record)) continue;
      const base = record * RECORD_WORDS;
      if (this.#query.match !== undefined && !matches(table.words, base, this.#query.match)) continue;
      this.matched++;
      this.#consider(record, this.#valueOf(record));
    }
    this.#place = end;
    return end === table.places;
  }

  /**
   * The flows that were kept, in order; each once in all calls together.
   *
   * @param from - first of them
   * @param to - one past the last; formatting addresses takes some microseconds each
   */
  reports(nowNs: number, from = 0, to = this.#query.limit): FlowReport[] {
    const reports: FlowReport[] = [];
    for (let i = from; i < Math.min(to, this.#kept); i++) {
      const base = this.#order[i] * RECORD_WORDS;
      const key = this.#words.subarray(base, base + FLOW_KEY_WORDS).join();
      // One that moved from the table's beginning to its end was seen twice.
      if (!this.#reported.has(key)) reports.push(this.#report(this.#order[i], nowNs));
      this.#reported.add(key);
    }
    return reports;
  }

  #valueOf(record: number): number {
    const { doubles, extras } = this.#table;
    switch (this.#query.sort) {
      case 'bytes':
        return this.#hasHistory ? bytesSent(extras, record * HISTORY_DOUBLES) : 0;
      case 'lex':
        return this.#hasHistory ? bytesMarkedLex(extras, record * HISTORY_DOUBLES) : 0;
      case 'age':
        return -doubles[record * (RECORD_WORDS / 2) + DOUBLE_LAST_SEEN];
      case 'recent':
        return doubles[record * (RECORD_WORDS / 2) + DOUBLE_LAST_SEEN];
    }
  }

  /** Keeps a copy of the flow when it belongs among the first ones. */
  #consider(record: number, value: number): void {
    const values = this.#values;
    const order = this.#order;
    const { limit } = this.#query;
    if (this.#kept === limit && value <= values[limit - 1]) return;
    const { extras, words } = this.#table;
    const base = record * RECORD_WORDS;
    const slot = this.#kept === limit ? order[limit - 1] : this.#kept;
    let low = 0;
    let high = Math.min(this.#kept, limit - 1);
    while (low < high) {
      const middle = (low + high) >> 1;
      if (values[middle] >= value) low = middle + 1;
      else high = middle;
    }
    values.copyWithin(low + 1, low, limit - 1);
    order.copyWithin(low + 1, low, limit - 1);
    values[low] = value;
    order[low] = slot;
    if (this.#kept < limit) this.#kept++;
    this.#words.set(words.subarray(base, base + RECORD_WORDS), slot * RECORD_WORDS);
    if (!this.#hasHistory) return;
    const from = record * HISTORY_DOUBLES;
    this.#history.set(extras.subarray(from, from + HISTORY_DOUBLES), slot * HISTORY_DOUBLES);
  }

  #report(slot: number, nowNs: number): FlowReport {
    const words = this.#words;
    const base = slot * RECORD_WORDS;
    const version = words[base + KEY_PROTOCOL] >> 8;
    const ports = words[base + KEY_PORTS];
    return {
      protocol: words[base + KEY_PROTOCOL] & 0xff,
      local: addressText(words, base + KEY_LOCAL, version),
      localPort: ports >>> 16,
      remote: addressText(words, base + KEY_REMOTE, version),
      remotePort: ports & 0xffff,
      pathId: pinnedPath(words, base),
      previousPathId: previousPath(words, base),
      state: stateOf(words, base),
      isHeard: hasFlag(words, base, FLAG_HEARD),
      idleNs: Math.max(0, nowNs - this.#doubles[(base >> 1) + DOUBLE_LAST_SEEN]),
      srttUs: words[base + WORD_SRTT],
      timeouts: successiveTimeouts(words, base),
      history: this.#hasHistory ? readHistory(this.#history, slot * HISTORY_DOUBLES, nowNs) : undefined,
    };
  }
}

function stateOf(words: Int32Array, base: number): FlowReport['state'] {
  if ((words[base + KEY_PROTOCOL] & 0xff) !== PROTOCOL_TCP) return 'datagrams';
  if ((words[base + WORD_TAG] & CLASS_MASK) === IDLE_CLASS_CLOSED) return 'closed';
  if (hasFlag(words, base, FLAG_FIN_IN | FLAG_FIN_OUT)) return 'closing';
  return hasFlag(words, base, FLAG_SYN_SEEN) && !hasFlag(words, base, FLAG_ACK_SEEN) ? 'opening' : 'open';
}

function matches(words: Int32Array, base: number, match: FlowMatch): boolean {
  const { ends, protocol, version } = match;
  if (words[base + KEY_PROTOCOL] >> 8 !== version) return false;
  if (protocol !== 0 && (words[base + KEY_PROTOCOL] & 0xff) !== protocol) return false;
  return isBetween(words, base, ends[0], ends[1]) || isBetween(words, base, ends[1], ends[0]);
}

function isBetween(words: Int32Array, base: number, local: FlowEnd, remote: FlowEnd): boolean {
  const ports = words[base + KEY_PORTS];
  if (local.port !== 0 && local.port !== ports >>> 16) return false;
  if (remote.port !== 0 && remote.port !== (ports & 0xffff)) return false;
  for (let i = 0; i < 4; i++) {
    if (words[base + KEY_LOCAL + i] !== local.address[i]) return false;
    if (words[base + KEY_REMOTE + i] !== remote.address[i]) return false;
  }
  return true;
}

function addressText(words: Int32Array, from: number, version: number): string {
  const view = new DataView(new ArrayBuffer(16));
  for (let i = 0; i < 4; i++) view.setInt32(4 * i, words[from + i]);
  return formatAddress(view, 0, version);
}
