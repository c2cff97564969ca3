/**
 * The host rules for the datagrams of one socket, where there are no IP packets to look at: the same rule functions
 * and the same flow table as LexHost, asked with a peer instead of a packet and answered with a DSCP.
 *
 *      send      peer -> find the flow, or make it -> sendDatagram -> noteSent -> DSCP, count
 *      receive   peer, DSCP -> find the flow; none is made for strangers -> noteHeard -> receiveMark, count
 *
 * The table begins small and doubles up to the capacity: most sockets have one peer, a server's may have thousands.
 * Idle flows are swept whenever it is full, so no timer is needed.
 */
import { KEY_PORTS, KEY_PROTOCOL, KEY_REMOTE } from '../flow/flow-key.ts';
import { FlowTable } from '../flow/flow-table.ts';
import {
  CODEPOINT_FNE,
  CODEPOINT_LEX,
  encodeMark,
  isAssignment,
  markPathId,
} from '../wire/marking/scheme.ts';
import { PROTOCOL_UDP } from '../wire/protocol-numbers.ts';
import { LexCounters } from './counters.ts';
import { HINT_NEW_FLOWLET, HINT_RETRANSMISSION, sendDatagram } from './datagram.ts';
import { noteHeard, noteSent, receiveMark } from './exchange.ts';
import { FLAG_FLOWLET_DUE, FLAG_HEARD, hasFlag, pinnedPath, recordBase, setFlag } from './flow-state.ts';
import type { LexHostOptions, LexSettings } from './options.ts';
import { lexSettings } from './options.ts';
import { settleWithoutAssignment } from './pinning.ts';
import {
  REASON_CODEPOINT,
  REASON_FNE_FIRST_PACKET,
  REASON_IN_REJECTED_ASSIGNMENT,
  REASON_IN_UNKNOWN_FLOW,
  REASON_MULTICAST,
} from './reasons.ts';
import { canBeAnswer, MAX_RTT_US, NS_PER_US, smoothRtt } from './rtt.ts';

const FIRST_CAPACITY = 4;
/** Records looked at for idle ones when a new peer finds the table full. */
const SWEEP_STEPS = 256;
/** DSCP that stands for "leave the socket's own". */
export const DSCP_OWN = -1;

const SENT_PACKETS = 0;
const SENT_BYTES = 1;
const RETRANSMITTED_PACKETS = 2;
const RETRANSMITTED_BYTES = 3;
const LEX_PAYLOAD_BYTES = 4;
const LEX_PACKET_BYTES = 5;
const FLOWLETS = 6;
const ASSIGNMENTS = 7;
const RECEIVED_PACKETS = 8;
const PEER_COUNTERS = 9;

/** Bit of a ticket beside the reason: the application said that it sends this again. */
const TICKET_RETRANSMISSION = 1 << 7;

/** The other end of a socket's flow. An object of it is never changed. */
export interface DatagramPeer {
  /** 4 or 6; an IPv4-mapped IPv6 address is 4, for so it travels. */
  readonly version: number;
  readonly port: number;
  /** The address as four words, the first for IPv4 and 0 behind it. */
  readonly address: Int32Array;
  /** A group or everybody: not trackable (protocol.md section 3, rule 1). */
  readonly isGroup: boolean;
}

/** What is known of one peer. Bytes are payload bytes, without any header, unless said otherwise. */
export interface PeerReport {
  /** Path ID that datagrams to it carry now, 0 for none. */
  readonly pathId: number;
  /** Whether something came back from it, or the application said so. */
  readonly isHeard: boolean;
  readonly sentPackets: number;
  readonly sentBytes: number;
  /** Datagrams of which the application said that it sends them again, those that had to be FNE included. */
  readonly retransmittedPackets: number;
  readonly retransmittedBytes: number;
  /** Bytes marked LEx. */
  readonly lexPayloadBytes: number;
  /** Bytes of the IP packets marked LEx, headers included: what the gateway adds to L_i. */
  readonly lexPacketBytes: number;
  /** Datagrams marked FNE. */
  readonly flowlets: number;
  /** Assignments taken. */
  readonly assignments: number;
  /** Datagrams received from it. */
  readonly receivedPackets: number;
}

