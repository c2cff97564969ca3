/**
 * The host of LEX: marks outbound packets by protocol.md section 3 and learns paths from inbound ones.
 *
 *      handleOutbound                          handleInbound
 *        parse, multicast, fragments             parse
 *        find the flow, or make it               find the flow; none is made for strangers
 *        sendSegment | sendDatagram              receiveSegment
 *        rewrite the DSCP                        take the assignment
 *        count                                   count
 *
 * Flows are made by outbound packets only, so nothing that comes from outside can fill the table. Bytes and the time
 * go in, a verdict comes out; packets never throw.
 *
 * @see paper sections 3.1 and 3.2
 */
import { invalidOption } from '../errors.ts';
import { loadInboundKey, loadOutboundKey } from '../flow/flow-key.ts';
import { FlowTable, RECORD_WORDS } from '../flow/flow-table.ts';
import { isMulticastOrBroadcastDst, writeDscp } from '../wire/ip.ts';
import {
  CODEPOINT_LECT,
  CODEPOINT_NOT_LECT,
  encodeMark,
  isAssignment,
  markPathId,
} from '../wire/marking/scheme.ts';
import {
  FRAGMENT_FIRST,
  PacketView,
  PARSE_LATER_FRAGMENT,
  PARSE_OK,
  parsePacket,
} from '../wire/packet-view.ts';
import { PROTOCOL_TCP } from '../wire/protocol-numbers.ts';
import { LexCounters } from './counters.ts';
import { HINT_NEW_FLOWLET, HINT_RETRANSMISSION, sendDatagram } from './datagram.ts';
import { noteHeard, noteSent, receiveMark } from './exchange.ts';
import { HISTORY_DOUBLES, noteInbound, noteOutbound, resetHistory } from './flow-history.ts';
import { FlowListing } from './flow-listing.ts';
import type { FlowQuery } from './flow-listing.ts';
import { FLAG_FLOWLET_DUE, pinnedPath, recordBase, setFlag } from './flow-state.ts';
import { FragmentMemory } from './fragment-memory.ts';
import type { LexHostOptions, LexRuleOptions, LexSettings } from './options.ts';
import { lexRules, lexSettings } from './options.ts';
import {
  REASON_CODEPOINT,
  REASON_FNE_SYN,
  REASON_IN_REJECTED_ASSIGNMENT,
  REASON_IN_UNKNOWN_FLOW,
  REASON_LECT_FRAGMENT,
  REASON_MULTICAST,
  REASON_NAMES,
} from './reasons.ts';
import { PathMemory } from './path-memory.ts';
import { receiveSegment } from './tcp-feedback.ts';
import { sendSegment } from './tcp-send.ts';

/** Records looked at by one sweep. */
const SWEEP_STEPS = 256;
/** Time between two sweeps, in ns: 65,536 flows are looked at once in 26 s. */
const SWEEP_INTERVAL_NS = 100e6;

/** Marks the packets of one host, or of all hosts behind one interface. */
export class LexHost {
  readonly counters = new LexCounters();
  /** Reason of the last verdict, an index of REASON_NAMES. */
  lastReason = 0;

  #settings: LexSettings;
  readonly #flows: FlowTable;
  readonly #packet = new PacketView();
  readonly #fragments = new FragmentMemory();
  /** Only of a host that chooses paths itself. */
  #paths: PathMemory | undefined;
  #nextSweepNs = 0;

