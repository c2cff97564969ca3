/**
 * Random lives of a few flows as packets: handshakes with and without Fast Open, new data, losses, timeouts, idle gaps,
 * wrapping sequence numbers, keep-alives, closed windows, FNE floods, assignments, ends and new beginnings, fragments,
 * extension headers, and packets that are damaged anywhere. Nothing here says what a packet should be marked: two
 * implementations of the rules are given the same packets.
 */
import { HINT_NEW_FLOWLET, HINT_RETRANSMISSION } from '../../lex/datagram.ts';
import { TCP_ACK, TCP_FIN, TCP_RST, TCP_SYN } from '../../wire/packet-view.ts';
import {
  PROTOCOL_AUTHENTICATION,
  PROTOCOL_DESTINATION_OPTIONS,
  PROTOCOL_ESP,
  PROTOCOL_FRAGMENT,
  PROTOCOL_HOP_BY_HOP,
  PROTOCOL_ICMP,
  PROTOCOL_ROUTING,
  PROTOCOL_TCP,
  PROTOCOL_UDP,
} from '../../wire/protocol-numbers.ts';
import { damagePacket } from './damage.ts';
import type { Dice } from './dice.ts';
import type { NetworkFields, PacketWriter } from './packet-writer.ts';
import { Repeater } from './repeater.ts';

/** One packet of a sequence; its bytes are in the writer. */
export interface SequenceStep {
  readonly isOutbound: boolean;
  /** Bytes of the IP packet that are there. */
  readonly length: number;
  readonly nowNs: number;
  /** Hints of an application, of an outbound packet. */
  readonly hints: number;
}

/** What a sequence needs to know of the options that the hosts have. */
export interface SequenceSettings {
  readonly scheme: 'pool2' | 'full';
  /** Silences after which a flow is forgotten. No packet comes within {@link FORGETTING_NS} after one has passed. */
  readonly idleLimitsNs: readonly number[];
}

/** A host that forgets idle flows in sweeps, 100 ms apart, has done so after this. */
export const FORGETTING_NS = 200e6;

const FLOWS = 3;
const LONGEST_PAYLOAD = 1400;
const EXTENSIONS = [
  PROTOCOL_HOP_BY_HOP,
  PROTOCOL_ROUTING,
  PROTOCOL_DESTINATION_OPTIONS,
  PROTOCOL_AUTHENTICATION,
  PROTOCOL_FRAGMENT,
];
/** Initial sequence numbers: anything, and just before the places where arithmetic may go wrong. */
const BASES = [0, -1, -20, -3000, 2 ** 31 - 1, -(2 ** 31), 2 ** 31 - 2000, 1_000_000];

interface Sender {
  readonly port: number;
  isn: number;
  /** Positions relative to isn: oldest without acknowledgement, and one past the highest sent. */
  una: number;
  highest: number;
  isOpen: boolean;
  peerSeq: number;
  window: number;
}

/** One sequence. Ask for {@link next} as often as wanted. */
export class PacketSequence {
  readonly #dice: Dice;
  readonly #writer: PacketWriter;
  readonly #settings: SequenceSettings;
  readonly #version: 4 | 6;
  readonly #senders: Sender[];
  /** When packets came, for the forgetting. */
  readonly #times: number[] = [];
  #nowNs = 1e9;
  readonly #repeater: Repeater<Omit<SequenceStep, 'nowNs'>>;

