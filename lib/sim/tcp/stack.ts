/**
 * The TCP of one host: its connections, who gets an arriving segment, and the calls of applications.
 *
 *      receive(slot) -> find the connection -> handleSegment (input.ts) -> settle: transmit, acknowledge, set the timer
 *      wake(index)   -> runTimers (timers.ts)                           -> settle
 *      acknowledge() -> delayed-acks.ts                                 -> settle
 *      write, close, ... by an application                              -> settle, unless one of the above is under way
 *
 * SACK is always used and both ends are this stack, so there is no recovery without it. Payload is counted, not carried.
 */
import { invalidOption } from '../../errors.ts';
import { TCP_ACK, TCP_RST, TCP_SYN } from '../../wire/packet-view.ts';
import { ackNumber, dstPort, flags, headerLength, seqNumber, srcPort, windowField } from '../../wire/tcp.ts';
import type { EventQueue } from '../event-queue.ts';
import { SLOT_BYTES } from '../packet-pool.ts';
import type { PacketPool } from '../packet-pool.ts';
import type { RandomStream } from '../random.ts';
import { END_FINISHED, END_TIMED_OUT } from './app.ts';
import type { TcpApp } from './app.ts';
import type { CongestionControl } from './congestion.ts';
import { ConnectionTable } from './connection-table.ts';
import {
  STATE_CLOSED,
  STATE_SYN_RECEIVED,
  STATE_SYN_SENT,
  STATE_TIME_WAIT,
  TcpConnection,
} from './connection.ts';
import { cubic } from './cubic.ts';
import { DelayedAcks } from './delayed-acks.ts';
import { handleSegment, takeSynOptions } from './input.ts';
import { newReno } from './newreno.ts';
import { tcpSettings } from './options.ts';
import type { TcpOptions, TcpSettings } from './options.ts';
import { sendAck, sendReset, sendSyn, transmit } from './output.ts';
import { portsWord } from './segment.ts';
import { nextTimerNs, runTimers } from './timers.ts';

/** Event of a {@link TcpStack}: a timer of a connection. Arguments: the host's node index, the connection's index. */
export const EVENT_TCP = 1;

const FIRST_PORT = 1024;
const PORTS = 65_536 - FIRST_PORT;
const IPV4_HEADER = 20;
const SRC = 12;
const NONE = -1;

/** What a stack needs of its host. */
export interface TcpHost {
  readonly nodeIndex: number;
  /** IPv4 address as int32. */
  readonly addr: number;
  readonly queue: EventQueue;
  readonly pool: PacketPool;
  /** For initial sequence numbers. */
  readonly random: RandomStream;
  /** Takes a packet to send. */
  emit(slot: number): void;
}

/** Sums over all connections of a stack, those that are over included. */
export class TcpTotals {
  opened = 0;
  established = 0;
  finished = 0;
  reset = 0;
  timedOut = 0;
  receivedBytes = 0;
  retransmittedSegments = 0;
  /** Payload bytes sent again: what LEX has to expose. */
  retransmittedBytes = 0;
  recoveries = 0;
  timeouts = 0;
  probes = 0;
  windowProbes = 0;
  synRetransmissions = 0;
  /** Segments beyond the receive window. */
  beyondWindow = 0;
  /** Segments for no connection. */
  strangers = 0;
}

/** The TCP of one host. */
export class TcpStack {
  readonly settings: TcpSettings;
  readonly congestion: CongestionControl;
  readonly localAddr: number;
  readonly queue: EventQueue;
  readonly pool: PacketPool;
  readonly totals = new TcpTotals();
  readonly delayedAcks: DelayedAcks;

  readonly #host: TcpHost;
  readonly #table = new ConnectionTable();
  readonly #connections: TcpConnection[] = [];
  readonly #free: number[] = [];
  readonly #listeners = new Map<number, (c: TcpConnection) => TcpApp>();
  readonly #receiveShift: number;
  #nextPort = 0;
  /** The connection whose segment or timer is being handled, by its index: storing a reference has a barrier. */
  #active = NONE;

  /** @throws PreflexError naming the option, its value and the allowed range */
  constructor(host: TcpHost, options: TcpOptions = {}) {
    this.settings = tcpSettings(options);
    this.congestion = this.settings.congestionControl === 'cubic' ? cubic : newReno;
    this.#host = host;
    this.localAddr = host.addr;
    this.queue = host.queue;
    this.pool = host.pool;
    this.delayedAcks = new DelayedAcks(host.queue, host.nodeIndex, this.settings.ackDelayNs);
    let shift = 0;
    while (this.settings.receiveBufferBytes >> shift > 65_535) shift++;
    this.#receiveShift = shift;
  }

