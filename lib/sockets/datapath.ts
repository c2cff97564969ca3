/**
 * The datapath of one socket: takes the place of libuv's behind a node:dgram handle.
 *
 *      handle.recvStart   options, watch ---> readable: receive, learn, hand over to listeners
 *      handle.send        sender             writable: continue the sender
 *      handle.connect     remember the peer
 *      handle.close       flush, stop
 */
import type { AsyncResource } from 'node:async_hooks';
import type { Socket } from 'node:dgram';
import type { DatagramFlows } from '../lex/datagram-flows.ts';
import { EAGAIN, EINTR, EINVAL } from '../sys/errno.ts';
import { AF_INET, AF_INET6 } from '../sys/socket-address.ts';
import { IP_RECVTOS, IPV6_RECVTCLASS, SOL_IP, SOL_IPV6, SOL_UDP, UDP_GRO } from '../sys/socket-levels.ts';
import type { SocketWatch } from '../sys/socket-watch.ts';
import { warnUnmarked } from './availability.ts';
import type { ReceivedDatagram } from './datagram-receiver.ts';
import { DatagramReceiver } from './datagram-receiver.ts';
import { DatagramSender } from './datagram-sender.ts';
import type { DgramHandle, DgramState } from './dgram-internals.ts';
import { CONNECT_STATE_CONNECTED } from './dgram-internals.ts';
import { handOver } from './hand-over.ts';
import type { Peer } from './peers.ts';
import { Peers } from './peers.ts';
import type { Platform } from './udp-platform.ts';
import { MODULE } from './udp-platform.ts';
import { HandleOutcome } from './send-outcome.ts';

const EIO = 5;
/** The socket says "error" this often without telling one: give it up. */
const MAX_EMPTY_ERRORS = 16;

/** Times that the socket is read in one turn of the loop, as libuv does. */
const MAX_ROUNDS = 32;
/** Times that reading once more may be in vain before it is left. */
const EAGERNESS = 4;
const WAKES_BETWEEN_TRIES = 16;

/** A request of node:dgram for one datagram (SendWrap). */
interface HandleRequest {
  oncomplete?(status: number, bytes: number): void;
}

/** See the head of the file. */
export class Datapath {
  readonly sender: DatagramSender;
  readonly receiver: DatagramReceiver;
  readonly peers: Peers;
  /** The peer that the socket is connected to. */
  connectedPeer: Peer | undefined;
  /** The address that stands for none. */
  readonly loopback: string;
  /** False once the platform refused: the handle is as Node made it. */
  isActive = true;

  readonly #socket: Socket;
  readonly #state: DgramState;
  readonly #platform: Platform;
  readonly #resource: AsyncResource;
  readonly #family: number;
  readonly #ecn: number;
  #handle: DgramHandle | undefined;
  #watch: SocketWatch | undefined;
  #isBlocked = false;
  #emptyErrors = 0;
  /** Above 0 while reading once more has paid. */
  #eagerness = 0;
  #wakesSinceTry = 0;

  /** @param resource - the async context in which the socket's events happen */
  constructor(
    socket: Socket,
    state: DgramState,
    platform: Platform,
    flows: DatagramFlows,
    ecn: number,
    resource: AsyncResource,
  ) {
    this.#socket = socket;
    this.#state = state;
    this.#platform = platform;
    this.#resource = resource;
    this.#ecn = ecn;
    const isIpv4 = (socket as Socket & { type?: string }).type === 'udp4';
    this.#family = isIpv4 ? AF_INET : AF_INET6;
    this.loopback = isIpv4 ? '127.0.0.1' : '::1';
    this.peers = new Peers(platform.calls, this.#family);
    this.sender = new DatagramSender(platform.calls, platform.stage, flows, (isBlocked) => {
      this.#isBlocked = isBlocked;
      this.#watch?.restart(isBlocked);
    });
    this.receiver = new DatagramReceiver(platform.receiveVector, flows, this.peers, this.#family);
  }

  /** Puts this datapath behind a handle that receives nothing yet. */
  attach(handle: DgramHandle): void {
    const { recvStart, connect, disconnect, close, ref, unref } = handle;
    const original = { ...handle };
    this.#handle = handle;
    const own: Partial<DgramHandle> = {
      recvStart: () => {
        const refusal = this.#start(handle);
        if (refusal === '') return 0;
        this.isActive = false;
        warnUnmarked(MODULE, refusal);
        for (const name of Object.keys(own) as (keyof DgramHandle)[]) {
          // Some methods of a udp6 handle are its own properties already.
          if (name in original) Object.assign(handle, { [name]: original[name] });
          else Reflect.deleteProperty(handle, name);
        }
        return recvStart.call(handle);
      },
      recvStop: () => {
        this.#stop();
        return 0;
      },
      send: (...args) => this.#sendForNode(args),
      connect: (address, port) => {
        this.sender.flush();
        const status = connect.call(handle, address, port);
        if (status === 0) this.#rememberPeer(handle, address, port);
        return status;
      },
      disconnect: () => {
        this.sender.flush();
        const status = disconnect.call(handle);
        if (status === 0) this.connectedPeer = undefined;
        return status;
      },
      close: (callback) => {
        this.sender.close(this.#state.connectState === CONNECT_STATE_CONNECTED);
        this.#stop();
        this.#handle = undefined;
        close.call(handle, callback);
      },
      ref: () => {
        ref.call(handle);
        this.#watch?.ref();
      },
      unref: () => {
        unref.call(handle);
        this.#watch?.unref();
      },
      getSendQueueSize: () => this.sender.queue.bytes,
      getSendQueueCount: () => this.sender.queue.count,
    };
    Object.assign(handle, own);
  }

  /** Whether the socket is bound and open, and marks. @hotpath */
  get isReady(): boolean {
    return this.sender.fd >= 0;
  }

  /** Starts receiving. Returns why it cannot, or nothing. */
  #start(handle: DgramHandle): string {
    const { calls } = this.#platform;
    const { fd } = handle;
    const errno =
      this.#family === AF_INET
        ? calls.setOption(fd, SOL_IP, IP_RECVTOS, 1)
        : calls.setOption(fd, SOL_IPV6, IPV6_RECVTCLASS, 1);
    if (errno !== 0) return `the system refuses the option that tells a datagram's traffic class (${errno})`;
    // For IPv4 through a socket of IPv6; one that is only for IPv6 does without.
    if (this.#family === AF_INET6) calls.setOption(fd, SOL_IP, IP_RECVTOS, 1);
    // A gain where the kernel has it.
    calls.setOption(fd, SOL_UDP, UDP_GRO, 1);
    this.sender.fd = fd;
    this.receiver.fd = fd;
    this.#watch = calls.watch(fd, (isBroken) => {
      this.#onEvent(isBroken);
    });
    if (!handle.hasRef()) this.#watch.unref();
    return '';
  }

  #stop(): void {
    this.#watch?.close();
    this.#watch = undefined;
    this.receiver.fd = -1;
  }

