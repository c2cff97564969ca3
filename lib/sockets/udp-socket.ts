/**
 * The UDP socket: a node:dgram socket whose datagrams carry their codepoint and path ID, and which learns paths from
 * those that arrive. Long because each overload has its own documentation.
 */
import { AsyncResource } from 'node:async_hooks';
import { randomInt } from 'node:crypto';
import type { RemoteInfo, SocketType } from 'node:dgram';
import { Socket } from 'node:dgram';
import { invalidOption, requireNumber } from '../errors.ts';
import { DatagramFlows } from '../lex/datagram-flows.ts';
import { nowNs } from '../sys/clock.ts';
import { requirePeer, sendMarkedBatch, sendPlainBatch } from './batch.ts';
import { Datapath } from './datapath.ts';
import { warnUnmarked } from './availability.ts';
import type { ReceivedDatagram } from './datagram-receiver.ts';
import type { DgramState } from './dgram-internals.ts';
import { BIND_STATE_BOUND, dgramState, onEachHandle } from './dgram-internals.ts';
import type {
  BatchOptions,
  OutgoingDatagram,
  RemoteAddress,
  SendOptions,
  UdpSocketOptions,
} from './udp-options.ts';
import {
  checkBatchOptions,
  checkDatagram,
  checkLexOptions,
  checkSendOptions,
  hintsOf,
} from './udp-options.ts';
import type { Peer } from './peers.ts';
import { loadPlatform, MODULE } from './udp-platform.ts';
import { readSendArguments, trailingOptions } from './send-arguments.ts';
import type { BatchCallback, SendCallback } from './send-outcome.ts';
import { CallbackOutcome, sendError } from './send-outcome.ts';
import type { UdpPeerStatistics, UdpStatistics } from './udp-statistics.ts';
import { reportUdp } from './udp-statistics.ts';

/** A message of send: one piece of memory, text, or a list of both. */
export type Message = string | NodeJS.ArrayBufferView | readonly (string | NodeJS.ArrayBufferView)[];

/** What may stand behind the address in a call of send. */
export type SendTail =
  | [callback?: SendCallback | undefined]
  | [callback: SendCallback | undefined, options: SendOptions]
  | [options: SendOptions];

/** Events of a socket beside those of node:dgram. */
export interface UdpSocketEvents {
  /**
   * Datagrams that arrived together, 1 to some thousand, in order. While it has a listener, `message` is only emitted
   * for listeners of its own.
   */
  messages: [datagrams: ReceivedDatagram[]];
}

const EINVAL = 22;
/** Outsiders choose the peers of a server, but not how they spread over its table. */
const FLOW_SEED = randomInt(2 ** 31);

/**
 * A UDP socket like that of node:dgram, which it extends: same methods, events and errors. Beside that it marks what
 * it sends and takes the paths that the gateway assigns, by the host rules of docs/protocol.md; and it can send and
 * receive in batches.
 *
 * All datagrams that are sent in one turn of the event loop leave together at its end; what a listener of `message`
 * gets is the same as from node:dgram. On a platform that lacks something it is a plain node:dgram socket.
 */
export class UdpSocket extends Socket {
  readonly #flows: DatagramFlows;
  readonly #ecn: number;
  readonly #hasOwnLookup: boolean;
  /** Node looks at that itself. */
  readonly #hasBlockList: boolean;
  readonly #state: DgramState | undefined;
  readonly #path: Datapath | undefined;
  #lastPeer: Peer | undefined;
  #lastAddress = '';
  #isFlushDue = false;

  /**
   * Use {@link createSocket}.
   *
   * @throws TypeError ERR_SOCKET_BAD_TYPE and others, as node:dgram; PreflexError for a bad option in `lex`
   */
  constructor(
    options: SocketType | UdpSocketOptions,
    listener?: (message: Buffer, remote: RemoteInfo) => void,
  ) {
    const given = typeof options === 'object' && options !== null ? options : undefined;
    const { flows, ecn, datapath } = checkLexOptions(given?.lex);
    const ownFlows = new DatagramFlows({ seed: FLOW_SEED, ...flows });
    // @ts-expect-error - the class of node:dgram is public, its constructor only by way of createSocket
    super(options, listener);
    this.#flows = ownFlows;
    this.#ecn = ecn;
    this.#hasOwnLookup = given?.lookup !== undefined;
    this.#hasBlockList = (given as { sendBlockList?: unknown } | undefined)?.sendBlockList !== undefined;
    const platform = datapath === 'plain' ? undefined : loadPlatform(datapath === 'marked');
    this.#state = dgramState(this);
    if (platform !== undefined && this.#state === undefined) {
      warnUnmarked(MODULE, `Node ${process.version} keeps the state of its sockets in an unknown way`);
    }
    if (platform === undefined || this.#state === undefined) {
      this.on('newListener', emulateBatches);
      return;
    }
    // A signal that was aborted before has closed the socket by now.
    const resource = new AsyncResource('PREFLEXUDP', { requireManualDestroy: true });
    const path = new Datapath(this, this.#state, platform, this.#flows, ecn, resource);
    this.#path = path;
    onEachHandle(this.#state, (handle) => {
      path.attach(handle);
    });
  }