  /** Connections that exist, those in TIME_WAIT included. */
  get size(): number {
    return this.#table.size;
  }

  /** Accepts connections to a port. @param accept - the application of each new one */
  listen(port: number, accept: (c: TcpConnection) => TcpApp): void {
    if (this.#listeners.has(port)) throw invalidOption('port', port, 'a port on which nothing listens yet');
    this.#listeners.set(port, accept);
  }

  /**
   * Opens a connection.
   *
   * @param remoteAddr - IPv4 address as int32
   * @throws PreflexError when all ports toward that address and port are taken
   */
  connect(remoteAddr: number, remotePort: number, app: TcpApp): TcpConnection {
    const c = this.#make(remoteAddr, this.#portToward(remoteAddr, remotePort), remotePort, app);
    c.state = STATE_SYN_SENT;
    this.#beginHandshake(c);
    return c;
  }

  /** Gives bytes to send; Infinity for a source that never ends. */
  write(c: TcpConnection, bytes: number): void {
    c.unsentBytes += bytes;
    this.#settleUnlessActive(c);
  }

  /** Sends FIN behind what was written. */
  close(c: TcpConnection): void {
    c.isClosing = true;
    if (c.unsentBytes === Infinity) c.unsentBytes = 0;
    this.#settleUnlessActive(c);
  }

  /** Ends the connection at once and tells the peer so. */
  abort(c: TcpConnection): void {
    sendReset(this, c.remoteAddr, portsWord(c.localPort, c.remotePort), c.nxt, c.rcvNxt, TCP_ACK);
    this.end(c, END_FINISHED);
  }

  /** Calls the application's onTimer at that time; Infinity unsets it. One timer a connection. */
  setTimer(c: TcpConnection, atNs: number): void {
    c.appAtNs = atNs;
    this.#settleUnlessActive(c);
  }

  /** Stops or goes on reading; while it does not read, the window closes. */
  setReading(c: TcpConnection, isReading: boolean): void {
    c.isReading = isReading;
    if (isReading) c.unreadBytes = 0;
    // A window update, unless the peer knows of room enough. @see RFC 9293 section 3.8.6.2.2
    const opened = (c.rcvNxt + this.settings.receiveBufferBytes - c.unreadBytes - c.toldEdge) | 0;
    if (isReading && opened >= Math.min(2 * c.mss, this.settings.receiveBufferBytes / 2)) c.mustAckNow = true;
    this.#settleUnlessActive(c);
  }

  /**
   * A packet for this host arrives; the stack owns it from now on.
   *
   * @hotpath
   */
  receive(slot: number): void {
    const { pool } = this;
    const { view } = pool;
    const at = slot * SLOT_BYTES;
    const tcpAt = at + IPV4_HEADER;
    const remoteAddr = view.getInt32(at + SRC);
    const ports = (dstPort(view, tcpAt) << 16) | srcPort(view, tcpAt);
    const index = this.#table.find(remoteAddr, ports);
    const segmentLength = pool.lengthOf(slot) - IPV4_HEADER;
    if (index === NONE) this.#takeStranger(view, tcpAt, remoteAddr, ports, segmentLength);
    else {
      const c = this.#connections[index];
      this.#active = index;
      handleSegment(this, c, view, tcpAt, segmentLength);
      this.#active = NONE;
      this.#settle(c);
    }
    // The view may have been replaced; the slot is the same.
    this.pool.release(slot);
  }

  /** The timer of a connection. @hotpath */
  wake(index: number): void {
    const c = this.#connections[index];
    if (c.wakeAtNs !== this.queue.nowNs) return;
    c.wakeAtNs = Infinity;
    if (c.state === STATE_CLOSED) return;
    if (nextTimerNs(c) <= this.queue.nowNs) {
      this.#active = index;
      runTimers(this, c);
      this.#active = NONE;
    }
    this.#settle(c);
  }

  /** The timer of delayed acknowledgements. @hotpath */
  acknowledge(): void {
    const index = this.delayedAcks.take();
    if (index === NONE) return;
    const c = this.#connections[index];
    c.mustAckNow = true;
    this.#settle(c);
  }

  /** Sends a packet. */
  emit(slot: number): void {
    this.#host.emit(slot);
  }

  /** The connection is over; the application is told, then forgotten. @param how - END_* */
  end(c: TcpConnection, how: number): void {
    const { app } = c;
    if (c.state !== STATE_TIME_WAIT) {
      if (how === END_FINISHED) this.totals.finished++;
      else if (how === END_TIMED_OUT) this.totals.timedOut++;
      else this.totals.reset++;
    }
    this.forget(c, () => app?.onEnd?.(this, c, how));
  }

  /** Gives the connection's place free. @param beforeReuse - called while the figures of the connection still hold */
  forget(c: TcpConnection, beforeReuse?: () => void): void {
    this.#table.remove(c.remoteAddr, portsWord(c.localPort, c.remotePort));
    c.state = STATE_CLOSED;
    c.app = undefined;
    this.delayedAcks.unset(c.index);
    beforeReuse?.();
    this.#free.push(c.index);
  }

  #settleUnlessActive(c: TcpConnection): void {
    if (this.#active !== c.index) this.#settle(c);
  }

  /** Sends what is due and sets the timer. @hotpath */
  #settle(c: TcpConnection): void {
    if (c.state === STATE_CLOSED) return;
    transmit(this, c);
    if (c.mustAckNow) sendAck(this, c);
    const atNs = nextTimerNs(c);
    if (atNs < c.wakeAtNs) {
      c.wakeAtNs = atNs;
      this.queue.schedule(atNs, EVENT_TCP, this.#host.nodeIndex, c.index);
    }
  }

  #takeStranger(view: DataView, at: number, remoteAddr: number, ports: number, length: number): void {
    const tcpFlags = flags(view, at);
    const accept = this.#listeners.get(ports >>> 16);
    if ((tcpFlags & (TCP_SYN | TCP_ACK)) === TCP_SYN && accept !== undefined) {
      const c = this.#make(remoteAddr, ports >>> 16, ports & 0xffff, undefined);
      c.state = STATE_SYN_RECEIVED;
      c.rcvNxt = (seqNumber(view, at) + 1) | 0;
      takeSynOptions(c, view, at);
      c.sendWindow = windowField(view, at);
      c.app = accept(c);
      this.#beginHandshake(c);
      return;
    }
    this.totals.strangers++;
    if ((tcpFlags & TCP_RST) !== 0) return;
    const end = (seqNumber(view, at) + length - headerLength(view, at) + (tcpFlags & TCP_SYN ? 1 : 0)) | 0;
    if ((tcpFlags & TCP_ACK) !== 0) sendReset(this, remoteAddr, ports, ackNumber(view, at), 0, 0);
    else sendReset(this, remoteAddr, ports, 0, end, TCP_ACK);
  }