  /**
   * Receives and hands over, again and again while a listener's answer brings the next datagram at once: that is half
   * as dear as another turn of the loop.
   */
  #onEvent(isBroken: boolean): void {
    if (this.#isBlocked) this.sender.continue();
    if (!this.#receive(isBroken)) return;
    if (this.#eagerness <= 0) {
      // Not worth it lately; look once in a while whether it has become so.
      if (++this.#wakesSinceTry < WAKES_BETWEEN_TRIES) return;
      this.#wakesSinceTry = 0;
    }
    for (let round = 1; round < MAX_ROUNDS; round++) {
      if (!this.#receive(false)) {
        this.#eagerness--;
        return;
      }
      this.#eagerness = EAGERNESS;
    }
  }

  /**
   * Receives once.
   *
   * @returns whether everything received was handed over and the socket is still open
   */
  #receive(isBroken: boolean): boolean {
    const received: ReceivedDatagram[] = [];
    const errno = this.receiver.receive(received) ? 0 : this.#platform.calls.lastErrno();
    const isError = errno !== 0 && errno !== EAGAIN && errno !== EINTR;
    if (isBroken) this.#mend(isError || received.length > 0);
    // Last, because it calls the program, which may close the socket.
    if (isError) handOver(this.#resource, [errno], this.#report);
    return received.length > 0 && this.#emit(received) && this.receiver.fd >= 0;
  }

  /** An error stopped the watch. @param isExplained - it was found */
  #mend(isExplained: boolean): void {
    this.#emptyErrors = isExplained ? 0 : this.#emptyErrors + 1;
    if (this.#emptyErrors < MAX_EMPTY_ERRORS) {
      this.#watch?.restart(this.#isBlocked);
      return;
    }
    this.#stop();
    handOver(this.#resource, [EIO], this.#report);
  }

  #emit(received: readonly ReceivedDatagram[]): boolean {
    if (this.#socket.listenerCount('messages') > 0) {
      const isDone = handOver(this.#resource, [received], this.#emitBatch);
      if (!isDone || this.#socket.listenerCount('message') === 0) return isDone;
    }
    return handOver(this.#resource, received, this.#emitOne);
  }

  // Each of these returns whether the socket is still open.

  readonly #emitOne = ({ data, remote }: ReceivedDatagram): boolean => {
    const handle = this.#handle;
    if (handle === undefined) return false;
    const { address, family, port } = remote;
    handle.onmessage?.(data.length, handle, data, { address, family, port });
    return this.#handle === handle;
  };

  readonly #emitBatch = (received: readonly ReceivedDatagram[]): boolean => {
    if (this.#handle === undefined) return false;
    return (this.#socket as NodeJS.EventEmitter).emit('messages', received);
  };

  readonly #report = (errno: number): boolean => {
    const handle = this.#handle;
    handle?.onmessage?.(-errno, handle);
    return this.#handle !== undefined;
  };

  /** The call that node:dgram makes: bytes + 1, minus an errno, or 0 when the request will be completed. */
  #sendForNode(args: unknown[]): number {
    const [request, list, count, port, address, hasCallback] = args as [
      HandleRequest,
      ArrayBufferView[],
      number,
      number,
      string,
      boolean,
    ];
    const isConnected = args.length < 5;
    const peer = isConnected ? this.connectedPeer : this.peers.byText(address, port);
    if (peer === undefined) return -EINVAL;
    const parts = Array.from({ length: count }, (_, i) => bytesOf(list[i]!));
    const isAwaited = isConnected ? Boolean(port) : hasCallback;
    const outcome = new HandleOutcome(
      isAwaited ? (status, bytes) => request.oncomplete?.(status, bytes) : undefined,
    );
    const data = parts.length === 1 ? parts[0]! : Buffer.concat(parts);
    this.sender.send(peer, isConnected, data, 0, this.#ecn, outcome);
    this.sender.flush();
    return outcome.result();
  }

  #rememberPeer(handle: DgramHandle, address: string, port: number): void {
    const out: { address?: string; port?: number } = {};
    const isKnown = handle.getpeername(out) === 0 && out.address !== undefined && out.port !== undefined;
    this.connectedPeer = isKnown
      ? this.peers.byText(out.address!, out.port!)
      : this.peers.byText(address, port);
  }
}

function bytesOf(view: ArrayBufferView): Uint8Array {
  return view instanceof Uint8Array ? view : new Uint8Array(view.buffer, view.byteOffset, view.byteLength);
}
