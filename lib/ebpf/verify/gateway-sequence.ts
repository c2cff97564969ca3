/**
 * Random traffic between the inside of a domain and the outside as packets: flows of both IP versions whose marks are
 * right, forged or none, FNE packets repeated and answered, floods of them from ever new sources, flows that receive
 * what they acknowledged again, fragments, extension headers, super-packets, and packets that are damaged anywhere. Nothing here says where a packet should go: two
 * implementations of the rules are given the same packets.
 */
import type { MarkingScheme } from '../../wire/marking/scheme.ts';
import {
  CODEPOINT_FNE,
  CODEPOINT_LECT,
  CODEPOINT_LEX,
  CODEPOINT_NOT_LECT,
} from '../../wire/marking/scheme.ts';
import { TCP_ACK, TCP_FIN, TCP_RST, TCP_SYN } from '../../wire/packet-view.ts';
import {
  PROTOCOL_DESTINATION_OPTIONS,
  PROTOCOL_ESP,
  PROTOCOL_HOP_BY_HOP,
  PROTOCOL_ICMP,
  PROTOCOL_ROUTING,
  PROTOCOL_TCP,
  PROTOCOL_UDP,
} from '../../wire/protocol-numbers.ts';
import { damagePacket } from './damage.ts';
import type { Dice } from './dice.ts';
import type { NetworkFields, PacketWriter } from './packet-writer.ts';
import type { StorySegment } from './receiver-story.ts';
import { drawReceiverStory } from './receiver-story.ts';
import { Repeater } from './repeater.ts';

/** One packet of a sequence; its bytes are in the writer. */
export interface GatewayStep {
  readonly isOutbound: boolean;
  /** Bytes of the IP packet that are there. */
  readonly length: number;
  readonly nowNs: number;
  /** Payload of each segment of a super-packet; 0 for any other packet. */
  readonly gsoSize: number;
}

const FLOWS = 6;
const TCP_FLAGS = [
  TCP_ACK,
  TCP_ACK,
  TCP_ACK,
  TCP_ACK,
  TCP_SYN,
  TCP_SYN,
  TCP_SYN | TCP_ACK,
  TCP_SYN | TCP_ACK,
  TCP_ACK | TCP_FIN,
  TCP_RST,
];
const EXTENSIONS = [PROTOCOL_HOP_BY_HOP, PROTOCOL_ROUTING, PROTOCOL_DESTINATION_OPTIONS];
const LONGEST_PAYLOAD = 1400;

interface Flow {
  readonly version: 4 | 6;
  readonly inside: readonly number[];
  readonly outside: readonly number[];
  readonly insidePort: number;
  readonly outsidePort: number;
  readonly protocol: number;
}

/** One sequence. Ask for {@link next} as often as wanted. */
export class GatewaySequence {
  readonly #dice: Dice;
  readonly #writer: PacketWriter;
  readonly #scheme: MarkingScheme;
  readonly #pathIds: readonly number[];
  readonly #flows: readonly Flow[];
  #nowNs: number;
  /** A flow that receives, and what is left of it. */
  #story: { readonly flow: Flow; readonly segments: StorySegment[] } | undefined;
  readonly #repeater: Repeater<Omit<GatewayStep, 'nowNs'>>;

  /**
   * @param dice - drawn from; the same numbers give the same sequence
   * @param pathIds - of the gateway's routes
   * @param startNs - time before the first packet
   */
  constructor(
    dice: Dice,
    writer: PacketWriter,
    scheme: MarkingScheme,
    pathIds: readonly number[],
    startNs: number,
  ) {
    this.#dice = dice;
    this.#repeater = new Repeater(dice, 8, 6);
    this.#writer = writer;
    this.#scheme = scheme;
    this.#pathIds = pathIds;
    this.#nowNs = startNs;
    this.#flows = Array.from({ length: FLOWS }, (_, i) => this.#makeFlow(40_000 + i));
  }