  /** @throws PreflexError naming the option, its value and the allowed range */
  constructor(options: LexHostOptions = {}) {
    const settings = lexSettings(options);
    this.#settings = settings;
    this.#flows = new FlowTable({
      capacity: settings.flowCapacity,
      idleLimitsNs: [settings.idleLimitNs, settings.closedLimitNs, settings.datagramLimitNs],
      seed: settings.seed,
      extraDoubles: settings.flowHistory ? HISTORY_DOUBLES : 0,
    });
    this.#rememberPaths();
  }

  /**
   * Takes other rules over from the next packet on; flows and counters live on. A rule that is not given has its
   * default.
   *
   * @throws PreflexError naming the option, its value and the allowed range; then nothing has changed
   */
  useRules(options: LexRuleOptions): void {
    this.#settings = { ...this.#settings, ...lexRules(options) };
    this.#rememberPaths();
  }

  /**
   * Begins a list of flows, to be walked over in steps. Flows have a history, and an order by bytes, only with the
   * option `flowHistory`.
   */
  listFlows(query: FlowQuery): FlowListing {
    return new FlowListing(this.#flows, query, this.#settings.flowHistory);
  }

  /** Name of {@link lastReason}. */
  get lastReasonName(): string {
    return REASON_NAMES[this.lastReason]!;
  }

  /** Flows in the table now, and how many were evicted because it was full or expired because they were idle. */
  get flows(): {
    readonly size: number;
    readonly capacity: number;
    readonly evicted: number;
    readonly expired: number;
  } {
    const { size, capacity, evicted, expired } = this.#flows;
    return { size, capacity, evicted, expired };
  }

  /** Remote addresses whose learnt paths are remembered; 0 unless the host is host-driven. */
  get learntAddresses(): number {
    return this.#paths?.size ?? 0;
  }

  /**
   * Marks an outbound packet in place.
   *
   * @hotpath
   * @param at - offset of the packet's first byte in `view`
   * @param length - bytes there; a GSO super-packet is one packet
   * @param nowNs - monotonic time in ns
   * @param hints - HINT_RETRANSMISSION, HINT_NEW_FLOWLET, or both, from an application that knows
   * @returns the verdict: the packet's codepoint, CODEPOINT_NOT_LECT (0) for one that passes untouched
   */
  handleOutbound(view: DataView, at: number, length: number, nowNs: number, hints = 0): number {
    const packet = this.#packet;
    const code = parsePacket(view, at, length, packet);
    if (code !== PARSE_OK) return this.#passOutbound(view, code, length, nowNs);
    if (isMulticastOrBroadcastDst(view, at, packet.version))
      return this.#countOutbound(REASON_MULTICAST, length, 0);

    const flows = this.#flows;
    loadOutboundKey(view, packet, flows.key);
    let record = flows.find();
    const isFirst = record < 0;
    if (isFirst) record = flows.insert(nowNs);
    const base = recordBase(record);
    const words = flows.words;
    const doubles = flows.doubles;
    if ((hints & HINT_NEW_FLOWLET) !== 0) setFlag(words, base, FLAG_FLOWLET_DUE);
    const before = pinnedPath(words, base);

    const reason =
      packet.protocol === PROTOCOL_TCP
        ? sendSegment(
            words,
            doubles,
            base,
            packet,
            isFirst,
            nowNs,
            this.#settings,
            this.counters,
            this.#paths,
          )
        : sendDatagram(
            words,
            doubles,
            base,
            packet.payloadLength,
            isFirst,
            (hints & HINT_RETRANSMISSION) !== 0,
            nowNs,
            this.#settings,
            this.counters,
          );
    const codepoint = REASON_CODEPOINT[reason];
    const pathId = noteSent(words, doubles, base, codepoint, nowNs, this.#settings);
    if (this.#settings.flowHistory) {
      const at = record * HISTORY_DOUBLES;
      if (reason === REASON_FNE_SYN) resetHistory(flows.extras, at);
      noteOutbound(flows.extras, at, reason, length, before, pinnedPath(words, base), nowNs);
    }
    if (packet.fragment === FRAGMENT_FIRST) this.#fragments.remember(view, packet, pathId, nowNs);
    writeDscp(view, at, encodeMark(this.#settings.scheme, codepoint, pathId));
    return this.#countOutbound(reason, length, pathId);
  }

  /**
   * Learns from an inbound packet, which is never changed.
   *
   * @hotpath
   * @returns the path ID that was assigned and taken, 0 for none
   */
  handleInbound(view: DataView, at: number, length: number, nowNs: number): number {
    const packet = this.#packet;
    const code = parsePacket(view, at, length, packet);
    if (code !== PARSE_OK) return this.#countInbound(code);

    const scheme = this.#settings.scheme;
    const mark = scheme.decodeTable[packet.dscp];
    const assigned = isAssignment(scheme, mark) ? markPathId(mark) : 0;
    const flows = this.#flows;
    loadInboundKey(view, packet, flows.key);
    const record = flows.find();
    if (record < 0)
      return this.#countInbound(assigned ? REASON_IN_REJECTED_ASSIGNMENT : REASON_IN_UNKNOWN_FLOW);

    const base = recordBase(record);
    const words = flows.words;
    const doubles = flows.doubles;
    const before = pinnedPath(words, base);
    noteHeard(words, doubles, base, nowNs);
    if (packet.protocol === PROTOCOL_TCP) receiveSegment(words, doubles, base, packet, nowNs, this.counters);
    if (assigned !== 0 && this.#paths !== undefined) this.#paths.learn(words, base, assigned, nowNs);
    const reason = receiveMark(words, doubles, base, mark, nowNs, this.#settings, this.counters);
    if (this.#settings.flowHistory) {
      const after = pinnedPath(words, base);
      noteInbound(flows.extras, record * HISTORY_DOUBLES, reason, length, before, after, nowNs);
    }
    this.#countInbound(reason);
    return assigned;
  }

  /**
   * Asks for a new flowlet: the flow's next packet will be FNE (rule 2f). Until the peer of a datagram flow was
   * heard this holds at most once a flowlet gap.
   *
   * @param view - holds an outbound packet of the flow, which is not changed
   * @returns false when the flow is not known, whose first packet will be FNE anyway
   * @throws PreflexError when there is no TCP or UDP packet at `at`
   */
  requestFlowlet(view: DataView, at: number, length: number): boolean {
    const packet = this.#packet;
    if (parsePacket(view, at, length, packet) !== PARSE_OK) {
      throw invalidOption('packet', `${length} bytes`, 'an outbound TCP or UDP packet of the flow');
    }
    loadOutboundKey(view, packet, this.#flows.key);
    const record = this.#flows.find();
    if (record < 0) return false;
    setFlag(this.#flows.words, record * RECORD_WORDS, FLAG_FLOWLET_DUE);
    return true;
  }

  /** Forgets idle flows, in a bounded step. Call it when {@link pollTimeout} says so. */
  handleTimeout(nowNs: number): void {
    if (nowNs < this.#nextSweepNs) return;
    this.#flows.sweep(nowNs, SWEEP_STEPS);
    this.#paths?.sweep(nowNs);
    this.#nextSweepNs = nowNs + SWEEP_INTERVAL_NS;
  }

  /** Time in ns at which {@link handleTimeout} has work, Infinity when there are no flows. */
  pollTimeout(): number {
    return this.#flows.size === 0 ? Infinity : this.#nextSweepNs;
  }

  #rememberPaths(): void {
    const { hostDriven, learntAddresses: capacity, learntPathLifetimeNs: lifetimeNs, seed } = this.#settings;
    if (!hostDriven) this.#paths = undefined;
    else this.#paths ??= new PathMemory({ capacity, lifetimeNs, seed });
  }

  /** A packet that cannot be tracked keeps its DSCP, but a later fragment follows its first. */
  #passOutbound(view: DataView, code: number, length: number, nowNs: number): number {
    if (code !== PARSE_LATER_FRAGMENT) return this.#countOutbound(code, length, 0);
    const pathId = this.#fragments.recall(view, this.#packet, nowNs);
    if (pathId < 0) return this.#countOutbound(code, length, 0);
    writeDscp(view, this.#packet.at, encodeMark(this.#settings.scheme, CODEPOINT_LECT, pathId));
    return this.#countOutbound(REASON_LECT_FRAGMENT, length, pathId);
  }

  #countOutbound(reason: number, length: number, pathId: number): number {
    const counters = this.counters;
    const codepoint = REASON_CODEPOINT[reason];
    this.lastReason = reason;
    counters.outPackets[reason]++;
    counters.codepointPackets[codepoint]++;
    counters.codepointBytes[codepoint] += length;
    if (codepoint !== CODEPOINT_NOT_LECT) counters.pathPackets[pathId]++;
    return codepoint;
  }

  #countInbound(reason: number): number {
    this.lastReason = reason;
    this.counters.inPackets[reason]++;
    return 0;
  }
}
