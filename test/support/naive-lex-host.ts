/**
 * The host rules of protocol.md section 3, line by line, in plain objects: the oracle of lib/lex.
 *
 * It is told what happens, not bytes: positions in the byte stream are numbers that never wrap, and the test says
 * which retransmissions a timer caused. Every byte that was sent is a member of a Set. Nothing here is fast or bounded.
 */

export type Codepoint = 'Not-LECT' | 'LECT' | 'LEx' | 'FNE';

export interface NaiveOptions {
  /** `full` lets an FNE carry a path ID, `pool2` does not. */
  readonly scheme: 'pool2' | 'full';
  readonly flowletGapNs: number;
  readonly fneAfterTimeouts: number;
  readonly keepPathWithoutAnswer: boolean;
}

/** An outbound packet. */
export interface NaiveSegment {
  readonly flow: string;
  readonly kind: 'tcp' | 'udp';
  /** Position of the first byte; the SYN takes one position, and so does the FIN. */
  readonly seq: number;
  readonly length: number;
  readonly syn?: boolean;
  readonly fin?: boolean;
  /** The sender's timer made it send this again. */
  readonly isTimeout?: boolean;
  readonly wantsFlowlet?: boolean;
  /** UDP: the application says that it repeats lost data. */
  readonly isRepeat?: boolean;
}

/** An inbound packet. */
export interface NaiveFeedback {
  readonly flow: string;
  readonly kind: 'tcp' | 'udp';
  readonly syn?: boolean;
  readonly ack: number;
  readonly isWindowZero: boolean;
  readonly isFne: boolean;
  /** Path ID that the gateway assigns, 0 for none. */
  readonly assigned: number;
  /** The peer's timer made it send this again, though it was acknowledged. */
  readonly isPeerRepeat?: boolean;
  /** Payload bytes. */
  readonly length?: number;
}

interface Flow {
  isn: number | undefined;
  /** Everything below counts as sent: the host came to the flow here. */
  sentBelow: number;
  sent: Set<number>;
  highest: number;
  una: number;
  hasAck: boolean;
  isHeard: boolean;
  isWindowZero: boolean;
  /** Data of the SYN, and the part of it that was refused and not yet sent a second time. */
  synData: number[];
  refused: Set<number>;
  timeouts: number;
  lastOutNs: number;
  /** When each position was sent last, and when something came that can make the sender act. */
  sentAtNs: Map<number, number>;
  lastAckNs: number;
  lastFneNs: number;
  path: number;
  pathBefore: number;
  isFlowletWanted: boolean;
  isAnswerDue: boolean;
  isPathSuspect: boolean;
  timed: { end: number; sinceNs: number } | undefined;
  srttNs: number | undefined;
  rttvarNs: number;
}

/** See the head of the file. */
export class NaiveLexHost {
  lexPayloadBytes = 0;
  readonly #options: NaiveOptions;
  readonly #flows = new Map<string, Flow>();

  constructor(options: NaiveOptions) {
    this.#options = options;
  }

  /** RTO of a flow by RFC 6298 in ns; undefined when nothing was measured. */
  rtoNs(name: string): number | undefined {
    const flow = this.#flows.get(name);
    if (flow?.srttNs === undefined) return undefined;
    return flow.srttNs + Math.max(4 * flow.rttvarNs, 200e6);
  }

  /** What the host believes to be the first position without acknowledgement and one past the last one sent. */
  window(name: string): { una: number; highest: number } | undefined {
    return this.#flows.get(name);
  }

  /** The mark of an outbound packet, as text: `LECT/3`. */
  send(segment: NaiveSegment, nowNs: number): string {
    const known = this.#flows.get(segment.flow);
    const flow = known ?? newFlow(segment.seq);
    this.#flows.set(segment.flow, flow);
    if (segment.wantsFlowlet === true) flow.isFlowletWanted = true;
    const codepoint =
      segment.kind === 'tcp'
        ? this.#sendTcp(flow, segment, known === undefined, nowNs)
        : this.#sendUdp(flow, segment, known === undefined, nowNs);
    flow.lastOutNs = nowNs;
    for (let at = segment.seq; at <= segment.seq + segment.length; at++) flow.sentAtNs.set(at, nowNs);
    if (codepoint === 'FNE') {
      flow.lastFneNs = nowNs;
      flow.isAnswerDue = false;
      flow.isPathSuspect = false;
    }
    if (codepoint === 'LEx') this.lexPayloadBytes += segment.length;
    const isCarried = codepoint !== 'FNE' || this.#options.scheme === 'full';
    return flow.path !== 0 && isCarried ? `${codepoint}/${flow.path}` : codepoint;
  }