  /** @param dice - drawn from; the same numbers give the same sequence */
  constructor(dice: Dice, writer: PacketWriter, settings: SequenceSettings) {
    this.#dice = dice;
    this.#repeater = new Repeater(dice, 12, 4);
    this.#writer = writer;
    this.#settings = settings;
    this.#version = dice.once(2) ? 6 : 4;
    this.#senders = Array.from({ length: FLOWS }, (_, i) => ({
      port: 40_000 + i,
      isn: 0,
      una: 0,
      highest: 0,
      isOpen: false,
      peerSeq: dice.pick(BASES),
      window: 1000,
    }));
  }

  /** Waits, and writes the next packet. */
  next(): SequenceStep {
    const dice = this.#dice;
    this.#wait();
    const step = this.#repeater.next(() => this.#choose());
    const length = dice.once(15) ? damagePacket(dice, this.#writer.bytes, step.length) : step.length;
    this.#times.push(this.#nowNs);
    return { ...step, length, nowNs: this.#nowNs };
  }

  #choose(): () => Omit<SequenceStep, 'nowNs'> {
    const dice = this.#dice;
    const kind = dice.below(40);
    if (kind < 4) return () => this.#datagramOut();
    if (kind < 7) return () => this.#datagramIn();
    if (kind === 7) {
      // Several together, as they leave a host.
      return this.#repeater.repeat(() => this.#fragment());
    }
    if (kind === 8) return () => this.#stranger();
    const sender = dice.pick(this.#senders);
    if (!sender.isOpen || dice.once(40)) return () => this.#open(sender);
    if (kind < 25) {
      const op = dice.below(16);
      return () => this.#send(sender, op);
    }
    const op = dice.below(16);
    return () => this.#receive(sender, op);
  }

  #open(s: Sender): Omit<SequenceStep, 'nowNs'> {
    const dice = this.#dice;
    s.isn = (dice.pick(BASES) + dice.below(30)) | 0;
    s.isOpen = true;
    s.window = 1000;
    if (dice.once(5)) {
      // The host comes to the flow in its middle.
      s.una = 0;
      s.highest = dice.below(2000);
      return this.#out(s, 0, s.highest, TCP_ACK);
    }
    const data = dice.once(3) ? 1 + dice.below(500) : 0;
    s.una = 0;
    s.highest = 1 + data;
    return this.#out(s, 0, data, dice.once(4) ? TCP_SYN | TCP_ACK : TCP_SYN);
  }

  #send(s: Sender, op: number): Omit<SequenceStep, 'nowNs'> {
    const dice = this.#dice;
    const outstanding = s.highest - s.una;
    const some = 1 + dice.below(Math.min(LONGEST_PAYLOAD, Math.max(outstanding, 1)));
    switch (op) {
      case 0:
        return this.#out(s, s.highest, 0, TCP_ACK);
      case 1:
      case 2:
      case 3:
        // The head again.
        return this.#out(s, s.una, some, TCP_ACK);
      case 4:
        return this.#out(s, s.una + dice.below(outstanding), some, TCP_ACK);
      case 5:
        // Old with new.
        return this.#out(s, s.una, Math.min(outstanding + 1 + dice.below(50), LONGEST_PAYLOAD), TCP_ACK);
      case 6:
      case 7:
        return this.#out(s, s.una - 1, dice.below(2), TCP_ACK);
      case 8:
        return this.#out(s, 0, dice.once(2) ? 0 : Math.min(s.highest, 200), TCP_SYN);
      case 9:
        return this.#out(s, s.highest, dice.below(2) * dice.below(500), TCP_ACK | TCP_FIN);
      case 10:
        return this.#out(s, s.una, 0, dice.once(2) ? TCP_RST : TCP_RST | TCP_ACK);
      case 11:
        return this.#out(s, dice.below(2 ** 31) - 2 ** 30, dice.below(100), TCP_ACK);
      default: {
        const length = 1 + dice.below(LONGEST_PAYLOAD);
        return this.#out(s, s.highest, length, TCP_ACK);
      }
    }
  }

  #receive(s: Sender, op: number): Omit<SequenceStep, 'nowNs'> {
    const dice = this.#dice;
    const outstanding = s.highest - s.una;
    switch (op) {
      case 0:
        return this.#in(s, s.highest + 1 + dice.below(1000), TCP_ACK, 0);
      case 1:
        return this.#in(s, s.una - 1 - dice.below(100), TCP_ACK, 0);
      case 2:
        s.window = 0;
        return this.#in(s, s.una, TCP_ACK, 0);
      case 3:
        s.window = 1000;
        return this.#in(s, s.una, TCP_ACK, 0);
      case 4:
      case 9:
        // Also one that refuses the data of the SYN.
        return this.#in(s, s.una > 1 || dice.once(3) ? s.highest : 1, TCP_SYN | TCP_ACK, 0);
      case 5:
        return this.#in(s, s.una, TCP_ACK | (dice.once(3) ? TCP_FIN : 0), 1 + dice.below(800));
      case 6:
        return this.#in(s, s.una, dice.once(3) ? TCP_RST : TCP_ACK | TCP_FIN, 0);
      case 7:
      case 8:
        return this.#in(s, s.una, TCP_ACK, 0);
      case 10:
        // What was acknowledged, or will be, once more.
        return this.#in(s, s.una, TCP_ACK, dice.below(20), true);
      default:
        s.una += dice.below(outstanding + 1);
        return this.#in(s, s.una, TCP_ACK, dice.once(4) ? dice.below(300) : 0);
    }
  }

  #out(s: Sender, position: number, payload: number, flags: number): Omit<SequenceStep, 'nowNs'> {
    const dice = this.#dice;
    const end = position + payload + ((flags & (TCP_SYN | TCP_FIN)) !== 0 ? 1 : 0);
    if (end > s.highest && end < s.highest + 4000) s.highest = end;
    const length = this.#writer.segment(this.#network(PROTOCOL_TCP, true), {
      srcPort: s.port,
      dstPort: 80,
      seq: (s.isn + position) | 0,
      ack: s.peerSeq,
      flags,
      window: 1000,
      options: this.#options(),
      payload,
    });
    return { isOutbound: true, length, hints: dice.once(30) ? HINT_NEW_FLOWLET : 0 };
  }

  #in(
    s: Sender,
    position: number,
    flags: number,
    payload: number,
    isRepeat = false,
  ): Omit<SequenceStep, 'nowNs'> {
    const length = this.#writer.segment(this.#network(PROTOCOL_TCP, false), {
      srcPort: 80,
      dstPort: s.port,
      seq: isRepeat ? (s.peerSeq - payload) | 0 : this.#dice.once(20) ? (s.peerSeq - 10) | 0 : s.peerSeq,
      ack: (s.isn + position) | 0,
      flags,
      window: s.window,
      options: this.#options(),
      payload,
    });
    if (!isRepeat) s.peerSeq = (s.peerSeq + payload) | 0;
    return { isOutbound: false, length, hints: 0 };
  }

  #datagramOut(): Omit<SequenceStep, 'nowNs'> {
    const dice = this.#dice;
    const length = this.#writer.datagram(
      this.#network(PROTOCOL_UDP, true),
      40_000,
      53,
      dice.below(LONGEST_PAYLOAD),
    );
    const hints = (dice.once(5) ? HINT_NEW_FLOWLET : 0) | (dice.once(4) ? HINT_RETRANSMISSION : 0);
    return { isOutbound: true, length, hints };
  }

  #datagramIn(): Omit<SequenceStep, 'nowNs'> {
    const port = this.#dice.once(6) ? 40_001 : 40_000;
    const length = this.#writer.datagram(this.#network(PROTOCOL_UDP, false), 53, port, this.#dice.below(200));
    return { isOutbound: false, length, hints: 0 };
  }

  #fragment(): Omit<SequenceStep, 'nowNs'> {
    const dice = this.#dice;
    const isOutbound = !dice.once(4);
    const protocol = dice.pick([PROTOCOL_UDP, PROTOCOL_UDP, PROTOCOL_TCP, PROTOCOL_ICMP]);
    const isFirst = dice.once(2);
    const network = {
      ...this.#network(protocol, isOutbound),
      fragment: {
        offset: isFirst ? 0 : 1 + dice.below(100),
        more: isFirst || dice.once(2),
        identification: dice.below(2),
      },
    };
    const payload = dice.below(64);
    const length = isFirst
      ? this.#writer.datagram(network, 40_000, 53, payload)
      : this.#writer.other(network, payload);
    return { isOutbound, length, hints: 0 };
  }

  /** Not TCP, not UDP, or to everybody. */
  #stranger(): Omit<SequenceStep, 'nowNs'> {
    const dice = this.#dice;
    const isOutbound = dice.once(2);
    const network = this.#network(dice.pick([PROTOCOL_ICMP, PROTOCOL_ESP, PROTOCOL_UDP]), isOutbound);
    if (dice.once(2)) return { isOutbound, length: this.#writer.other(network, dice.below(100)), hints: 0 };
    const group = network.version === 4 ? [dice.pick([0xe0000001 | 0, -1])] : [0xff020000 | 0, 0, 0, 1];
    const length = this.#writer.datagram({ ...network, dst: group, protocol: PROTOCOL_UDP }, 40_000, 53, 8);
    return { isOutbound: true, length, hints: 0 };
  }

  #network(protocol: number, isOutbound: boolean): NetworkFields {
    const dice = this.#dice;
    const isIpv4 = this.#version === 4;
    const own = isIpv4 ? [0x0a000001] : [0xfd000000 | 0, 0, 0, 1];
    const peer = isIpv4 ? [0x0a000102] : [0xfd000001 | 0, 0, 0, 2];
    return {
      version: this.#version,
      src: isOutbound ? own : peer,
      dst: isOutbound ? peer : own,
      dscp: isOutbound ? (dice.once(4) ? dice.below(64) : 0) : this.#inboundDscp(),
      protocol,
      ...(isIpv4 && dice.once(15) ? { optionWords: 1 + dice.below(10) } : {}),
      ...(!isIpv4 && dice.once(10)
        ? {
            extensions: Array.from({ length: 1 + dice.below(dice.once(8) ? 9 : 3) }, () =>
              dice.pick(EXTENSIONS),
            ),
          }
        : {}),
    };
  }

  /** An assignment, an FNE, nothing, or anything. */
  #inboundDscp(): number {
    const dice = this.#dice;
    const path = 1 + dice.below(6);
    const isPool2 = this.#settings.scheme === 'pool2';
    switch (dice.below(8)) {
      case 0:
        return isPool2 ? 8 * path + 3 : (path << 2) | 3;
      case 1:
        return isPool2 ? 7 : 3;
      case 2:
        return dice.below(64);
      default:
        return 0;
    }
  }

  /** None, timestamps, selective acknowledgements, or anything. */
  #options(): number[] {
    const dice = this.#dice;
    const timestamps = [1, 1, 8, 10, 0, 0, 0, 1, 0, 0, 0, 2];
    const blocks = 1 + dice.below(3);
    const sack = [1, 1, 5, 2 + 8 * blocks, ...Array<number>(8 * blocks).fill(7)];
    switch (dice.below(8)) {
      case 0:
      case 1:
        return timestamps;
      case 2:
        return sack;
      case 3:
        return blocks === 1 ? [...timestamps, ...sack] : sack;
      case 4:
        return Array.from({ length: dice.below(41) }, () => (dice.once(2) ? 1 : dice.below(14)));
      default:
        return [];
    }
  }

  #wait(): void {
    const dice = this.#dice;
    const kind = dice.below(60);
    const ms =
      kind < 40
        ? dice.below(40)
        : kind < 52
          ? dice.below(700)
          : kind < 57
            ? dice.below(5000)
            : dice.pick([20_000, 65_000, 190_000, 700_000]) + dice.below(2000);
    this.#nowNs += ms * 1e6 + dice.below(1e6);
    while (this.#isForgetting()) this.#nowNs += 2 * FORGETTING_NS;
  }

  #isForgetting(): boolean {
    return this.#times.some((time) =>
      this.#settings.idleLimitsNs.some((limit) => {
        const over = this.#nowNs - time - limit;
        return over > 0 && over <= FORGETTING_NS;
      }),
    );
  }
}
