/** Two simulated hosts on one link, and everything that passes between them written down. */
import type { Host } from '../../lib/sim/host.ts';
import { Network } from '../../lib/sim/network.ts';
import type { TcpOptions } from '../../lib/sim/tcp/options.ts';
import type { LinkSpec } from '../../lib/sim/topology.ts';
import { PacketView, parsePacket, PARSE_OK } from '../../lib/wire/packet-view.ts';
import { isHeaderChecksumValid } from '../../lib/wire/ipv4.ts';
import { sackBlockCount, sackLeftEdge, sackOption, sackRightEdge } from '../../lib/wire/tcp-options.ts';

/** A segment as it was offered to the link. Sequence numbers count from the initial one of its sender. */
export interface SeenSegment {
  readonly timeMs: number;
  /** `a` sends to `b`, or `b` to `a`. */
  readonly from: 'a' | 'b';
  readonly flags: string;
  readonly seq: number;
  readonly ack: number;
  readonly payload: number;
  readonly window: number;
  /** Blocks relative to the initial sequence number of the peer. */
  readonly sack: readonly (readonly [number, number])[];
  readonly isDropped: boolean;
}

/** The pair. One-way delay 50 ms and no rate unless told otherwise. */
export class SimPair {
  readonly network: Network;
  readonly a: Host;
  readonly b: Host;
  readonly seen: SeenSegment[] = [];
  /** Drops what it says of a segment that is about to be offered. */
  drop: (segment: Omit<SeenSegment, 'isDropped'>) => boolean = () => false;
  #iss = { a: 0, b: 0 };

  constructor(
    options: {
      readonly tcp?: TcpOptions;
      readonly tcpOfB?: TcpOptions;
      readonly link?: Partial<LinkSpec>;
      readonly lex?: boolean;
      readonly seed?: number;
    } = {},
  ) {
    const tcp: TcpOptions = { congestionControl: 'newreno', ...options.tcp };
    this.network = new Network(
      {
        hosts: [
          { name: 'a', address: '10.0.0.1', tcp, lex: options.lex ?? false },
          { name: 'b', address: '10.0.1.1', tcp: { ...tcp, ...options.tcpOfB }, lex: options.lex ?? false },
        ],
        links: [{ name: 'l', between: ['a', 'b'], delayNs: 50e6, ...options.link }],
      },
      options.seed ?? 1,
    );
    this.a = this.network.host('a');
    this.b = this.network.host('b');
    const [forward, back] = this.network.link('l');
    forward.filter = (view, at, nowNs) => this.#see('a', view, at, nowNs);
    back.filter = (view, at, nowNs) => this.#see('b', view, at, nowNs);
  }

  /** Segments of `a` with payload, in order. */
  get data(): readonly SeenSegment[] {
    return this.seen.filter((segment) => segment.from === 'a' && segment.payload > 0);
  }

  /** Runs until that time. */
  runMs(timeMs: number): void {
    this.network.run(timeMs * 1e6);
  }

  #see(from: 'a' | 'b', view: DataView, at: number, nowNs: number): boolean {
    const packet = new PacketView();
    if (parsePacket(view, at, view.getUint16(at + 2), packet) !== PARSE_OK)
      throw new Error('packet does not parse');
    if (!isHeaderChecksumValid(view, at)) throw new Error('header checksum is wrong');
    const names = ['FIN', 'SYN', 'RST', 'PSH', 'ACK'];
    const flags = names.filter((_, bit) => (packet.tcpFlags & (1 << bit)) !== 0).join(' ');
    if (flags.includes('SYN')) this.#iss[from] = packet.seqNumber;
    const own = this.#iss[from];
    const peer = this.#iss[from === 'a' ? 'b' : 'a'];
    const option = sackOption(view, at + packet.headerLength);
    const segment = {
      timeMs: nowNs / 1e6,
      from,
      flags,
      seq: (packet.seqNumber - own) | 0,
      ack: flags.includes('ACK') ? (packet.ackNumber - peer) | 0 : 0,
      payload: packet.payloadLength,
      window: packet.windowField,
      sack: Array.from(
        { length: option < 0 ? 0 : sackBlockCount(view, option) },
        (_, i) =>
          [(sackLeftEdge(view, option, i) - peer) | 0, (sackRightEdge(view, option, i) - peer) | 0] as const,
      ),
    };
    const isDropped = this.drop(segment);
    this.seen.push({ ...segment, isDropped });
    return isDropped;
  }
}
