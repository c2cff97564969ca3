/**
 * Receives the datagrams of one socket: as many as wait in one call, with the traffic class of each, cut apart where
 * the kernel joined them (UDP GRO), copied out and learnt from.
 */
import type { DatagramFlows } from '../lex/datagram-flows.ts';
import { nowNs } from '../sys/clock.ts';
import type { ReceiveVector } from '../sys/receive-vector.ts';
import type { Peer, Peers, RemoteEnd } from './peers.ts';
import { isSameName } from './peers.ts';

/** Bytes of memory that received datagrams are cut from. */
const SLAB_BYTES = 64 * 1024;
/** Datagrams larger than this get memory of their own. */
const LARGE_BYTES = 8 * 1024;

/** A datagram as the event `messages` hands it over. */
export interface ReceivedDatagram {
  /** The payload; the receiver's to keep. */
  readonly data: Buffer;
  /** Where it came from: one frozen object for all datagrams of a peer. */
  readonly remote: RemoteEnd;
  /** The two ECN bits of its IP header, 0..3 (RFC 3168). */
  readonly ecn: number;
}

let slab = Buffer.alloc(0);
let slabAt = 0;

/** The receiving half of one socket. */
export class DatagramReceiver {
  /** The socket's descriptor; -1 before it has one and after it is closed. */
  fd = -1;
  /** System calls made. */
  calls = 0;

  readonly #vector: ReceiveVector;
  readonly #flows: DatagramFlows;
  readonly #peers: Peers;
  readonly #family: number;
  #lastPeer: Peer | undefined;

  constructor(vector: ReceiveVector, flows: DatagramFlows, peers: Peers, family: number) {
    this.#vector = vector;
    this.#flows = flows;
    this.#peers = peers;
    this.#family = family;
  }

  /**
   * Receives what waits, up to a vector full.
   *
   * @param into - gets the datagrams in order
   * @returns false when the call failed; the system's lastErrno says why
   */
  receive(into: ReceivedDatagram[]): boolean {
    const vector = this.#vector;
    this.calls++;
    const count = vector.receive(this.fd);
    if (count < 0) return false;
    const now = nowNs();
    for (let message = 0; message < count; message++) {
      const peer = this.#peerAt(vector.nameAt(message));
      vector.readControl(message);
      const { trafficClass, segmentBytes } = vector;
      const start = vector.payloadAt(message);
      const length = vector.lengthOf(message);
      const step = segmentBytes > 0 && segmentBytes < length ? segmentBytes : length;
      let at = 0;
      do {
        const bytes = length - at < step ? length - at : step;
        this.#flows.receive(peer, trafficClass >> 2, now);
        into.push({
          data: copyOut(vector.payload, start + at, bytes),
          remote: peer.end,
          ecn: trafficClass & 3,
        });
        at += bytes;
      } while (at < length);
    }
    return true;
  }

  #peerAt(at: number): Peer {
    const { words } = this.#vector;
    const last = this.#lastPeer;
    if (last !== undefined && isSameName(last.name, words, at, this.#family)) return last;
    return (this.#lastPeer = this.#peers.byName(words, at));
  }
}

/** A copy in memory of the receiver's: small ones share a slab, as those of Buffer.from do. */
function copyOut(source: Buffer, at: number, bytes: number): Buffer {
  if (bytes > LARGE_BYTES) {
    const own = Buffer.allocUnsafeSlow(bytes);
    source.copy(own, 0, at, at + bytes);
    return own;
  }
  if (slabAt + bytes > slab.length) {
    slab = Buffer.allocUnsafeSlow(SLAB_BYTES);
    slabAt = 0;
  }
  const copy = slab.subarray(slabAt, slabAt + bytes);
  source.copy(copy, 0, at, at + bytes);
  // The next one starts at a multiple of 8, so that any typed array can be laid over it.
  slabAt = (slabAt + bytes + 7) & ~7;
  return copy;
}
