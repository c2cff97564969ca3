/**
 * The datapath of one socket: takes the place of libuv's behind a node:dgram handle.
 *
 *      handle.recvStart   options, watch ---> readable: receive, learn, hand over in setImmediate
 *      handle.send        sender             writable: continue the sender
 *      handle.connect     remember the peer
 *      handle.close       flush, stop
 *
 * Received datagrams are handed over one in each setImmediate: between two of them Node runs what promises and
 * process.nextTick have become due, as between two datagrams of node:dgram, so that `await once(socket, 'message')`
 * misses none.
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
import type { Peer } from './peers.ts';
import { Peers } from './peers.ts';
import type { Platform } from './udp-platform.ts';
import { MODULE } from './udp-platform.ts';
import { HandleOutcome } from './send-outcome.ts';

const EIO = 5;
/** The socket says "error" this often without telling one: give it up. */
const MAX_EMPTY_ERRORS = 16;

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

  #onEvent(isBroken: boolean): void {
    const received: ReceivedDatagram[] = [];
    const errno = this.receiver.receive(received) ? 0 : this.#platform.calls.lastErrno();
    const isError = errno !== 0 && errno !== EAGAIN && errno !== EINTR;
    if (this.#isBlocked) this.sender.continue();
    if (received.length > 0) this.#resource.runInAsyncScope(this.#handOver, this, received);
    if (isError) this.#resource.runInAsyncScope(setImmediate, null, () => this.#report(errno));
    if (!isBroken) return;
    this.#emptyErrors = isError || received.length > 0 ? 0 : this.#emptyErrors + 1;
    if (this.#emptyErrors < MAX_EMPTY_ERRORS) {
      this.#watch?.restart(this.#isBlocked);
      return;
    }
    this.#stop();
    setImmediate(() => this.#report(EIO));
  }

  #handOver(received: ReceivedDatagram[]): void {
    const handle = this.#handle!;
    const hasBatchListener = this.#socket.listenerCount('messages') > 0;
    if (hasBatchListener) setImmediate(emitBatch, this, handle, received);
    if (hasBatchListener && this.#socket.listenerCount('message') === 0) return;
    for (const datagram of received) setImmediate(emitOne, this, handle, datagram);
  }

  /** Whether the handle is still this socket's, so that events may follow. */
  isOpen(handle: DgramHandle): boolean {
    return this.#handle === handle;
  }

  /** Emits the event of a batch. @internal */
  emitBatch(received: ReceivedDatagram[]): void {
    (this.#socket as NodeJS.EventEmitter).emit('messages', received);
  }

  #report(errno: number): void {
    const handle = this.#handle;
    if (handle !== undefined) handle.onmessage?.(-errno, handle);
  }

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

function emitOne(path: Datapath, handle: DgramHandle, { data, remote }: ReceivedDatagram): void {
  if (!path.isOpen(handle)) return;
  const { address, family, port } = remote;
  handle.onmessage?.(data.length, handle, data, { address, family, port });
}

function emitBatch(path: Datapath, handle: DgramHandle, received: ReceivedDatagram[]): void {
  if (path.isOpen(handle)) path.emitBatch(received);
}

function bytesOf(view: ArrayBufferView): Uint8Array {
  return view instanceof Uint8Array ? view : new Uint8Array(view.buffer, view.byteOffset, view.byteLength);
}
