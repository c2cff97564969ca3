/**
 * One direction of a link, as arithmetic: a packet is offered, and the link says when its last bit arrives at the far
 * end, or why it never will. It holds no packets and no clock, so that the laboratory's forwarder and the simulator
 * run the very same link.
 *
 *      offer --> [down?] --> [random loss?] --> [RED?] --> [queue full?] --> transmitter (rate) --> delay --> due
 *                   |              |               |            |
 *                blackhole       loss            early      queueFull     counted by reason, never silent
 *
 * The transmitter is a virtual clock: it is busy until the last accepted packet has left, whatever the caller's own
 * lateness, so that no capacity is lost while the caller's processor is elsewhere.
 */
import { invalidOption, rejectUnknownKeys, requireInteger, requireNumber } from '../errors.ts';
import { RedQueue } from './red.ts';
import type { RedOptions } from './red.ts';

/** Loss with a memory: two states, each with its own loss ratio (Gilbert 1960, Elliott 1963). */
export interface GilbertElliott {
  /** Probability to go from good to bad, per packet, 0..1. */
  readonly goodToBad: number;
  /** Probability to go from bad to good, per packet, 0..1. */
  readonly badToGood: number;
  /** Loss ratio in the good state, 0..1; default 0. */
  readonly lossInGood?: number;
  /** Loss ratio in the bad state, 0..1; default 1. */
  readonly lossInBad?: number;
}

/** Options of a {@link Link}. */
export interface LinkOptions {
  /** Rate in bit/s of IP packets, at least 1; default Infinity. */
  readonly rateBitsPerSec?: number;
  /** One-way delay in ns behind the transmitter; default 0. */
  readonly delayNs?: number;
  /** Longest queue in packets, the one in transmission included; default Infinity. */
  readonly queuePackets?: number;
  /** Longest queue in bytes, the packet in transmission included; default Infinity. */
  readonly queueBytes?: number;
  /** Random loss before the queue: a ratio 0..1, or two states; default 0. */
  readonly loss?: number | GilbertElliott;
  /** Random early detection in front of the queue; default none, which is drop-tail. Needs a finite rate. */
  readonly red?: RedOptions;
  /** Numbers in [0, 1), from a seeded generator. Needed when `loss` is not 0 and for `red`. */
  readonly random?: () => number;
}

/** Why a link dropped a packet. */
export const LINK_DROP_REASONS = ['blackhole', 'loss', 'queueFull', 'early'] as const;
/** Dropped: the link is down. */
export const LINK_DROP_BLACKHOLE = 0;
/** Dropped: random loss. */
export const LINK_DROP_LOSS = 1;
/** Dropped: the queue was full. */
export const LINK_DROP_QUEUE_FULL = 2;
/** Dropped: by random early detection. */
export const LINK_DROP_EARLY = 3;

/** {@link Link.offer} returned this: the packet is dropped, see {@link Link.lastDrop}. */
export const LINK_DROPPED = -1;

const KNOWN: readonly (keyof LinkOptions)[] = [
  'rateBitsPerSec',
  'delayNs',
  'queuePackets',
  'queueBytes',
  'loss',
  'red',
  'random',
];
const BITS_PER_BYTE = 8;
const NS_PER_SECOND = 1e9;

/** One direction of a link. */
export class Link {
  /** Packets accepted. */
  forwardedPackets = 0;
  /** Bytes accepted. */
  forwardedBytes = 0;
  /** Packets dropped, by LINK_DROP_*. */
  readonly droppedPackets = new Float64Array(LINK_DROP_REASONS.length);
  /** Bytes dropped, by LINK_DROP_*. */
  readonly droppedBytes = new Float64Array(LINK_DROP_REASONS.length);
  /** Why the last offered packet was dropped, LINK_DROP_*. */
  lastDrop = 0;
  /** While true every packet offered is dropped; those accepted before still arrive. */
  isBlackhole = false;
  /** Time in ns for the next {@link accept}. */
  nowNs = 0;
  /** When the packet accepted last arrives at the far end, in ns. */
  dueNs = 0;

