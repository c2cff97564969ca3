/** The other end of the benchmark `udp`: sends and takes datagrams by bare system calls, and only when told to. */
import dgram from 'node:dgram';
import { once } from 'node:events';
import { PreflexError } from '../errors.ts';
import { dgramState } from '../sockets/dgram-internals.ts';
import { loadDatagramCalls } from '../sys/datagram-calls.ts';
import { ReceiveVector } from '../sys/receive-vector.ts';
import { SendVector } from '../sys/send-vector.ts';
import { AF_INET, encodeSocketAddress, socketAddressBytes } from '../sys/socket-address.ts';
import { IP_TOS, SOL_IP } from '../sys/socket-levels.ts';

/** Most datagrams of one {@link RawUdpEnd.send}. */
export const RAW_BATCH = 64;
const ADDRESS = '127.0.0.1';
/** Larger than what a round sends, where the machine lets it: datagrams that are dropped cost less. */
const BUFFER_BYTES = 1 << 20;

/** A bound UDP socket of 127.0.0.1 that nobody reads but its owner. */
export class RawUdpEnd {
  readonly port: number;
  readonly #socket: dgram.Socket;
  readonly #fd: number;
  readonly #in: ReceiveVector;
  readonly #out: SendVector;

  /** Opens one. @throws PreflexError ERR_MISSING_REQUIREMENT where there are no system calls */
  static async open(): Promise<RawUdpEnd> {
    const calls = loadDatagramCalls();
    const socket = dgram.createSocket({ type: 'udp4', recvBufferSize: BUFFER_BYTES });
    const handle = dgramState(socket)?.handle;
    if (typeof calls === 'string' || !handle) {
      socket.close();
      throw new PreflexError('ERR_MISSING_REQUIREMENT', `the benchmark udp needs system calls: ${calls}`);
    }
    handle.recvStart = () => 0;
    socket.bind(0, ADDRESS);
    await once(socket, 'listening');
    return new RawUdpEnd(
      socket,
      handle.fd,
      new ReceiveVector(calls, RAW_BATCH),
      new SendVector(calls, RAW_BATCH, 65_536),
    );
  }

  private constructor(socket: dgram.Socket, fd: number, vectorIn: ReceiveVector, vectorOut: SendVector) {
    this.#socket = socket;
    this.#fd = fd;
    this.#in = vectorIn;
    this.#out = vectorOut;
    this.port = socket.address().port;
  }

  /** Sends `count` datagrams of `bytes` each, up to {@link RAW_BATCH}; each is a packet of its own. */
  send(port: number, count: number, bytes: number): void {
    const name = encodeSocketAddress(AF_INET, ADDRESS, port, () => 0)!;
    for (let i = 0; i < count; i++) {
      this.#out.set(i, 0, bytes, name, socketAddressBytes(AF_INET), SOL_IP, IP_TOS, 0, 0);
    }
    const sent = this.#out.send(this.#fd, 0, count);
    if (sent !== count)
      throw new PreflexError('ERR_SYSTEM', `only ${sent} of ${count} datagrams could be sent`);
  }

  /** Takes everything that waits; returns the number of datagrams. */
  drain(): number {
    let total = 0;
    for (;;) {
      const count = this.#in.receive(this.#fd);
      if (count <= 0) return total;
      total += count;
    }
  }

  close(): void {
    this.#socket.close();
  }
}
