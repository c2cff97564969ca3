/**
 * Sends the datagrams of one socket: marks them, gathers those of one turn of the event loop, hands them to the kernel
 * in as few calls as possible, and keeps what the kernel has no room for.
 *
 *      send      mark -> stage: copy the payload behind that of the datagram before,
 *                        joining its message when the kernel can cut it apart again (UDP GSO)
 *      flush     sendmmsg until all are gone; what fails alone fails alone
 *      blocked   copies wait in order until the socket is writable
 *
 * Staging is shared by all sockets of the thread, which take turns: with ten thousand sockets there still is one
 * vector. Nothing of the program's runs between the first stage and the end of flush.
 */
import type { DatagramFlows } from '../lex/datagram-flows.ts';
import type { DatagramCalls } from '../sys/datagram-calls.ts';
import { nowNs } from '../sys/clock.ts';
import { EAGAIN, EINTR, EINVAL } from '../sys/errno.ts';
import type { Peer } from './peers.ts';
import type { SendOutcome } from './send-outcome.ts';
import type { SendStage } from './send-stage.ts';

const EIO = 5;
const EMSGSIZE = 90;
const ENOBUFS = 105;
const ECANCELED = 125;
/** Longer ones are refused by every kernel. */
const MAX_DATAGRAM_BYTES = 65_535;
/**
 * Messages in a row of one traffic class after which the socket itself is given it: the kernel is 15 % quicker without
 * a control message.
 */
const STEADY_MESSAGES = 8;

/** A datagram that waits for room. */
interface Waiting {
  readonly peer: Peer;
  readonly isConnected: boolean;
  readonly data: Uint8Array;
  readonly trafficClass: number;
  readonly ticket: number;
  readonly outcome: SendOutcome | undefined;
}

/** The sending half of one socket. */
export class DatagramSender {
  /** The socket's descriptor; -1 before it has one and after it is closed. */
  fd = -1;
  /** Datagrams that the kernel refused. */
  errors = 0;
  /** System calls made. */
  calls = 0;

  readonly #calls: DatagramCalls;
  readonly #stage: SendStage;
  readonly #flows: DatagramFlows;
  readonly #onBlocked: (isBlocked: boolean) => void;
  #waiting: Waiting[] = [];
  #waitingBytes = 0;
  /** Traffic classes that the socket has, for IPv4 and for IPv6. */
  #ownClass4 = 0;
  #ownClass6 = 0;
  /** How many messages in a row had the class and the version of the last one. */
  #steadyMessages = 0;
  #steadyClass = 0;
  #steadyPeer: Peer | undefined;
  /** Largest datagram that may be joined with others; sinks when the kernel or the path refuses. */
  #maxSegmentBytes = MAX_DATAGRAM_BYTES;

  /** @param onBlocked - asked to call {@link continue} once the socket is writable, or no longer to */
  constructor(
    calls: DatagramCalls,
    stage: SendStage,
    flows: DatagramFlows,
    onBlocked: (isBlocked: boolean) => void,
  ) {
    this.#calls = calls;
    this.#stage = stage;
    this.#flows = flows;
    this.#onBlocked = onBlocked;
  }

