/**
 * Two LexHosts and the network between them, in virtual time. The test decides for each packet how long it is under
 * way, whether it is lost, and what the gateways write into it; what a host sends is the test's as well.
 *
 *      test -> send('a', packet) -> a.handleOutbound -> leaves(packet) -> delay or loss
 *                                                                           |
 *      test <- onDeliver('b', packet) <- b.handleInbound <- enters(packet) <+
 *
 * Events of the same time happen in the order in which they were asked for. There is no clock but the queue.
 */
import { LexHost } from '../../lib/lex/lex-host.ts';
import type { LexHostOptions } from '../../lib/lex/options.ts';
import { REASON_NAMES } from '../../lib/lex/reasons.ts';
import { dscpOf, markText } from './one-host.ts';
import type { SchemeName } from './one-host.ts';
import { viewOf } from './packets.ts';

export type Side = 'a' | 'b';

/** One packet that a host sent. */
export interface Passage {
  readonly from: Side;
  /** How many packets this side had sent before. */
  readonly number: number;
  readonly sentNs: number;
  /** As the host marked it, for example `LECT/3`. */
  readonly mark: string;
  /** Why, a name of REASON_NAMES. */
  readonly reason: string;
  readonly packet: Uint8Array;
}

/** What the test decides. */
export interface HostPairOptions {
  readonly a?: LexHostOptions;
  readonly b?: LexHostOptions;
  /** Time under way in ns, one way. */
  readonly delayNs: number | ((passage: Passage) => number);
  /** True for a packet that gets lost; default none does. */
  readonly isLost?: (passage: Passage) => boolean;
  /** The gateway of the sender's domain; may rewrite the packet. */
  readonly leaves?: (from: Side, packet: Uint8Array, nowNs: number) => void;
  /** The gateway of the receiver's domain; may rewrite the packet. */
  readonly enters?: (to: Side, packet: Uint8Array, nowNs: number) => void;
}

interface Event {
  readonly atNs: number;
  readonly act: () => void;
}

/** See the head of the file. */
export class HostPair {
  readonly hosts: { a: LexHost; b: LexHost };
  /** Every packet sent, in order. */
  readonly passages: Passage[] = [];
  /** The time now, in ns. */
  nowNs = 0;
  /** Called for each packet that arrived, after the host saw it: the receiver's transport. */
  onDeliver: (to: Side, packet: Uint8Array) => void = () => undefined;

  readonly #options: HostPairOptions;
  readonly #queue: Event[] = [];
  readonly #sent = { a: 0, b: 0 };

  constructor(options: HostPairOptions) {
    this.#options = options;
    this.hosts = { a: new LexHost(options.a), b: new LexHost(options.b) };
  }

  /** The agent of one side starts again. */
  restart(side: Side): void {
    this.hosts[side] = new LexHost(this.#options[side]);
  }

  /** Does something at a time, in ns, not before now. */
  at(atNs: number, act: () => void): void {
    if (!(atNs >= this.nowNs)) throw new Error(`${atNs} ns is in the past of ${this.nowNs} ns`);
    let i = this.#queue.length;
    while (i > 0 && this.#queue[i - 1]!.atNs > atNs) i--;
    this.#queue.splice(i, 0, { atNs, act });
  }

  /** Sends a packet now; its bytes are copied. */
  send(from: Side, bytes: Uint8Array, hints = 0): Passage {
    const packet = bytes.slice();
    const host = this.hosts[from];
    host.handleOutbound(viewOf(packet), 0, packet.length, this.nowNs, hints);
    const scheme: SchemeName = this.#options[from]?.scheme ?? 'pool2';
    const passage: Passage = {
      from,
      number: this.#sent[from]++,
      sentNs: this.nowNs,
      mark: markText(scheme, dscpOf(packet)),
      reason: REASON_NAMES[host.lastReason]!,
      packet: packet.slice(),
    };
    this.passages.push(passage);
    this.#options.leaves?.(from, packet, this.nowNs);
    if (this.#options.isLost?.(passage) !== true) {
      const { delayNs } = this.#options;
      const under = typeof delayNs === 'number' ? delayNs : delayNs(passage);
      const to = from === 'a' ? 'b' : 'a';
      this.at(this.nowNs + under, () => this.#deliver(to, packet));
    }
    return passage;
  }

  /** Lets time go on until `endNs`; afterwards it is that time. */
  run(endNs: number): void {
    while (this.#queue.length > 0 && this.#queue[0]!.atNs <= endNs) {
      const event = this.#queue.shift()!;
      this.nowNs = event.atNs;
      event.act();
    }
    this.nowNs = endNs;
  }

  #deliver(to: Side, packet: Uint8Array): void {
    this.#options.enters?.(to, packet, this.nowNs);
    this.hosts[to].handleInbound(viewOf(packet), 0, packet.length, this.nowNs);
    this.onDeliver(to, packet);
  }
}

/**
 * A gateway for both domains, as small as can be: it takes path IDs off on the way out, assigns the paths 1, 2, 3 in
 * turn to inbound FNE and, when it infers, to the first inbound packet after an own FNE without an answer.
 */
export function smallGateway(
  scheme: SchemeName,
  infers: boolean,
): Required<Pick<HostPairOptions, 'leaves' | 'enters'>> {
  const next = { a: 0, b: 0 };
  const isUnanswered = { a: false, b: false };
  return {
    leaves(from, packet) {
      const mark = markText(scheme, dscpOf(packet)).split('/')[0]!;
      if (mark === 'FNE') isUnanswered[from] = true;
      if (mark !== 'Not-LECT') writePlainDscp(packet, plainDscp(scheme, mark));
    },
    enters(to, packet) {
      const isFne = markText(scheme, dscpOf(packet)) === 'FNE';
      if (!isFne && !(infers && isUnanswered[to])) return;
      isUnanswered[to] = false;
      const pathId = (next[to]++ % 3) + 1;
      writePlainDscp(packet, scheme === 'pool2' ? 8 * pathId + 3 : pathId * 4 + 3);
    },
  };
}

function plainDscp(scheme: SchemeName, mark: string): number {
  const values = scheme === 'pool2' ? { LECT: 3, LEx: 63, FNE: 7 } : { LECT: 1, LEx: 2, FNE: 3 };
  return values[mark as 'LECT' | 'LEx' | 'FNE'];
}

/** Writes the DSCP without minding the checksum, which no host looks at here. */
function writePlainDscp(packet: Uint8Array, dscp: number): void {
  if (packet[0]! >> 4 === 4) packet[1] = (dscp << 2) | (packet[1]! & 3);
  else {
    packet[0] = 0x60 | (dscp >> 2);
    packet[1] = ((dscp & 3) << 6) | (packet[1]! & 0x3f);
  }
}