  /** Takes an inbound packet; returns the path ID taken. */
  receive(packet: NaiveFeedback, nowNs: number): number {
    const flow = this.#flows.get(packet.flow);
    // Accepted only for a known flow.
    if (flow === undefined) return 0;
    flow.isHeard = true;
    if (packet.kind === 'tcp') takeAcknowledgement(flow, packet, nowNs);
    const sinceFneNs = nowNs - flow.lastFneNs;
    if (packet.isFne || packet.assigned !== 0) {
      // 2e; an RTO that nobody measured counts as 3 s.
      const gapNs = Math.max(this.#options.flowletGapNs, this.rtoNs(packet.flow) ?? 3e9);
      if (sinceFneNs > gapNs) flow.isAnswerDue = true;
    }
    if (packet.assigned !== 0) {
      flow.path = packet.assigned;
      flow.pathBefore = 0;
    } else if (flow.pathBefore !== 0 && sinceFneNs >= 0.75 * (flow.srttNs ?? 0)) {
      // The gateway did not answer. (What comes sooner than an RTT was under way already.)
      flow.path = flow.pathBefore;
      flow.pathBefore = 0;
    }
    return packet.assigned;
  }

  #sendTcp(flow: Flow, segment: NaiveSegment, isFirst: boolean, nowNs: number): Codepoint {
    const { seq, length } = segment;
    // 2a
    if (segment.syn === true) {
      if (!isFirst && flow.isn === seq) {
        flow.timed = undefined;
        return 'FNE';
      }
      Object.assign(flow, newFlow(seq), {
        isn: seq,
        synData: positions(seq + 1, length),
        sentBelow: seq + 1,
      });
      flow.highest = seq + 1;
      remember(flow, seq + 1, length, false);
      flow.timed = { end: seq + 1, sinceNs: nowNs };
      return 'FNE';
    }
    if (isFirst) {
      flow.isFlowletWanted = false;
      remember(flow, seq, length, segment.fin === true);
      return 'FNE';
    }

    const highestBefore = flow.highest;
    const isOutstanding = flow.una !== flow.highest;
    const isProbe = !isOutstanding && length <= 1 && seq === flow.una - 1 && segment.fin !== true;
    const isKeepAlive = isProbe && !flow.isWindowZero;
    const data = positions(seq, length);
    const isSent = (byte: number) => byte < flow.sentBelow || flow.sent.has(byte);
    const isNumbered = length > 0 || segment.fin === true;
    const isRetransmission = !isProbe && isNumbered && seq < flow.highest;
    const isHead = isRetransmission && seq === flow.una;
    const isLost = data.some((byte) => isSent(byte) && !flow.refused.has(byte));

    if (isRetransmission) flow.timed = undefined;
    else if (isNumbered && !isProbe) {
      flow.timed ??= { end: seq + length + (segment.fin === true ? 1 : 0), sinceNs: nowNs };
    }
    if (isHead && segment.isTimeout === true) this.#countTimeout(flow, segment.flow, nowNs);
    for (const byte of data) flow.refused.delete(byte);
    if (!isProbe) remember(flow, seq, length, segment.fin === true);

    // 2b
    if (!isOutstanding && this.#isIdle(flow, segment.flow, nowNs)) return this.#beginFlowlet(flow);
    // 2c
    if (isKeepAlive) return 'FNE';
    // 2d
    if (isHead && flow.timeouts >= this.#options.fneAfterTimeouts) {
      flow.path = 0;
      flow.pathBefore = 0;
      flow.isFlowletWanted = false;
      return 'FNE';
    }
    // 2f, which answers as well; 2g, with nothing that was sent before; 2e
    if (flow.isFlowletWanted) return this.#beginFlowlet(flow);
    if (flow.isPathSuspect && !(isNumbered && seq < highestBefore)) {
      flow.path = 0;
      flow.pathBefore = 0;
      return 'FNE';
    }
    if (flow.isAnswerDue) return 'FNE';
    // 3: but zero-window probes are not, nor is what the peer refused with the SYN.
    const isZeroWindowProbe = flow.isWindowZero && (isProbe || seq === flow.una);
    if (isLost && !isZeroWindowProbe) return 'LEx';
    // 4
    return 'LECT';
  }

  #sendUdp(flow: Flow, segment: NaiveSegment, isFirst: boolean, nowNs: number): Codepoint {
    if (isFirst) {
      flow.isFlowletWanted = false;
      return 'FNE';
    }
    if (this.#isIdle(flow, segment.flow, nowNs)) return this.#beginFlowlet(flow);
    const mayAsk = flow.isHeard || nowNs - flow.lastFneNs > this.#options.flowletGapNs;
    if (flow.isFlowletWanted && mayAsk) return this.#beginFlowlet(flow);
    if (flow.isAnswerDue) return 'FNE';
    return segment.isRepeat === true ? 'LEx' : 'LECT';
  }

  /** A silence too long for one timeout at its beginning had a probe timeout in it. */
  #countTimeout(flow: Flow, name: string, nowNs: number): void {
    const silenceNs = nowNs - Math.max(flow.sentAtNs.get(flow.una) ?? 0, flow.lastAckNs);
    const rtoNs = this.rtoNs(name);
    const isProbed =
      flow.timeouts === 0 &&
      !flow.isWindowZero &&
      flow.srttNs !== undefined &&
      rtoNs !== undefined &&
      silenceNs >= rtoNs + Math.max(1.5 * flow.srttNs, 50e6);
    flow.timeouts += isProbed ? 2 : 1;
  }