/** The flows of one socket. */
export class DatagramFlows {
  readonly counters = new LexCounters();
  /** Sums over all peers: bytes of payload sent, and what the application said that it sends again. */
  sentBytes = 0;
  retransmittedPackets = 0;
  retransmittedBytes = 0;
  /** Reason of the last verdict, an index of REASON_NAMES. */
  lastReason = 0;
  /** What {@link takeBack} wants to know of the last {@link send}, 0..255. */
  lastTicket = 0;

  readonly #settings: LexSettings;
  #flows: FlowTable;
  /** The peer that was found last, and its record: until the table changes, the next search is for it as a rule. */
  #lastPeer: DatagramPeer | undefined;
  #lastRecord = -1;

  /**
   * @param options - those of LexHost; flowCapacity is the most peers that are remembered
   * @throws PreflexError naming the option, its value and the allowed range
   */
  constructor(options: LexHostOptions = {}) {
    this.#settings = lexSettings(options);
    const capacity = Math.min(FIRST_CAPACITY, this.#settings.flowCapacity);
    this.#flows = this.#makeTable(capacity);
  }

  /** Flows remembered now. */
  get size(): number {
    return this.#flows.size;
  }

  /**
   * Decides the mark of a datagram that is sent now.
   *
   * @hotpath
   * @param payloadBytes - of UDP
   * @param packetBytes - of IP, with all headers
   * @param nowNs - monotonic time in ns
   * @param hints - HINT_RETRANSMISSION, HINT_NEW_FLOWLET, or both
   * @returns its DSCP, or DSCP_OWN; {@link lastReason} says why
   */
  send(peer: DatagramPeer, payloadBytes: number, packetBytes: number, nowNs: number, hints: number): number {
    this.#countApplication(payloadBytes, hints, 1);
    if (peer.isGroup) {
      this.#countSent(REASON_MULTICAST, packetBytes, 0, hints);
      return DSCP_OWN;
    }
    let record = this.#find(peer);
    const isFirst = record < 0;
    if (isFirst) record = this.#insert(peer, nowNs);
    const { words, doubles } = this.#flows;
    const base = recordBase(record);
    if ((hints & HINT_NEW_FLOWLET) !== 0) setFlag(words, base, FLAG_FLOWLET_DUE);
    const reason = sendDatagram(
      words,
      doubles,
      base,
      payloadBytes,
      isFirst,
      (hints & HINT_RETRANSMISSION) !== 0,
      nowNs,
      this.#settings,
      this.counters,
    );
    const codepoint = REASON_CODEPOINT[reason]!;
    const pathId = noteSent(words, doubles, base, codepoint, nowNs, this.#settings);
    this.#countPeer(record, codepoint, payloadBytes, packetBytes, hints, 1);
    this.#countSent(reason, packetBytes, pathId, hints);
    return encodeMark(this.#settings.scheme, codepoint, pathId);
  }

  /**
   * Takes back the account of a datagram that the system refused to send. One that was to be FNE is due again.
   *
   * @param ticket - {@link lastTicket} after its {@link send}
   * @param dscp - what {@link send} returned
   */
  takeBack(
    peer: DatagramPeer,
    payloadBytes: number,
    packetBytes: number,
    ticket: number,
    dscp: number,
  ): void {
    const hints = (ticket & TICKET_RETRANSMISSION) === 0 ? 0 : HINT_RETRANSMISSION;
    const reason = ticket & ~TICKET_RETRANSMISSION;
    const codepoint = REASON_CODEPOINT[reason]!;
    const counters = this.counters;
    this.#countApplication(payloadBytes, hints, -1);
    counters.outPackets[reason]--;
    counters.codepointPackets[codepoint]--;
    counters.codepointBytes[codepoint] -= packetBytes;
    if (codepoint === CODEPOINT_LEX) counters.lexPayloadBytes -= payloadBytes;
    if (reason === REASON_MULTICAST) return;
    counters.pathPackets[markPathId(this.#settings.scheme.decodeTable[dscp]!)]--;
    const record = this.#find(peer);
    if (record < 0) return;
    if (reason === REASON_FNE_FIRST_PACKET) {
      this.#flows.remove(record);
      this.#lastPeer = undefined;
      return;
    }
    this.#countPeer(record, codepoint, payloadBytes, packetBytes, hints, -1);
    if (codepoint === CODEPOINT_FNE) setFlag(this.#flows.words, recordBase(record), FLAG_FLOWLET_DUE);
  }

  /**
   * Learns from a datagram that was received.
   *
   * @hotpath
   * @param dscp - its, 0..63
   * @param nowNs - monotonic time in ns
   */
  receive(peer: DatagramPeer, dscp: number, nowNs: number): void {
    const settings = this.#settings;
    const mark = settings.scheme.decodeTable[dscp]!;
    const record = this.#find(peer);
    if (record < 0) {
      const isRejected = isAssignment(settings.scheme, mark);
      this.#countReceived(isRejected ? REASON_IN_REJECTED_ASSIGNMENT : REASON_IN_UNKNOWN_FLOW);
      return;
    }
    const { words, doubles } = this.#flows;
    const base = recordBase(record);
    noteHeard(words, doubles, base, nowNs);
    this.#countReceived(receiveMark(words, doubles, base, mark, nowNs, settings, this.counters));
    const at = record * PEER_COUNTERS;
    this.#flows.extras[at + RECEIVED_PACKETS]++;
    if (isAssignment(settings.scheme, mark)) this.#flows.extras[at + ASSIGNMENTS]++;
  }

  /**
   * The program learnt in another way that its datagrams arrive: the peer counts as heard, and an answer without an
   * assignment counts as received.
   *
   * @param rttNs - a round-trip time that it measured, in ns; 0 for none. It sizes the flowlet gap.
   * @returns false when nothing was sent to the peer
   */
  feedback(peer: DatagramPeer, nowNs: number, rttNs: number): boolean {
    const record = this.#find(peer);
    if (record < 0) return false;
    const { words, doubles } = this.#flows;
    const base = recordBase(record);
    if (rttNs > 0) smoothRtt(words, base, Math.min(MAX_RTT_US, Math.trunc(rttNs / NS_PER_US)));
    noteHeard(words, doubles, base, nowNs);
    if (canBeAnswer(words, doubles, base, nowNs)) settleWithoutAssignment(words, base, this.counters);
    return true;
  }

  /**
   * Asks for a new flowlet: the next datagram will be FNE (rule 2f). Until the peer was heard this holds at most once
   * a flowlet gap.
   *
   * @param peer - undefined for every peer
   * @returns how many flows were told; a flow that is not known begins with FNE anyway
   */
  requestFlowlet(peer?: DatagramPeer): number {
    const flows = this.#flows;
    if (peer !== undefined) {
      const record = this.#find(peer);
      if (record >= 0) setFlag(flows.words, recordBase(record), FLAG_FLOWLET_DUE);
      return record < 0 ? 0 : 1;
    }
    for (let record = 0; record < flows.places; record++) {
      if (flows.isUsed(record)) setFlag(flows.words, recordBase(record), FLAG_FLOWLET_DUE);
    }
    return flows.size;
  }

  /** What is known of a peer, undefined when no flow to it is remembered. */
  report(peer: DatagramPeer): PeerReport | undefined {
    const record = this.#find(peer);
    if (record < 0) return undefined;
    const { words, extras } = this.#flows;
    const base = recordBase(record);
    const counter = (field: number): number => extras[record * PEER_COUNTERS + field]!;
    return {
      pathId: pinnedPath(words, base),
      isHeard: hasFlag(words, base, FLAG_HEARD),
      sentPackets: counter(SENT_PACKETS),
      sentBytes: counter(SENT_BYTES),
      retransmittedPackets: counter(RETRANSMITTED_PACKETS),
      retransmittedBytes: counter(RETRANSMITTED_BYTES),
      lexPayloadBytes: counter(LEX_PAYLOAD_BYTES),
      lexPacketBytes: counter(LEX_PACKET_BYTES),
      flowlets: counter(FLOWLETS),
      assignments: counter(ASSIGNMENTS),
      receivedPackets: counter(RECEIVED_PACKETS),
    };
  }

  /** The local end stays zero in the key: it is the socket, and the table is the socket's. */
  #find(peer: DatagramPeer): number {
    if (peer === this.#lastPeer) return this.#lastRecord;
    const key = this.#flows.key;
    key[KEY_PROTOCOL] = PROTOCOL_UDP | (peer.version << 8);
    key[KEY_PORTS] = peer.port;
    const address = peer.address;
    key[KEY_REMOTE] = address[0]!;
    key[KEY_REMOTE + 1] = address[1]!;
    key[KEY_REMOTE + 2] = address[2]!;
    key[KEY_REMOTE + 3] = address[3]!;
    const record = this.#flows.find();
    if (record < 0) return record;
    this.#lastPeer = peer;
    return (this.#lastRecord = record);
  }

  #insert(peer: DatagramPeer, nowNs: number): number {
    this.#lastPeer = undefined;
    const flows = this.#flows;
    if (flows.size === flows.capacity) {
      const removed = flows.sweep(nowNs, SWEEP_STEPS);
      if (removed === 0 && flows.capacity < this.#settings.flowCapacity) this.#grow(nowNs);
      this.#find(peer);
    }
    return this.#flows.insert(nowNs);
  }

  #grow(nowNs: number): void {
    const old = this.#flows;
    const flows = this.#makeTable(Math.min(old.capacity * 2, this.#settings.flowCapacity));
    for (let record = 0; record < old.places; record++) {
      if (!old.isUsed(record)) continue;
      const from = recordBase(record);
      flows.key.set(old.words.subarray(from, from + flows.key.length));
      flows.find();
      const copy = flows.insert(nowNs);
      flows.words.set(old.words.subarray(from, from + recordBase(1)), recordBase(copy));
      const counters = old.extras.subarray(record * PEER_COUNTERS, (record + 1) * PEER_COUNTERS);
      flows.extras.set(counters, copy * PEER_COUNTERS);
    }
    flows.evicted = old.evicted;
    flows.expired = old.expired;
    this.#flows = flows;
  }

  #makeTable(capacity: number): FlowTable {
    const { idleLimitNs, closedLimitNs, datagramLimitNs, seed } = this.#settings;
    const idleLimitsNs = [idleLimitNs, closedLimitNs, datagramLimitNs];
    return new FlowTable({ capacity, idleLimitsNs, seed, extraDoubles: PEER_COUNTERS });
  }

  /** @param by - 1, or -1 to take back */
  #countApplication(payloadBytes: number, hints: number, by: number): void {
    this.sentBytes += by * payloadBytes;
    if ((hints & HINT_RETRANSMISSION) === 0) return;
    this.retransmittedPackets += by;
    this.retransmittedBytes += by * payloadBytes;
  }

  #countPeer(
    record: number,
    codepoint: number,
    payloadBytes: number,
    packetBytes: number,
    hints: number,
    by: number,
  ): void {
    const peers = this.#flows.extras;
    const at = record * PEER_COUNTERS;
    peers[at + SENT_PACKETS] += by;
    peers[at + SENT_BYTES] += by * payloadBytes;
    if ((hints & HINT_RETRANSMISSION) !== 0) {
      peers[at + RETRANSMITTED_PACKETS] += by;
      peers[at + RETRANSMITTED_BYTES] += by * payloadBytes;
    }
    if (codepoint === CODEPOINT_FNE) {
      peers[at + FLOWLETS] += by;
    } else if (codepoint === CODEPOINT_LEX) {
      peers[at + LEX_PAYLOAD_BYTES] += by * payloadBytes;
      peers[at + LEX_PACKET_BYTES] += by * packetBytes;
    }
  }

  #countSent(reason: number, packetBytes: number, pathId: number, hints: number): void {
    const counters = this.counters;
    const codepoint = REASON_CODEPOINT[reason]!;
    this.lastReason = reason;
    this.lastTicket = (hints & HINT_RETRANSMISSION) === 0 ? reason : reason | TICKET_RETRANSMISSION;
    counters.outPackets[reason]++;
    counters.codepointPackets[codepoint]++;
    counters.codepointBytes[codepoint] += packetBytes;
    if (reason !== REASON_MULTICAST) counters.pathPackets[pathId]++;
  }

  #countReceived(reason: number): void {
    this.lastReason = reason;
    this.counters.inPackets[reason]++;
  }
}