  /** Datagrams that wait for room in the kernel, and the bytes of their payload. */
  get queue(): { readonly count: number; readonly bytes: number } {
    return { count: this.#waiting.length, bytes: this.#waitingBytes };
  }

  /**
   * Marks and stages a datagram; {@link flush} sends it, at the latest when the stage is full.
   *
   * @hotpath
   * @param isConnected - leave the address out of the call
   * @param data - copied
   * @param hints - HINT_RETRANSMISSION, HINT_NEW_FLOWLET
   * @param ecn - 0..3
   * @param outcome - told what became of it
   */
  send(
    peer: Peer,
    isConnected: boolean,
    data: Uint8Array,
    hints: number,
    ecn: number,
    outcome: SendOutcome | undefined,
  ): void {
    const length = data.length;
    if (length > MAX_DATAGRAM_BYTES) {
      this.errors++;
      outcome?.finish(EMSGSIZE, 0);
      return;
    }
    const stage = this.#stage;
    if (stage.owner !== this) this.#takeTurn();
    if (stage.datagrams === 0) stage.nowNs = nowNs();
    const flows = this.#flows;
    const dscp = flows.send(peer, length, length + peer.headerBytes, stage.nowNs, hints);
    const trafficClass = dscp < 0 ? ecn : (dscp << 2) | ecn;
    if (this.#waiting.length > 0) {
      this.#wait(peer, isConnected, Uint8Array.from(data), trafficClass, flows.lastTicket, outcome);
    } else {
      this.#stageDatagram(peer, isConnected, data, trafficClass, flows.lastTicket, outcome);
    }
  }

  /** Hands everything staged to the kernel. */
  flush(): void {
    const stage = this.#stage;
    if (stage.owner !== this || stage.messages === 0) return;
    if (stage.datagrams === 1 && this.#flushOne()) return;
    for (let i = 0; i < stage.messages; i++) {
      const segmentBytes = stage.datagramsOf(i) > 1 ? stage.segmentBytes[i] : 0;
      this.#fill(i, stage.start[i], stage.length[i], segmentBytes);
    }
    let message = 0;
    while (message < stage.messages) {
      this.calls++;
      const count = stage.vector.send(this.fd, message, stage.messages - message);
      if (count > 0) {
        for (const end = message + count; message < end; message++) this.#finishMessage(message, 0);
        continue;
      }
      const errno = this.#calls.lastErrno();
      if (errno === EINTR) continue;
      if (isNoRoom(errno)) {
        this.#block(message, 0);
        break;
      }
      if (stage.datagramsOf(message) === 1) {
        this.#finishMessage(message, errno);
      } else if (!this.#sendOneByOne(message, errno)) {
        break;
      }
      message++;
    }
    stage.clear();
    if (this.#steadyMessages >= STEADY_MESSAGES) this.#settleClass();
  }

  /**
   * The usual case of a program that sends one at a time: past the vector.
   *
   * @hotpath
   * @returns false when the datagram has to go in another way, or to be tried again
   */
  #flushOne(): boolean {
    const stage = this.#stage;
    const peer = stage.peer[0]!;
    if (stage.trafficClass[0] !== (peer.version === 4 ? this.#ownClass4 : this.#ownClass6)) return false;
    const isNamed = stage.isConnected[0] === 0;
    this.calls++;
    const isSent = stage.vector.sendOne(
      this.fd,
      stage.start[0],
      stage.length[0],
      isNamed ? peer.nameAddress : 0,
      isNamed ? peer.nameBytes : 0,
    );
    const errno = isSent ? 0 : this.#calls.lastErrno();
    if (errno === EINTR) return false;
    if (isNoRoom(errno)) this.#block(0, 0);
    else this.#finish(0, 0, stage.length[0], errno);
    stage.clear();
    return true;
  }

  /** The socket is writable: sends what waits. */
  continue(): void {
    const waiting = this.#waiting;
    if (waiting.length === 0) return;
    this.#waiting = [];
    this.#waitingBytes = 0;
    for (const { peer, isConnected, data, trafficClass, ticket, outcome } of waiting) {
      if (this.#waiting.length > 0) this.#wait(peer, isConnected, data, trafficClass, ticket, outcome);
      else {
        if (this.#stage.owner !== this) this.#takeTurn();
        this.#stageDatagram(peer, isConnected, data, trafficClass, ticket, outcome);
      }
    }
    this.flush();
    if (this.#waiting.length === 0) this.#onBlocked(false);
  }

  /**
   * Ends it.
   *
   * @param isSending - send what is staged first; else it is forgotten, as node:dgram forgets what it has not looked
   *   up yet
   */
  close(isSending: boolean): void {
    if (isSending) this.flush();
    const stage = this.#stage;
    if (stage.owner === this) {
      for (let message = 0; message < stage.messages; message++) this.#forgetMessage(message);
      stage.clear();
      stage.owner = undefined;
    }
    const waiting = this.#waiting;
    this.#waiting = [];
    this.#waitingBytes = 0;
    for (const { peer, data, trafficClass, ticket, outcome } of waiting) {
      this.#takeBack(peer, data.length, trafficClass, ticket);
      outcome?.finish(ECANCELED, 0);
    }
    this.fd = -1;
  }

  /** Only between two stages: what is staged without a control message counts on the class that was. */
  #settleClass(): void {
    this.#steadyMessages = 0;
    const peer = this.#steadyPeer!;
    const own = peer.version === 4 ? this.#ownClass4 : this.#ownClass6;
    if (own === this.#steadyClass) return;
    if (this.#calls.setOption(this.fd, peer.level, peer.option, this.#steadyClass) !== 0) return;
    if (peer.version === 4) this.#ownClass4 = this.#steadyClass;
    else this.#ownClass6 = this.#steadyClass;
  }

  #takeTurn(): void {
    const stage = this.#stage;
    stage.owner?.flush();
    stage.owner = this;
  }

  #stageDatagram(
    peer: Peer,
    isConnected: boolean,
    data: Uint8Array,
    trafficClass: number,
    ticket: number,
    outcome: SendOutcome | undefined,
  ): void {
    const stage = this.#stage;
    if (!stage.hasRoom(data.length)) {
      this.flush();
      if (this.#waiting.length > 0) {
        this.#wait(peer, isConnected, Uint8Array.from(data), trafficClass, ticket, outcome);
        return;
      }
    }
    const message = stage.put(peer, isConnected, data, trafficClass, ticket, outcome, this.#maxSegmentBytes);
    if (stage.datagramsOf(message) > 1) return;
    if (this.#steadyClass === trafficClass && this.#steadyPeer?.level === peer.level) this.#steadyMessages++;
    else this.#steadyMessages = 0;
    this.#steadyClass = trafficClass;
    this.#steadyPeer = peer;
  }

  #fill(message: number, at: number, length: number, segmentBytes: number): void {
    const stage = this.#stage;
    const peer = stage.peer[message]!;
    const isConnected = stage.isConnected[message] === 1;
    const trafficClass = stage.trafficClass[message]!;
    const own = peer.version === 4 ? this.#ownClass4 : this.#ownClass6;
    stage.vector.set(
      message,
      at,
      length,
      isConnected ? undefined : peer.name,
      isConnected ? 0 : peer.nameBytes,
      peer.level,
      peer.option,
      segmentBytes === 0 && trafficClass === own ? -1 : trafficClass,
      segmentBytes,
    );
  }

  /**
   * A message of several datagrams was refused. Whether that is for what they have in common or for one of them, each
   * shall have its own answer.
   *
   * @returns false when the kernel had no room for all of them
   */
  #sendOneByOne(message: number, errno: number): boolean {
    const stage = this.#stage;
    const first = stage.firstDatagram[message]!;
    const end = stage.firstDatagram[message + 1]!;
    const segmentBytes = stage.segmentBytes[message]!;
    if (errno === EINVAL || errno === EMSGSIZE) this.#maxSegmentBytes = segmentBytes - 1;
    else if (errno === EIO) this.#maxSegmentBytes = 0;
    for (let datagram = first; datagram < end; datagram++) {
      const at = (datagram - first) * segmentBytes;
      const length = Math.min(segmentBytes, stage.length[message]! - at);
      this.#fill(message, stage.start[message]! + at, length, 0);
      let own = 0;
      do {
        this.calls++;
        own = stage.vector.send(this.fd, message, 1) < 0 ? this.#calls.lastErrno() : 0;
      } while (own === EINTR);
      if (isNoRoom(own)) {
        this.#block(message, datagram - first);
        return false;
      }
      this.#finish(message, datagram, length, own);
    }
    return true;
  }

  #finishMessage(message: number, errno: number): void {
    const stage = this.#stage;
    const first = stage.firstDatagram[message]!;
    const end = stage.firstDatagram[message + 1]!;
    const segmentBytes = stage.segmentBytes[message]!;
    const length = stage.length[message]!;
    for (let datagram = first; datagram < end; datagram++) {
      const left = length - (datagram - first) * segmentBytes;
      this.#finish(message, datagram, left < segmentBytes ? left : segmentBytes, errno);
    }
  }

  #finish(message: number, datagram: number, length: number, errno: number): void {
    const stage = this.#stage;
    if (errno !== 0) {
      this.errors++;
      this.#takeBack(stage.peer[message]!, length, stage.trafficClass[message]!, stage.ticket[datagram]!);
    }
    stage.outcome[datagram]?.finish(errno, errno === 0 ? length : 0);
  }

  /** Staged datagrams that never leave and whose callbacks are never called. */
  #forgetMessage(message: number): void {
    const stage = this.#stage;
    const segmentBytes = stage.segmentBytes[message]!;
    const first = stage.firstDatagram[message]!;
    for (let datagram = first; datagram < stage.firstDatagram[message + 1]!; datagram++) {
      const left = stage.length[message]! - (datagram - first) * segmentBytes;
      this.#takeBack(
        stage.peer[message]!,
        Math.min(left, segmentBytes),
        stage.trafficClass[message]!,
        stage.ticket[datagram]!,
      );
    }
  }

  #takeBack(peer: Peer, length: number, trafficClass: number, ticket: number): void {
    const dscp = peer.isGroup ? -1 : trafficClass >> 2;
    this.#flows.takeBack(peer, length, length + peer.headerBytes, ticket, dscp);
  }

  /** Keeps what is staged from a message on, leaving out the first `sent` datagrams of that message. */
  #block(message: number, sent: number): void {
    const stage = this.#stage;
    for (let m = message; m < stage.messages; m++) {
      const first = stage.firstDatagram[m]!;
      const segmentBytes = stage.segmentBytes[m]!;
      const end = stage.start[m]! + stage.length[m]!;
      for (let d = first + (m === message ? sent : 0); d < stage.firstDatagram[m + 1]!; d++) {
        const at = stage.start[m]! + (d - first) * segmentBytes;
        const data = Uint8Array.from(stage.vector.payload.subarray(at, Math.min(at + segmentBytes, end)));
        const peer = stage.peer[m]!;
        const isConnected = stage.isConnected[m] === 1;
        this.#wait(peer, isConnected, data, stage.trafficClass[m]!, stage.ticket[d]!, stage.outcome[d]);
      }
    }
  }

  #wait(
    peer: Peer,
    isConnected: boolean,
    data: Uint8Array,
    trafficClass: number,
    ticket: number,
    outcome: SendOutcome | undefined,
  ): void {
    this.#waiting.push({ peer, isConnected, data, trafficClass, ticket, outcome });
    this.#waitingBytes += data.length;
    if (this.#waiting.length === 1) this.#onBlocked(true);
  }
}

/** What libuv waits for, too. */
function isNoRoom(errno: number): boolean {
  return errno === EAGAIN || errno === ENOBUFS;
}
