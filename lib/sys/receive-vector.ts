/**
 * A vector of messages to receive into, laid out once: struct mmsghdr with a slot for the payload, for the sender's
 * address and for control messages each. The structures are drawn in send-vector.ts.
 *
 * @see recvmmsg(2), cmsg(3)
 */
import type { DatagramCalls } from './datagram-calls.ts';
import { IP_TOS, IPV6_TCLASS, SOL_IP, SOL_IPV6, SOL_UDP, UDP_GRO } from './socket-levels.ts';

const HEADER_WORDS = 16;
const IOVEC_WORDS = 4;
const NAME_WORDS = 8;
const CONTROL_WORDS = 24;
const NAME_BYTES = NAME_WORDS * 4;
const CONTROL_BYTES = CONTROL_WORDS * 4;
/**
 * The largest datagram and a little more: with a distance of exactly 64 KiB the first bytes of all slots would share
 * one place in the processor's cache.
 */
const SLOT_BYTES = 65_536 + 64;

const HEADER_NAME = 0;
const HEADER_NAME_LENGTH = 2;
const HEADER_IOVEC = 4;
const HEADER_IOVEC_COUNT = 6;
const HEADER_CONTROL = 8;
const HEADER_CONTROL_LENGTH = 10;
const HEADER_LENGTH = 14;

/** The vector. One thread; what is not copied out is gone with the next {@link receive}. */
export class ReceiveVector {
  /** Most messages. */
  readonly capacity: number;
  /** The memory of the payloads; see {@link payloadAt}. */
  readonly payload: Buffer;
  /** The memory of the structures; a sender's address is at {@link nameAt}. */
  readonly words: Int32Array;
  /** Traffic class of the message last asked for by {@link readControl}, 0 when it told none. */
  trafficClass = 0;
  /** Bytes of the datagrams that the message consists of, all but the last; 0 for one datagram. */
  segmentBytes = 0;

  readonly #calls: DatagramCalls;
  readonly #address: number;
  readonly #names: number;
  readonly #controls: number;
  #used = 0;

  constructor(calls: DatagramCalls, capacity: number) {
    this.capacity = capacity;
    this.#calls = calls;
    const memory = new ArrayBuffer(4 * capacity * (HEADER_WORDS + IOVEC_WORDS + NAME_WORDS + CONTROL_WORDS));
    this.words = new Int32Array(memory);
    this.#address = calls.addressOf(memory);
    // Zeroed memory: the pages that no datagram ever reached do not exist.
    const payload = new ArrayBuffer(capacity * SLOT_BYTES);
    this.payload = Buffer.from(payload);
    const iovecs = capacity * HEADER_WORDS;
    this.#names = iovecs + capacity * IOVEC_WORDS;
    this.#controls = this.#names + capacity * NAME_WORDS;
    const payloadAddress = calls.addressOf(payload);
    for (let i = 0; i < capacity; i++) {
      const header = i * HEADER_WORDS;
      const iovec = iovecs + i * IOVEC_WORDS;
      this.#writeAddress(header + HEADER_NAME, this.#address + this.nameAt(i) * 4);
      this.#writeAddress(header + HEADER_IOVEC, this.#address + iovec * 4);
      this.words[header + HEADER_IOVEC_COUNT] = 1;
      this.#writeAddress(header + HEADER_CONTROL, this.#address + this.#controlAt(i) * 4);
      this.#writeAddress(iovec, payloadAddress + i * SLOT_BYTES);
      this.words[iovec + 2] = SLOT_BYTES;
    }
    this.#used = capacity;
  }

  /**
   * Receives what waits.
   *
   * @hotpath
   * @returns how many messages, or -1 when there is none; the calls' lastErrno says why
   */
  receive(fd: number): number {
    const words = this.words;
    for (let i = 0; i < this.#used; i++) {
      words[i * HEADER_WORDS + HEADER_NAME_LENGTH] = NAME_BYTES;
      words[i * HEADER_WORDS + HEADER_CONTROL_LENGTH] = CONTROL_BYTES;
    }
    const count = this.#calls.receiveMessages(fd, this.#address, this.capacity);
    this.#used = count < 0 ? 0 : count;
    return count;
  }

  /** Offset of a message's payload in {@link payload}. @hotpath */
  payloadAt(message: number): number {
    return message * SLOT_BYTES;
  }

  /** Bytes of a message's payload. @hotpath */
  lengthOf(message: number): number {
    return this.words[message * HEADER_WORDS + HEADER_LENGTH]!;
  }

  /** Word of {@link words} at which the sender's socket address starts. @hotpath */
  nameAt(message: number): number {
    return this.#names + message * NAME_WORDS;
  }

  /** Reads a message's control messages into {@link trafficClass} and {@link segmentBytes}. @hotpath */
  readControl(message: number): void {
    const words = this.words;
    this.trafficClass = 0;
    this.segmentBytes = 0;
    let at = this.#controlAt(message);
    const end = at + (words[message * HEADER_WORDS + HEADER_CONTROL_LENGTH]! >> 2);
    while (at + 4 < end) {
      const length = words[at]!;
      const level = words[at + 2]!;
      const type = words[at + 3]!;
      if (level === SOL_IP && type === IP_TOS) this.trafficClass = words[at + 4]! & 0xff;
      else if (level === SOL_IPV6 && type === IPV6_TCLASS) this.trafficClass = words[at + 4]! & 0xff;
      else if (level === SOL_UDP && type === UDP_GRO) this.segmentBytes = words[at + 4]!;
      if (length < 16) return;
      at += ((length + 7) >> 3) * 2;
    }
  }

  #controlAt(message: number): number {
    return this.#controls + message * CONTROL_WORDS;
  }

  #writeAddress(word: number, address: number): void {
    this.words[word] = address | 0;
    this.words[word + 1] = (address / 4294967296) | 0;
  }
}