  /** Waits, and writes the next packet. */
  next(): GatewayStep {
    const dice = this.#dice;
    const step = this.#goOn() ?? this.#draw();
    const length = dice.once(20) ? damagePacket(dice, this.#writer.bytes, step.length) : step.length;
    return { ...step, length, nowNs: this.#nowNs };
  }

  /** Time of the last packet, ns. */
  get nowNs(): number {
    return this.#nowNs;
  }

  #draw(): Omit<GatewayStep, 'nowNs'> {
    this.#wait();
    return this.#repeater.next(() => this.#choose());
  }

  /** The next segment of a flow that receives, now and then. */
  #goOn(): Omit<GatewayStep, 'nowNs'> | undefined {
    const dice = this.#dice;
    if (this.#story === undefined && dice.once(15)) {
      const flow = { ...this.#makeFlow(dice.below(60_000)), protocol: PROTOCOL_TCP };
      this.#story = { flow, segments: drawReceiverStory(dice, this.#pathIds) };
    }
    if (this.#story === undefined || dice.once(8)) return undefined;
    const { flow, segments } = this.#story;
    const segment = segments.shift();
    if (segment === undefined) {
      this.#story = undefined;
      return undefined;
    }
    const { isOutbound, codepoint, pathId, seq, ack, payload, pauseNs } = segment;
    this.#nowNs += pauseNs;
    const length = this.#writer.segment(this.#network(flow, isOutbound, this.#encode(codepoint, pathId)), {
      srcPort: isOutbound ? flow.insidePort : flow.outsidePort,
      dstPort: isOutbound ? flow.outsidePort : flow.insidePort,
      ...{ seq, ack, flags: TCP_ACK, window: 1000, payload },
    });
    return { isOutbound, length, gsoSize: 0 };
  }

  #choose(): () => Omit<GatewayStep, 'nowNs'> {
    const dice = this.#dice;
    const kind = dice.below(20);
    const isOutbound = dice.once(2);
    if (kind === 0) {
      // From ever new sources.
      const codepoint = dice.once(3) ? CODEPOINT_NOT_LECT : CODEPOINT_FNE;
      return () => this.#send(this.#makeFlow(dice.below(60_000)), isOutbound, this.#encode(codepoint, 0));
    }
    const flow = dice.pick(this.#flows);
    if (kind === 1) return () => this.#fragment(flow, isOutbound);
    if (kind === 2) return () => this.#stranger(flow, isOutbound);
    if (kind < 7) {
      // A new flowlet: the FNE packet, or the answer.
      const dscp = this.#encode(isOutbound || dice.once(2) ? CODEPOINT_FNE : CODEPOINT_NOT_LECT, 0);
      return () => this.#send(flow, isOutbound, dscp);
    }
    const dscp = this.#dscp();
    return () => this.#send(flow, isOutbound, dscp);
  }

