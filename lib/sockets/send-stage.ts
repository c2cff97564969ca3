/**
 * Where datagrams gather before they are handed to the kernel: their payloads one behind the other, and the messages
 * that they form. A message is one datagram, or several equal ones to one peer that the kernel cuts apart (UDP GSO).
 *
 * ```
 *   payload    | datagram 0 | datagram 1 | datagram 2 | 3 |    datagram 4    | ...
 *   messages   |<-------- message 0, segments of equal size ->|<- message 1 ->|
 * ```
 *
 * One stage serves all sockets of a thread; its owner is the socket whose turn it is.
 */
import type { DatagramCalls } from '../sys/datagram-calls.ts';
import { SendVector } from '../sys/send-vector.ts';
import type { Peer } from './peers.ts';
import type { SendOutcome } from './send-outcome.ts';

const MESSAGES = 64;
const DATAGRAMS = 1024;
const PAYLOAD_BYTES = 256 * 1024;
/** UDP_MAX_SEGMENTS of the kernels before 6.9; later ones take 128. */
const MAX_SEGMENTS = 64;
/** Largest message for segmentation, below 65,535 minus the headers of either IP version. */
const MAX_SEGMENTED_BYTES = 65_000;

/** The stage. Its arrays are read by the owner; {@link put} and {@link clear} write them. */
export class SendStage {
  readonly vector: SendVector;
  /** Who has staged; it is asked to flush before another stages. */
  owner: { flush(): void } | undefined;
  /** Messages and datagrams staged. */
  messages = 0;
  datagrams = 0;
  /** Time of the first datagram staged, ns: they leave together. */
  nowNs = 0;

  // By message: offset and bytes of the payload, bytes of its datagrams but the last, its first datagram...
  readonly start = new Int32Array(MESSAGES);
  readonly length = new Int32Array(MESSAGES);
  readonly segmentBytes = new Int32Array(MESSAGES);
  readonly firstDatagram = new Int32Array(MESSAGES + 1);
  readonly trafficClass = new Int32Array(MESSAGES);
  readonly peer: (Peer | undefined)[] = new Array<Peer | undefined>(MESSAGES).fill(undefined);
  readonly isConnected = new Uint8Array(MESSAGES);
  // By datagram.
  readonly ticket = new Uint8Array(DATAGRAMS);
  readonly outcome: (SendOutcome | undefined)[] = new Array<SendOutcome | undefined>(DATAGRAMS).fill(
    undefined,
  );

  #payloadEnd = 0;

  constructor(calls: DatagramCalls) {
    this.vector = new SendVector(calls, MESSAGES, PAYLOAD_BYTES);
  }

  /** Whether a datagram of this many bytes fits. @hotpath */
  hasRoom(bytes: number): boolean {
    return (
      this.datagrams < DATAGRAMS && this.messages < MESSAGES && this.#payloadEnd + bytes <= PAYLOAD_BYTES
    );
  }

  /** Datagrams in a message. @hotpath */
  datagramsOf(message: number): number {
    return this.firstDatagram[message + 1] - this.firstDatagram[message];
  }

  /**
   * Adds a datagram, to the last message or as one of its own.
   *
   * @hotpath
   * @param maxSegmentBytes - longer datagrams are not joined
   * @returns its message
   */
  put(
    peer: Peer,
    isConnected: boolean,
    data: Uint8Array,
    trafficClass: number,
    ticket: number,
    outcome: SendOutcome | undefined,
    maxSegmentBytes: number,
  ): number {
    const at = this.#payloadEnd;
    const length = data.length;
    this.vector.payload.set(data, at);
    this.#payloadEnd = at + length;
    const datagram = this.datagrams++;
    this.ticket[datagram] = ticket;
    this.outcome[datagram] = outcome;
    const last = this.messages - 1;
    if (last >= 0 && this.#canJoin(last, peer, isConnected, length, trafficClass, maxSegmentBytes)) {
      this.length[last] += length;
      this.firstDatagram[last + 1] = this.datagrams;
      return last;
    }
    const message = this.messages++;
    this.start[message] = at;
    this.length[message] = length;
    this.segmentBytes[message] = length;
    this.firstDatagram[message] = datagram;
    this.firstDatagram[message + 1] = datagram + 1;
    this.trafficClass[message] = trafficClass;
    this.peer[message] = peer;
    this.isConnected[message] = isConnected ? 1 : 0;
    return message;
  }

  /** Forgets everything staged. @hotpath */
  clear(): void {
    for (let i = 0; i < this.messages; i++) this.peer[i] = undefined;
    for (let i = 0; i < this.datagrams; i++) this.outcome[i] = undefined;
    this.messages = 0;
    this.datagrams = 0;
    this.#payloadEnd = 0;
  }

  /** All segments of a message are of one size; the last may be shorter, and nothing can follow it then. */
  #canJoin(
    last: number,
    peer: Peer,
    isConnected: boolean,
    length: number,
    trafficClass: number,
    maxSegmentBytes: number,
  ): boolean {
    const segmentBytes = this.segmentBytes[last];
    const segments = this.datagramsOf(last);
    return (
      this.peer[last] === peer &&
      this.trafficClass[last] === trafficClass &&
      length > 0 &&
      length <= segmentBytes &&
      segmentBytes <= maxSegmentBytes &&
      segments < MAX_SEGMENTS &&
      this.length[last] === segments * segmentBytes &&
      this.length[last] + length <= MAX_SEGMENTED_BYTES &&
      this.isConnected[last] === (isConnected ? 1 : 0)
    );
  }
}
