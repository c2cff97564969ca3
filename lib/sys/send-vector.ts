/**
 * A vector of messages to send, laid out once and refilled: struct mmsghdr with one piece of payload, a name and up to
 * two control messages each.
 *
 * ```
 *  struct mmsghdr (64 bytes):  0 msg_name   8 msg_namelen   16 msg_iov      24 msg_iovlen
 *                             32 msg_control   40 msg_controllen   48 msg_flags   56 msg_len
 *  struct iovec   (16 bytes):  0 iov_base   8 iov_len
 *  struct cmsghdr (16 bytes):  0 cmsg_len   8 cmsg_level   12 cmsg_type   then the data, padded to 8
 * ```
 *
 * @see sendmmsg(2), cmsg(3), struct layouts of the 64-bit Linux ABI
 */
import type { DatagramCalls } from './datagram-calls.ts';
import { SOCKET_ADDRESS_WORDS } from './socket-address.ts';
import { SOL_UDP, UDP_SEGMENT } from './socket-levels.ts';

const HEADER_WORDS = 16;
const IOVEC_WORDS = 4;
const NAME_WORDS = 8;
const CONTROL_WORDS = 12;
const TOS_CONTROL_BYTES = 24;
const ALL_CONTROL_BYTES = 48;

const HEADER_NAME = 0;
const HEADER_NAME_LENGTH = 2;
const HEADER_IOVEC = 4;
const HEADER_IOVEC_COUNT = 6;
const HEADER_CONTROL = 8;
const HEADER_CONTROL_LENGTH = 10;

/** The vector. One thread, one send at a time; sockets take turns. */
export class SendVector {
  /** Most messages. */
  readonly capacity: number;
  /** The memory of the payloads; a message's lies anywhere in it. */
  readonly payload: Buffer;

  readonly #calls: DatagramCalls;
  readonly #words: Int32Array;
  readonly #address: number;
  readonly #payloadAddress: number;
  readonly #iovecs: number;
  readonly #names: number;
  readonly #controls: number;

  /** @param payloadBytes - size of {@link payload} */
  constructor(calls: DatagramCalls, capacity: number, payloadBytes: number) {
    this.capacity = capacity;
    this.#calls = calls;
    const memory = new ArrayBuffer(4 * capacity * (HEADER_WORDS + IOVEC_WORDS + NAME_WORDS + CONTROL_WORDS));
    this.#words = new Int32Array(memory);
    this.#address = calls.addressOf(memory);
    const payload = new ArrayBuffer(payloadBytes);
    this.payload = Buffer.from(payload);
    this.#payloadAddress = calls.addressOf(payload);
    this.#iovecs = capacity * HEADER_WORDS;
    this.#names = this.#iovecs + capacity * IOVEC_WORDS;
    this.#controls = this.#names + capacity * NAME_WORDS;
    for (let i = 0; i < capacity; i++) this.#layOut(i);
  }

  /**
   * Fills in a message.
   *
   * @hotpath
   * @param at - offset in {@link payload}
   * @param name - socket address, or undefined on a connected socket
   * @param nameBytes - bytes of it, 0 for none
   * @param level - SOL_IP or SOL_IPV6, of the traffic class
   * @param option - IP_TOS or IPV6_TCLASS
   * @param trafficClass - 0..255, or -1 for the socket's own, without segments
   * @param segmentBytes - the kernel cuts the payload into pieces of this size; 0 for one datagram
   */
  set(
    message: number,
    at: number,
    length: number,
    name: Int32Array | undefined,
    nameBytes: number,
    level: number,
    option: number,
    trafficClass: number,
    segmentBytes: number,
  ): void {
    const words = this.#words;
    const header = message * HEADER_WORDS;
    if (name !== undefined) {
      const nameAt = this.#names + message * NAME_WORDS;
      for (let i = 0; i < SOCKET_ADDRESS_WORDS; i++) words[nameAt + i] = name[i]!;
    }
    words[header + HEADER_NAME_LENGTH] = nameBytes;
    const iovec = this.#iovecs + message * IOVEC_WORDS;
    this.#writeAddress(iovec, this.#payloadAddress + at);
    words[iovec + 2] = length;
    if (trafficClass < 0) {
      words[header + HEADER_CONTROL_LENGTH] = 0;
      return;
    }
    const control = this.#controls + message * CONTROL_WORDS;
    words[control + 2] = level;
    words[control + 3] = option;
    words[control + 4] = trafficClass;
    words[control + 10] = segmentBytes;
    words[header + HEADER_CONTROL_LENGTH] = segmentBytes === 0 ? TOS_CONTROL_BYTES : ALL_CONTROL_BYTES;
  }

  /**
   * Sends messages.
   *
   * @hotpath
   * @returns how many went, or -1 when the first of them did not; the calls' lastErrno says why
   */
  send(fd: number, first: number, count: number): number {
    return this.#calls.sendMessages(fd, this.#addressOfWord(first * HEADER_WORDS), count);
  }

  /**
   * Sends one datagram without control messages, past the vector.
   *
   * @hotpath
   * @param at - offset in {@link payload}
   * @param nameAddress - where the socket address is in memory; 0 with 0 bytes on a connected socket
   * @returns false when it did not go; the calls' lastErrno says why
   */
  sendOne(fd: number, at: number, length: number, nameAddress: number, nameBytes: number): boolean {
    return this.#calls.sendBytes(fd, this.#payloadAddress + at, length, nameAddress, nameBytes) >= 0;
  }

  #layOut(message: number): void {
    const words = this.#words;
    const header = message * HEADER_WORDS;
    const control = this.#controls + message * CONTROL_WORDS;
    this.#writeAddress(header + HEADER_NAME, this.#addressOfWord(this.#names + message * NAME_WORDS));
    this.#writeAddress(header + HEADER_IOVEC, this.#addressOfWord(this.#iovecs + message * IOVEC_WORDS));
    words[header + HEADER_IOVEC_COUNT] = 1;
    this.#writeAddress(header + HEADER_CONTROL, this.#addressOfWord(control));
    words[control] = 20;
    words[control + 6] = 18;
    words[control + 8] = SOL_UDP;
    words[control + 9] = UDP_SEGMENT;
  }

  #addressOfWord(word: number): number {
    return this.#address + word * 4;
  }

  #writeAddress(word: number, address: number): void {
    this.#words[word] = address | 0;
    this.#words[word + 1] = (address / 4294967296) | 0;
  }
}