  #send(flow: Flow, isOutbound: boolean, dscp: number): Omit<GatewayStep, 'nowNs'> {
    const dice = this.#dice;
    const network = this.#network(flow, isOutbound, dscp);
    const [srcPort, dstPort] = isOutbound
      ? [flow.insidePort, flow.outsidePort]
      : [flow.outsidePort, flow.insidePort];
    const payload = dice.once(2) ? 0 : dice.below(LONGEST_PAYLOAD);
    const gsoSize = dice.once(10) ? 1 + dice.below(500) : 0;
    if (flow.protocol === PROTOCOL_UDP) {
      return { isOutbound, length: this.#writer.datagram(network, srcPort, dstPort, payload), gsoSize };
    }
    const length = this.#writer.segment(network, {
      srcPort,
      dstPort,
      seq: dice.below(2 ** 31),
      ack: dice.below(2 ** 31),
      flags: dice.pick(TCP_FLAGS),
      window: 1000,
      ...(dice.once(4) ? { options: [1, 1, 8, 10, 0, 0, 0, 1, 0, 0, 0, 2] } : {}),
      payload,
    });
    return { isOutbound, length, gsoSize };
  }

  #fragment(flow: Flow, isOutbound: boolean): Omit<GatewayStep, 'nowNs'> {
    const dice = this.#dice;
    const isFirst = dice.once(2);
    const network = {
      ...this.#network(flow, isOutbound, this.#dscp()),
      fragment: {
        offset: isFirst ? 0 : 1 + dice.below(100),
        more: isFirst || dice.once(2),
        identification: dice.below(2),
      },
    };
    const payload = dice.below(64);
    const length =
      isFirst && flow.protocol === PROTOCOL_UDP
        ? this.#writer.datagram(network, flow.insidePort, flow.outsidePort, payload)
        : this.#writer.other(network, payload);
    return { isOutbound, length, gsoSize: 0 };
  }

  /** Not TCP, not UDP. */
  #stranger(flow: Flow, isOutbound: boolean): Omit<GatewayStep, 'nowNs'> {
    const dice = this.#dice;
    const protocol = dice.pick([PROTOCOL_ICMP, PROTOCOL_ESP]);
    const network = { ...this.#network(flow, isOutbound, this.#dscp()), protocol };
    return { isOutbound, length: this.#writer.other(network, dice.below(100)), gsoSize: 0 };
  }

  #makeFlow(port: number): Flow {
    const dice = this.#dice;
    const isIpv4 = dice.once(2);
    // Prefixes cover some of it in one way, some in two, and some not at all.
    const [third, last] = [dice.below(6), dice.pick([1, 2, 100, 200])];
    return {
      version: isIpv4 ? 4 : 6,
      inside: isIpv4 ? [0x0a000001] : [0xfd000000 | 0, 0, 0, 1],
      outside: isIpv4 ? [0x0a010000 | (third << 8) | last] : [0xfd010000 | 0, third << 8, 0, last],
      insidePort: port,
      outsidePort: dice.pick([80, 443]),
      protocol: dice.once(4) ? PROTOCOL_UDP : PROTOCOL_TCP,
    };
  }

  #network(flow: Flow, isOutbound: boolean, dscp: number): NetworkFields {
    const dice = this.#dice;
    return {
      version: flow.version,
      src: isOutbound ? flow.inside : flow.outside,
      dst: isOutbound ? flow.outside : flow.inside,
      dscp,
      protocol: flow.protocol,
      ...(flow.version === 4 && dice.once(20) ? { optionWords: 1 + dice.below(10) } : {}),
      ...(flow.version === 6 && dice.once(15)
        ? { extensions: Array.from({ length: 1 + dice.below(3) }, () => dice.pick(EXTENSIONS)) }
        : {}),
    };
  }

  /** Any mark: with a path of this gateway, another path, or none; or any DSCP. */
  #dscp(): number {
    const dice = this.#dice;
    if (dice.once(8)) return dice.below(64);
    const codepoint = dice.pick([
      CODEPOINT_NOT_LECT,
      CODEPOINT_LECT,
      CODEPOINT_LECT,
      CODEPOINT_LEX,
      CODEPOINT_FNE,
    ]);
    const kind = dice.below(6);
    const pathId = kind === 0 ? 0 : kind === 1 ? dice.below(16) : dice.pick(this.#pathIds);
    return this.#encode(codepoint, pathId);
  }

  #encode(codepoint: number, pathId: number): number {
    if (codepoint === CODEPOINT_NOT_LECT) return 0;
    return this.#scheme.encodeTable[codepoint | (pathId << 2)] & 63;
  }

  #wait(): void {
    const dice = this.#dice;
    // Or at the very same time, where buckets and lifetimes have their edges.
    if (dice.once(10)) return;
    const kind = dice.below(40);
    const ms =
      kind < 28 ? dice.below(30) : kind < 36 ? dice.below(500) : kind < 39 ? dice.below(4000) : 12_000;
    this.#nowNs += ms * 1e6 + dice.below(1e6);
  }
}