  #make(remoteAddr: number, localPort: number, remotePort: number, app: TcpApp | undefined): TcpConnection {
    const index = this.#free.pop() ?? this.#connections.length;
    if (index === this.#connections.length) this.#connections.push(new TcpConnection(index));
    const c = this.#connections[index];
    c.reset();
    this.delayedAcks.reset(index);
    c.remoteAddr = remoteAddr;
    c.localPort = localPort;
    c.remotePort = remotePort;
    c.app = app;
    c.mss = this.settings.mss;
    c.receiveShift = this.#receiveShift;
    c.openedAtNs = this.queue.nowNs;
    c.progressNs = this.queue.nowNs;
    this.#table.add(remoteAddr, portsWord(localPort, remotePort), index);
    this.totals.opened++;
    return c;
  }

  #beginHandshake(c: TcpConnection): void {
    c.iss = this.#host.random.int32();
    c.una = c.iss;
    c.nxt = (c.iss + 1) | 0;
    c.toldEdge = (c.rcvNxt + Math.min(this.settings.receiveBufferBytes, 65_535)) | 0;
    c.synSentNs = this.queue.nowNs;
    c.rtoNs = this.settings.initialRtoNs;
    c.rtoAtNs = c.synSentNs + c.rtoNs;
    sendSyn(this, c);
    this.#settleUnlessActive(c);
  }

  /** The next local port that no connection to the same place uses. */
  #portToward(remoteAddr: number, remotePort: number): number {
    for (let tried = 0; tried < PORTS; tried++) {
      const port = FIRST_PORT + this.#nextPort;
      this.#nextPort = (this.#nextPort + 1) % PORTS;
      if (this.#table.find(remoteAddr, portsWord(port, remotePort)) === NONE) return port;
    }
    throw invalidOption('connections', PORTS + 1, `at most ${PORTS} at a time to one address and port`);
  }
}
