/**
 * The other end of the wire: a UDP socket of this machine that reads the traffic class of what arrives and sends with
 * any traffic class. Reads only when asked, so that a test sees exactly what had arrived by then.
 */
import dgram from 'node:dgram';
import { loadDatagramCalls } from '../../../lib/sys/datagram-calls.ts';
import { ReceiveVector } from '../../../lib/sys/receive-vector.ts';
import { SendVector } from '../../../lib/sys/send-vector.ts';
import {
  AF_INET,
  AF_INET6,
  encodeSocketAddress,
  socketAddressBytes,
  socketPort,
} from '../../../lib/sys/socket-address.ts';
import {
  IP_RECVTOS,
  IP_TOS,
  IPV6_RECVTCLASS,
  IPV6_TCLASS,
  SOL_IP,
  SOL_IPV6,
} from '../../../lib/sys/socket-levels.ts';
import { udpFd } from '../../support/in-netns.ts';
import { markText } from '../../support/one-host.ts';
import { bound } from './trace.ts';

/** A datagram as it arrived. */
export interface Arrived {
  /** `FNE`, `LECT/3`... in the scheme of the end. */
  readonly mark: string;
  readonly ecn: number;
  readonly data: string;
  readonly bytes: number;
  readonly port: number;
}

const calls = loadDatagramCalls();

/** One end. */
export class WireEnd {
  readonly port: number;
  readonly address: string;
  readonly #socket: dgram.Socket;
  readonly #fd: number;
  readonly #family: number;
  readonly #scheme: 'pool2' | 'full';
  readonly #vector: ReceiveVector;
  readonly #out: SendVector;

  /** @param address - 127.0.0.1 or ::1 */
  static async open(address = '127.0.0.1', scheme: 'pool2' | 'full' = 'pool2'): Promise<WireEnd> {
    const socket = dgram.createSocket({
      type: address.includes(':') ? 'udp6' : 'udp4',
      recvBufferSize: 1 << 20,
    });
    const state = Object.getOwnPropertySymbols(socket)
      .map((symbol) => (socket as unknown as Record<symbol, { handle?: { recvStart?: unknown } }>)[symbol])
      .find((value) => value?.handle?.recvStart !== undefined);
    // Node shall not read: this class does.
    state!.handle!.recvStart = () => 0;
    return new WireEnd(await bound(socket, address), address, scheme);
  }

  private constructor(socket: dgram.Socket, address: string, scheme: 'pool2' | 'full') {
    if (typeof calls === 'string') throw new Error(calls);
    this.#socket = socket;
    this.#fd = udpFd(socket);
    this.#family = address.includes(':') ? AF_INET6 : AF_INET;
    this.#scheme = scheme;
    this.address = address;
    this.port = socket.address().port;
    this.#vector = new ReceiveVector(calls, 64);
    this.#out = new SendVector(calls, 1, 65_536);
    const errno =
      this.#family === AF_INET
        ? calls.setOption(this.#fd, SOL_IP, IP_RECVTOS, 1)
        : calls.setOption(this.#fd, SOL_IPV6, IPV6_RECVTCLASS, 1);
    if (errno !== 0) throw new Error(`traffic class: errno ${errno}`);
  }

  /** What has arrived since the last call. */
  read(): Arrived[] {
    const arrived: Arrived[] = [];
    for (;;) {
      const count = this.#vector.receive(this.#fd);
      if (count <= 0) return arrived;
      for (let i = 0; i < count; i++) {
        this.#vector.readControl(i);
        const at = this.#vector.payloadAt(i);
        const bytes = this.#vector.lengthOf(i);
        arrived.push({
          mark: markText(this.#scheme, this.#vector.trafficClass >> 2),
          ecn: this.#vector.trafficClass & 3,
          data: this.#vector.payload.toString('latin1', at, at + Math.min(bytes, 100)),
          bytes,
          port: socketPort(this.#vector.words, this.#vector.nameAt(i)),
        });
      }
    }
  }

  /** The marks of what has arrived since the last call. */
  marks(): string[] {
    return this.read().map(({ mark }) => mark);
  }

  /** Sends a datagram with a DSCP. */
  send(data: string, port: number, dscp = 0, ecn = 0): void {
    const name = encodeSocketAddress(this.#family, this.address, port, () => 0)!;
    const length = this.#out.payload.write(data, 'latin1');
    const [level, option] = this.#family === AF_INET ? [SOL_IP, IP_TOS] : [SOL_IPV6, IPV6_TCLASS];
    this.#out.set(0, 0, length, name, socketAddressBytes(this.#family), level, option, (dscp << 2) | ecn, 0);
    if (this.#out.send(this.#fd, 0, 1) !== 1) throw new Error('not sent');
  }

  close(): void {
    this.#socket.close();
  }
}