  #isIdle(flow: Flow, name: string, nowNs: number): boolean {
    return nowNs - flow.lastOutNs > Math.max(this.#options.flowletGapNs, this.rtoNs(name) ?? 0);
  }

  #beginFlowlet(flow: Flow): Codepoint {
    if (flow.path !== 0) flow.pathBefore = flow.path;
    if (!this.#options.keepPathWithoutAnswer) flow.pathBefore = 0;
    flow.path = 0;
    flow.isFlowletWanted = false;
    return 'FNE';
  }
}

function newFlow(seq: number): Flow {
  return {
    isn: undefined,
    sentBelow: seq,
    sent: new Set(),
    highest: seq,
    una: seq,
    hasAck: false,
    isHeard: false,
    isWindowZero: false,
    synData: [],
    refused: new Set(),
    timeouts: 0,
    lastOutNs: 0,
    sentAtNs: new Map(),
    lastAckNs: 0,
    lastFneNs: 0,
    path: 0,
    pathBefore: 0,
    isFlowletWanted: false,
    isAnswerDue: false,
    isPathSuspect: false,
    timed: undefined,
    srttNs: undefined,
    rttvarNs: 0,
  };
}

function positions(from: number, count: number): number[] {
  return Array.from({ length: count }, (_, i) => from + i);
}

function remember(flow: Flow, seq: number, length: number, hasFin: boolean): void {
  if (length === 0 && !hasFin) return;
  // No TCP leaves out positions: those between were sent while this host did not look.
  for (let byte = Math.min(flow.highest, seq); byte < seq + length; byte++) flow.sent.add(byte);
  const end = seq + length + (hasFin ? 1 : 0);
  if (end > flow.highest) flow.highest = end;
}

function takeAcknowledgement(flow: Flow, packet: NaiveFeedback, nowNs: number): void {
  const { ack } = packet;
  if (ack > flow.highest) {
    // Nobody acknowledges what was not sent, unless it was sent before this host looked.
    if (flow.isn !== undefined || flow.hasAck) return;
    flow.highest = ack;
    flow.sentBelow = ack;
  }
  if (ack < flow.una) return;
  if (packet.syn === true && ack === (flow.isn ?? NaN) + 1 && flow.synData.length > 0) {
    // The peer refuses once; a repeat of its SYN-ACK says nothing new.
    flow.refused = new Set(flow.synData);
    flow.synData = [];
  }
  if (ack > flow.una) {
    flow.una = ack;
    flow.timeouts = 0;
    flow.lastAckNs = nowNs;
    if (flow.timed !== undefined && ack >= flow.timed.end) {
      takeRtt(flow, nowNs - flow.timed.sinceNs);
      flow.timed = undefined;
    }
  } else if ((packet.length ?? 0) === 0) flow.lastAckNs = nowNs;
  if (packet.isPeerRepeat === true) flow.isPathSuspect = true;
  // What comes late tells of an earlier window.
  else flow.isWindowZero = packet.isWindowZero;
  flow.hasAck = true;
}

/** RFC 6298 section 2; the host takes a longer RTT for 67 s. */
function takeRtt(flow: Flow, measuredNs: number): void {
  const rttNs = Math.min(measuredNs, 67e9);
  if (flow.srttNs === undefined) {
    flow.srttNs = rttNs;
    flow.rttvarNs = rttNs / 2;
    return;
  }
  flow.rttvarNs = 0.75 * flow.rttvarNs + 0.25 * Math.abs(flow.srttNs - rttNs);
  flow.srttNs = 0.875 * flow.srttNs + 0.125 * rttNs;
}
