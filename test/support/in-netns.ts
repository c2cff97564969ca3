/**
 * Sockets of this process in other network namespaces: a socket belongs to the namespace that its thread is in when it
 * is made, so the thread goes there for the moment of making it. For small traffic; iperf3 and curl are processes.
 */
import { createHash } from 'node:crypto';
import dgram from 'node:dgram';
import { on, once } from 'node:events';
import { createServer } from 'node:net';
import type { Server, Socket } from 'node:net';
import type { LabScope } from '../../lib/netns/index.ts';
import { Fd } from '../../lib/sys/fd.ts';
import { openFile, O_RDONLY } from '../../lib/sys/libc.ts';
import { enterNetworkNamespace } from '../../lib/sys/netns.ts';
import { TcpSocket } from '../../lib/sys/socket.ts';

/** Calls `body` inside a namespace. It must be synchronous: nothing else of the process may run there. */
export function withinNetns<T>(netns: string, body: () => T): T {
  const home = new Fd(openFile('/proc/self/ns/net', O_RDONLY), 'the namespace of this process');
  try {
    enterNetworkNamespace(`/run/netns/${netns}`);
    try {
      return body();
    } finally {
      enterNetworkNamespace(`/proc/self/fd/${home.number}`);
    }
  } finally {
    home.close();
  }
}

/** A TCP socket of a namespace, not connected. */
export function openTcp(netns: string, version: 4 | 6): TcpSocket {
  return withinNetns(netns, () => TcpSocket.open(version));
}

/** Connects from a namespace. @param prepare - sets options before the SYN */
export async function connectTcp(
  netns: string,
  address: string,
  port: number,
  prepare?: (fd: number) => void,
): Promise<Socket> {
  const socket = openTcp(netns, address.includes(':') ? 6 : 4);
  prepare?.(socket.fd);
  await socket.connect(address, port);
  return socket.intoNodeSocket();
}

/** A TCP server on all addresses of a namespace, closed with the scope. */
export function serveTcp(
  scope: LabScope,
  netns: string,
  port: number,
  onConnection: (socket: Socket) => void,
): Server {
  const server = createServer({ allowHalfOpen: true }, (socket) => {
    socket.on('error', () => undefined); // the other end sees it too, and the test asserts there
    onConnection(socket);
  });
  withinNetns(netns, () => server.listen(port));
  scope.defer(`server on port ${port}`, () => {
    server.close();
  });
  return server;
}

/** Sends bytes through an echo connection that stays open, and waits until all are back. @throws when others come back */
export async function echo(socket: Socket, data: Buffer): Promise<void> {
  const chunks: Buffer[] = [];
  let received = 0;
  const echoed = async (): Promise<void> => {
    for await (const [chunk] of on(socket, 'data') as AsyncIterable<[Buffer]>) {
      chunks.push(chunk);
      received += chunk.length;
      if (received >= data.length) return;
    }
  };
  const done = echoed();
  socket.write(data);
  await done;
  if (!Buffer.concat(chunks).equals(data)) throw new Error('other bytes came back than were sent');
}

/** Sends `bytes`, ends, and returns all that comes back. */
export async function exchange(socket: Socket, bytes: Uint8Array): Promise<Buffer> {
  const chunks: Buffer[] = [];
  socket.on('data', (chunk: Buffer) => chunks.push(chunk));
  socket.end(bytes);
  await once(socket, 'close');
  return Buffer.concat(chunks);
}

/** A UDP socket of a namespace, bound and closed with the scope. @param port - 0: the kernel chooses */
export async function openUdp(
  scope: LabScope,
  netns: string,
  address: string,
  port = 0,
): Promise<dgram.Socket> {
  const version = address.includes(':') ? 6 : 4;
  // Addresses are given as numbers; with this look-up the descriptor is made by bind() itself, in the namespace.
  const lookup = (
    name: string,
    _: unknown,
    callback: (error: null, address: string, family: number) => void,
  ) => callback(null, name, version);
  const socket = dgram.createSocket({
    type: version === 4 ? 'udp4' : 'udp6',
    lookup: lookup as never,
    recvBufferSize: 1 << 20,
    sendBufferSize: 1 << 20,
  });
  const listening = once(socket, 'listening');
  withinNetns(netns, () => socket.bind({ address, port, exclusive: true }));
  await listening;
  scope.defer(`UDP socket ${address}`, () => {
    socket.close();
  });
  return socket;
}

/** Descriptor of a bound UDP socket, for socket options. */
export function udpFd(socket: dgram.Socket): number {
  const state = Object.getOwnPropertySymbols(socket)
    .map((symbol) => (socket as unknown as Record<symbol, { handle?: { fd?: number } } | undefined>)[symbol])
    .find((value) => value?.handle?.fd !== undefined);
  const fd = state?.handle?.fd;
  if (fd === undefined || fd < 0) throw new Error('the UDP socket has no descriptor');
  return fd;
}

/** Sends one datagram and waits for one back. @throws after five seconds without an answer, or on an ICMP error */
export async function askUdp(
  socket: dgram.Socket,
  payload: Uint8Array,
  address: string,
  port: number,
): Promise<Buffer> {
  const answer = once(socket, 'message', { signal: AbortSignal.timeout(5000) });
  socket.send(payload, port, address);
  const [message] = (await answer) as [Buffer];
  return message;
}

/** Bytes that look random and are the same each time. */
export function patternBytes(length: number, seed: string): Buffer {
  const blocks: Buffer[] = [];
  for (let bytes = 0; bytes < length; bytes += 64) {
    blocks.push(createHash('sha512').update(`${seed} ${bytes}`).digest());
  }
  return Buffer.concat(blocks, length);
}