  /** Whether datagrams are marked and assignments learnt; false for the plain socket of the fallback. */
  get isMarking(): boolean {
    return this.#path?.isActive ?? false;
  }

  /**
   * Sends a datagram, in all the forms of node:dgram, with options behind the last argument of each.
   *
   * The payload is copied at once, so that the caller may change it. The callback is called once the datagram is
   * handed to the kernel, or with the error: `code` EMSGSIZE, ECONNREFUSED..., `errno`, `syscall` 'send'.
   *
   * @throws TypeError, RangeError and Error as node:dgram: ERR_INVALID_ARG_TYPE, ERR_SOCKET_BAD_PORT,
   *   ERR_SOCKET_DGRAM_NOT_RUNNING after close...; PreflexError ERR_INVALID_OPTION for bad options
   */
  override send(message: Message, port: number, address: string, ...tail: SendTail): void;
  override send(message: Message, port: number, ...tail: SendTail): void;
  override send(message: Message, ...tail: SendTail): void;
  override send(
    message: string | NodeJS.ArrayBufferView,
    offset: number,
    length: number,
    port: number,
    address: string,
    ...tail: SendTail
  ): void;
  override send(
    message: string | NodeJS.ArrayBufferView,
    offset: number,
    length: number,
    port: number,
    ...tail: SendTail
  ): void;
  override send(
    message: string | NodeJS.ArrayBufferView,
    offset: number,
    length: number,
    ...tail: SendTail
  ): void;
  override send(message: Message, port?: number, address?: string, callback?: SendCallback): void;
  override send(
    message: string | NodeJS.ArrayBufferView,
    offset: number,
    length: number,
    port?: number,
    address?: string,
    callback?: SendCallback,
  ): void;
  override send(...args: unknown[]): void {
    // The shortest form first: it is the one of those who count every nanosecond.
    const connected = this.#path?.connectedPeer;
    if (connected !== undefined && args.length === 2 && typeof args[1] === 'function') {
      if (args[0] instanceof Uint8Array && this.#path!.isReady && !this.#hasBlockList) {
        this.#sendTo(connected, true, args[0], undefined, undefined, args[1] as SendCallback, undefined);
        return;
      }
    }
    const options = trailingOptions(args);
    if (options !== undefined) checkSendOptions(options);
    const path = this.#path;
    if (!path?.isReady || this.#hasBlockList) {
      if (options === undefined || !this.#canBind()) this.#sendPlain(args, options);
      else this.#sendOnceBound(args);
      return;
    }
    const isConnected = path.connectedPeer !== undefined;
    const count = options === undefined ? args.length : args.length - 1;
    const read = readSendArguments(args, count, isConnected);
    if (read === undefined) {
      this.#sendPlain(args, options);
      return;
    }
    const { data, port, address, callback } = read;
    if (isConnected) {
      this.#sendTo(path.connectedPeer, true, data, undefined, undefined, callback, options);
    } else if (!this.#hasOwnLookup && this.#findPeer(path, address, port) !== undefined) {
      this.#sendTo(this.#lastPeer, false, data, address, port, callback, options);
    } else {
      this.#lookUp(data, address, port, callback, options);
    }
  }

  /**
   * Sends datagrams at once, in as few system calls as there can be: equal ones to one peer leave as one message that
   * the kernel, or the network card, cuts apart.
   *
   * @param messages - payloads, or objects with a payload and options of their own. Addresses are IP addresses,
   *   not names.
   * @param callback - called when every datagram was handed to the kernel or refused, with the first error and the
   *   number of those that went
   * @returns how many went at once; the others wait for room, or for the socket to be bound, or were refused
   * @throws PreflexError naming the option, before anything is sent; Error ERR_SOCKET_DGRAM_NOT_RUNNING after close
   */
  sendBatch(messages: readonly (Uint8Array | OutgoingDatagram)[], callback?: BatchCallback): number;
  /**
   * Sends datagrams at once, in as few system calls as there can be: equal ones to one peer leave as one message that
   * the kernel, or the network card, cuts apart.
   *
   * @param messages - payloads, or objects with a payload and what differs from `options`. Addresses are IP addresses,
   *   not names.
   * @param options - what the datagrams have in common; `newFlowlet` is for the first of them
   * @param callback - called when every datagram was handed to the kernel or refused, with the first error and the
   *   number of those that went
   * @returns how many went at once; the others wait for room, or for the socket to be bound, or were refused
   * @throws PreflexError naming the option, before anything is sent; Error ERR_SOCKET_DGRAM_NOT_RUNNING after close
   */
  sendBatch(
    messages: readonly (Uint8Array | OutgoingDatagram)[],
    options: BatchOptions,
    callback?: BatchCallback,
  ): number;
  sendBatch(
    messages: readonly (Uint8Array | OutgoingDatagram)[],
    optionsOrCallback?: BatchOptions | BatchCallback,
    lastCallback?: BatchCallback,
  ): number {
    const isCallbackSecond = typeof optionsOrCallback === 'function';
    const options = isCallbackSecond ? {} : (optionsOrCallback ?? {});
    const callback = isCallbackSecond ? optionsOrCallback : lastCallback;
    checkBatchOptions(options);
    for (const message of messages) if (!(message instanceof Uint8Array)) checkDatagram(message);
    const path = this.#path;
    const state = this.#state;
    // Throws, as every method of node:dgram does on a closed socket.
    if (state?.handle === null) this.address();
    if (this.#canBind()) {
      this.#whenBound(() => this.sendBatch(messages, options, callback));
      return 0;
    }
    if (!path?.isReady || this.#hasBlockList) {
      const send = (...args: unknown[]): void => {
        this.#sendPlain(args, undefined);
      };
      sendPlainBatch(send, messages, options, callback);
      return 0;
    }
    return sendMarkedBatch(path, this.#ecn, messages, options, callback);
  }

  /**
   * Asks for a new flowlet (rule 2f): the next datagram to the peer is FNE, and the gateway chooses a path for it and
   * those after it. Until the peer was heard this is granted at most once a flowlet gap.
   *
   * @param remote - default the connected peer, or every peer of an unconnected socket
   * @returns how many flows were told; one that is not known yet begins with FNE anyway
   * @throws PreflexError for an address that is none
   */
  newFlowlet(remote?: RemoteAddress): number {
    if (this.#path === undefined) return 0;
    return this.#flows.requestFlowlet(this.#peerOf(remote));
  }

  /**
   * Tells that datagrams arrive at the peer, learnt in another way than by a datagram of the peer's to this socket
   * (which is noticed without being told).
   *
   * @param remote - default the connected peer
   * @param rttMs - a round-trip time that the program measured, 0.001 to 67,000 ms; with it the flowlet gap is never
   *   shorter than the retransmission timeout that follows from it (RFC 6298)
   * @returns false when nothing was sent to the peer yet, or the socket does not mark
   * @throws PreflexError for an address that is none, a time out of range, or no peer
   */
  feedback(remote?: RemoteAddress, rttMs?: number): boolean {
    if (rttMs !== undefined) requireNumber('rttMs', rttMs, 0.001, 67_000);
    if (this.#path === undefined) return false;
    const peer = this.#peerOf(remote);
    if (peer === undefined) {
      throw invalidOption('remote', remote, 'the peer, unless the socket is connected');
    }
    return this.#flows.feedback(peer, nowNs(), (rttMs ?? 0) * 1e6);
  }

  /** What the socket counted. */
  statistics(): UdpStatistics {
    const peer = this.#path?.connectedPeer;
    const pathId = peer === undefined ? 0 : (this.#flows.report(peer)?.pathId ?? 0);
    return reportUdp(this.#flows, this.isMarking ? this.#path : undefined, pathId);
  }

  /**
   * What is known of a peer.
   *
   * @param remote - default the connected peer
   * @returns undefined when nothing was sent to it yet, it was forgotten, or the socket does not mark
   */
  peerStatistics(remote?: RemoteAddress): UdpPeerStatistics | undefined {
    const peer = this.#path && this.#peerOf(remote);
    return peer && this.#flows.report(peer);
  }

  #sendTo(
    peer: Peer | undefined,
    isConnected: boolean,
    data: Uint8Array,
    address: string | undefined,
    port: number | undefined,
    callback: SendCallback | undefined,
    options: SendOptions | undefined,
  ): void {
    if (peer === undefined) {
      // libuv's answer to an address of the other family.
      if (callback) process.nextTick(callback as (error: Error) => void, sendError(EINVAL, address, port));
      return;
    }
    const { sender } = this.#path!;
    const hints = options === undefined ? 0 : hintsOf(options);
    const ecn = options?.ecn ?? this.#ecn;
    if (callback !== undefined) {
      const outcome = new CallbackOutcome(callback, address, port);
      sender.send(peer, isConnected, data, hints, ecn, outcome);
      process.nextTick(flushAndSettle, this.#path!, outcome);
      return;
    }
    sender.send(peer, isConnected, data, hints, ecn, undefined);
    if (this.#isFlushDue) return;
    this.#isFlushDue = true;
    process.nextTick(UdpSocket.#flush, this);
  }

  static #flush(socket: UdpSocket): void {
    socket.#isFlushDue = false;
    socket.#path!.sender.flush();
  }

  /** The peer, when the address is one and not a name. Kept in #lastPeer. */
  #findPeer(path: Datapath, address: string | undefined, port: number): Peer | undefined {
    const text = address || path.loopback;
    const last = this.#lastPeer;
    if (last !== undefined && last.port === port && this.#lastAddress === text) return last;
    const peer = path.peers.byText(text, port);
    if (peer === undefined) return undefined;
    this.#lastAddress = text;
    return (this.#lastPeer = peer);
  }

  #lookUp(
    data: Uint8Array,
    address: string | undefined,
    port: number,
    callback: SendCallback | undefined,
    options: SendOptions | undefined,
  ): void {
    const state = this.#state!;
    // The program may change its memory while the name is looked up.
    const copy = Uint8Array.from(data);
    state.handle!.lookup(address, (error, ip) => {
      if (error) {
        if (callback) process.nextTick(callback as (error: Error) => void, error);
        else process.nextTick(() => this.emit('error', error));
      } else if (state.handle !== null) {
        this.#sendTo(this.#path!.peers.byText(ip, port), false, copy, address, port, callback, options);
      }
    });
  }

  /** Leaves it to node:dgram, and with it every error. */
  #sendPlain(args: unknown[], options: SendOptions | undefined): void {
    const plain = options === undefined ? args : args.slice(0, -1);
    Reflect.apply(super.send as (...args: unknown[]) => void, this, plain);
  }

  #sendOnceBound(args: unknown[]): void {
    // Node's own look at the arguments: it throws here and now, or it would have sent.
    if (readSendArguments(args, args.length - 1, false) === undefined) {
      this.#sendPlain(args, args.at(-1) as SendOptions);
      return;
    }
    this.#whenBound(() => {
      Reflect.apply(this.send as (...args: unknown[]) => void, this, args);
    });
  }

  /** Whether the socket would mark if it were bound, which it is not yet. */
  #canBind(): boolean {
    const state = this.#state;
    if (!this.#path?.isActive || this.#hasBlockList || !state?.handle) return false;
    return state.bindState !== BIND_STATE_BOUND;
  }

  #whenBound(callback: () => void): void {
    if (this.#state!.bindState === 0) this.bind({ port: 0, exclusive: true });
    this.once('listening', callback);
  }

  #peerOf(remote: RemoteAddress | undefined): Peer | undefined {
    const path = this.#path!;
    return remote === undefined ? path.connectedPeer : requirePeer(path, remote.address, remote.port);
  }
}

function flushAndSettle(path: Datapath, outcome: CallbackOutcome): void {
  if (!outcome.isFinished) path.sender.flush();
  outcome.settle();
}

/** On a plain socket a batch is one datagram. */
function emulateBatches(this: Socket, event: string | symbol): void {
  if (event !== 'messages') return;
  this.off('newListener', emulateBatches);
  this.on('message', (data, { address, family, port }) => {
    (this as NodeJS.EventEmitter).emit('messages', [{ data, remote: { address, family, port }, ecn: 0 }]);
  });
}