  readonly #nsPerByte: number;
  readonly #delayNs: number;
  readonly #queuePackets: number;
  readonly #queueBytes: number;
  readonly #random: () => number;
  readonly #loss: Required<GilbertElliott> | undefined;
  readonly #red: RedQueue | undefined;
  /** No rate, so that nothing ever waits, and no random loss: the link is a delay. */
  readonly #isPlain: boolean;
  readonly #isInstant: boolean;
  #isBad = false;

  // The packets that have not left the transmitter: a ring of departure times and sizes.
  #departures = new Float64Array(64);
  #sizes = new Int32Array(64);
  #head = 0;
  #waiting = 0;
  #waitingBytes = 0;
  #busyUntilNs = 0;

  /** @throws PreflexError naming the option, its value and the allowed range */
  constructor(options: LinkOptions = {}) {
    rejectUnknownKeys('link', options, KNOWN);
    this.#nsPerByte = nsPerByte(options.rateBitsPerSec ?? Infinity);
    this.#delayNs = requireNumber('link.delayNs', options.delayNs ?? 0, 0, 3600e9);
    this.#queuePackets = requireLimit('link.queuePackets', options.queuePackets ?? Infinity);
    this.#queueBytes = requireLimit('link.queueBytes', options.queueBytes ?? Infinity);
    this.#loss = lossModel(options.loss ?? 0);
    if ((this.#loss !== undefined || options.red !== undefined) && options.random === undefined) {
      throw invalidOption(
        'link.random',
        undefined,
        'a seeded generator of numbers in [0, 1) when loss is not 0 or red is given',
      );
    }
    this.#random = options.random ?? (() => 1);
    this.#isPlain = this.#nsPerByte === 0 && this.#loss === undefined;
    this.#isInstant = this.#isPlain && this.#delayNs === 0;
    this.#red =
      options.red === undefined ? undefined : new RedQueue(options.red, this.#nsPerByte, this.#random);
  }

  /**
   * Offers a packet.
   *
   * @param bytes - of the IP packet
   * @param nowNs - must not be smaller than at the call before
   * @returns when it arrives at the far end, in ns, never smaller than for the packet before; or LINK_DROPPED
   */
  offer(bytes: number, nowNs: number): number {
    this.nowNs = nowNs;
    return this.accept(bytes) ? this.dueNs : LINK_DROPPED;
  }

  /**
   * {@link offer} with the times in fields: {@link nowNs} is set before, {@link dueNs} read after. A number with a
   * fraction is boxed when it is given to a function or returned by one, and this is called for every packet and hop.
   *
   * @hotpath
   * @param bytes - of the IP packet
   * @returns whether it is accepted
   */
  accept(bytes: number): boolean {
    if (!this.#isPlain || this.isBlackhole) return this.#acceptInQueue(bytes);
    this.forwardedPackets++;
    this.forwardedBytes += bytes;
    this.dueNs = this.nowNs + this.#delayNs;
    return true;
  }

  /**
   * Offers a packet to a link that takes no time and drops nothing, if it is one now.
   *
   * @hotpath
   * @param bytes - of the IP packet
   * @returns whether it is: then the packet is at the far end; else nothing was offered
   */
  passAtOnce(bytes: number): boolean {
    if (!this.#isInstant || this.isBlackhole) return false;
    this.forwardedPackets++;
    this.forwardedBytes += bytes;
    return true;
  }

  /** Packets in the queue and the transmitter. */
  queuedPackets(nowNs: number): number {
    this.#retire(nowNs);
    return this.#waiting;
  }

  /** Bytes in the queue and the transmitter. */
  queuedBytes(nowNs: number): number {
    this.#retire(nowNs);
    return this.#waitingBytes;
  }

  #acceptInQueue(bytes: number): boolean {
    const { nowNs } = this;
    if (this.isBlackhole) return this.#drop(LINK_DROP_BLACKHOLE, bytes);
    if (this.#loss !== undefined && this.#isLost(this.#loss)) return this.#drop(LINK_DROP_LOSS, bytes);
    this.#retire(nowNs);
    if (this.#red !== undefined && this.#red.isDropped(this.#waiting, this.#busyUntilNs, nowNs)) {
      return this.#drop(LINK_DROP_EARLY, bytes);
    }
    if (this.#waiting + 1 > this.#queuePackets || this.#waitingBytes + bytes > this.#queueBytes) {
      return this.#drop(LINK_DROP_QUEUE_FULL, bytes);
    }
    this.forwardedPackets++;
    this.forwardedBytes += bytes;
    const startNs = this.#busyUntilNs > nowNs ? this.#busyUntilNs : nowNs;
    const departureNs = startNs + bytes * this.#nsPerByte;
    if (this.#waiting === this.#departures.length) this.#grow();
    const tail = (this.#head + this.#waiting) & (this.#departures.length - 1);
    this.#departures[tail] = departureNs;
    this.#sizes[tail] = bytes;
    this.#waiting++;
    this.#waitingBytes += bytes;
    this.#busyUntilNs = departureNs;
    this.dueNs = departureNs + this.#delayNs;
    return true;
  }

  #isLost(loss: Required<GilbertElliott>): boolean {
    if (this.#random() < (this.#isBad ? loss.badToGood : loss.goodToBad)) this.#isBad = !this.#isBad;
    return this.#random() < (this.#isBad ? loss.lossInBad : loss.lossInGood);
  }

  #drop(reason: number, bytes: number): false {
    this.lastDrop = reason;
    this.droppedPackets[reason]++;
    this.droppedBytes[reason] += bytes;
    return false;
  }

  #retire(nowNs: number): void {
    while (this.#waiting > 0 && this.#departures[this.#head] <= nowNs) {
      this.#waitingBytes -= this.#sizes[this.#head];
      this.#head = (this.#head + 1) & (this.#departures.length - 1);
      this.#waiting--;
    }
  }

  #grow(): void {
    const size = this.#departures.length;
    const departures = new Float64Array(size * 2);
    const sizes = new Int32Array(size * 2);
    for (let i = 0; i < size; i++) {
      departures[i] = this.#departures[(this.#head + i) & (size - 1)];
      sizes[i] = this.#sizes[(this.#head + i) & (size - 1)];
    }
    this.#departures = departures;
    this.#sizes = sizes;
    this.#head = 0;
  }
}

function nsPerByte(rateBitsPerSec: number): number {
  requireNumber('link.rateBitsPerSec', rateBitsPerSec, 1, Infinity);
  return (BITS_PER_BYTE * NS_PER_SECOND) / rateBitsPerSec;
}

function requireLimit(field: string, value: number): number {
  return value === Infinity ? value : requireInteger(field, value, 1, Number.MAX_SAFE_INTEGER);
}

function lossModel(loss: number | GilbertElliott): Required<GilbertElliott> | undefined {
  if (typeof loss === 'number') {
    requireNumber('link.loss', loss, 0, 1);
    if (loss === 0) return undefined;
    return { goodToBad: 0, badToGood: 1, lossInGood: loss, lossInBad: loss };
  }
  rejectUnknownKeys('link.loss', loss, ['goodToBad', 'badToGood', 'lossInGood', 'lossInBad']);
  return {
    goodToBad: requireNumber('link.loss.goodToBad', loss.goodToBad, 0, 1),
    badToGood: requireNumber('link.loss.badToGood', loss.badToGood, 0, 1),
    lossInGood: requireNumber('link.loss.lossInGood', loss.lossInGood ?? 0, 0, 1),
    lossInBad: requireNumber('link.loss.lossInBad', loss.lossInBad ?? 1, 0, 1),
  };
}
