/** preflex/tcp over the loopback interface, where this test plays the gateway: it chooses the DSCP of the peer. */
import { execFile } from 'node:child_process';
import { once } from 'node:events';
import { Agent, createServer as createHttpServer, get } from 'node:http';
import { connect as connectNode, createServer, type AddressInfo, type Server, Socket } from 'node:net';
import { fileURLToPath } from 'node:url';
import { promisify } from 'node:util';
import { afterEach, describe, expect, it, vi } from 'vitest';
import { connect, createConnection, pinOf, pinServer, pinSocket } from '../../lib/sockets/tcp.ts';
import type { ServerPin, TcpPin, TcpPinOptions } from '../../lib/sockets/tcp.ts';
import { noteReceivedClass, readReceivedClass } from '../../lib/sys/received-class.ts';
import {
  readSocketOptionBytes,
  readTrafficClass,
  socketFd,
  writeSocketOption,
  writeTrafficClass,
} from '../../lib/sys/socket-options.ts';
import { TcpSocket } from '../../lib/sys/socket.ts';

const FNE = 7 << 2;
const LECT = 3 << 2;
const lectOn = (pathId: number): number => (8 * pathId + 3) << 2;
const ADDRESS = { 4: '127.0.0.1', 6: '::1' } as const;

const undo: (() => void)[] = [];
afterEach(() => {
  for (const close of undo.splice(0).reverse()) close();
});

/** A listener that answers a SYN with a class of our choice. */
function listen(version: 4 | 6, trafficClass: number): TcpSocket {
  const listener = TcpSocket.open(version);
  undo.push(() => listener.close());
  writeTrafficClass(listener.fd, trafficClass, version);
  listener.bind(ADDRESS[version]);
  listener.listen();
  return listener;
}

/** A pinned client and the bare socket at its other end. */
async function pinnedClient(version: 4 | 6, synAckClass: number, options: TcpPinOptions = {}) {
  const listener = listen(version, synAckClass);
  const socket = await connect({ host: ADDRESS[version], port: listener.localPort, ...options });
  undo.push(() => socket.destroy());
  await listener.readable();
  const peer = listener.accept()!;
  undo.push(() => peer.close());
  if (version === 6) noteReceivedClass(peer.fd);
  return { socket, pin: pinOf(socket)!, peer };
}

async function startServer(host: string, pinned: boolean, options?: TcpPinOptions) {
  const server: Server = createServer((socket) => socket.pipe(socket));
  undo.push(() => server.close());
  const serverPin = pinned ? pinServer(server, options) : undefined;
  await new Promise<void>((resolve) => server.listen(0, host, resolve));
  return { server, serverPin: serverPin as ServerPin, port: (server.address() as AddressInfo).port };
}

/** A connection to the server whose SYN has that class, and the pin at the server. */
async function acceptedPin(
  server: { serverPin: ServerPin; port: number },
  version: 4 | 6,
  synClass: number,
): Promise<{ client: TcpSocket; pin: TcpPin }> {
  const client = TcpSocket.open(version);
  undo.push(() => client.close());
  writeTrafficClass(client.fd, synClass, version);
  if (version === 6) noteReceivedClass(client.fd);
  await client.connect(ADDRESS[version], server.port);
  const pin = await vi.waitFor(() => {
    const [first] = server.serverPin.connections;
    expect(first).toBeDefined();
    return first!;
  });
  return { client, pin };
}

const SOL_IP = 0;
const IP_PKTOPTIONS = 9;
const IP_RECVTOS = 13;

/** Has the kernel note the class of the segment that completes a handshake, on connections of an IPv4 listener. */
function noteThirdClass(listeningFd: number): void {
  writeSocketOption(listeningFd, SOL_IP, IP_RECVTOS, 1);
}

/** That class. */
function readThirdClass(fd: number): number {
  const control = new Uint8Array(64);
  expect(readSocketOptionBytes(fd, SOL_IP, IP_PKTOPTIONS, control)).toBeGreaterThan(16);
  return control[16]!;
}

async function readAll(peer: TcpSocket, bytes: number): Promise<void> {
  const buffer = new Uint8Array(65_536);
  for (let left = bytes; left > 0;) {
    await peer.readable();
    left -= Math.max(0, peer.read(buffer));
  }
}

describe('a client', () => {
  it('is pinned to the path that the SYN-ACK assigned, over IPv6', async () => {
    const { socket, pin } = await pinnedClient(6, lectOn(2));
    expect(pin.pathId).toBe(2);
    expect(readTrafficClass(socketFd(socket), 6)).toBe(lectOn(2));
    expect(pin.statistics().assignments).toEqual({ 2: 1 });
  });

  it('cannot learn its path over IPv4, and says so', async () => {
    const { socket, pin } = await pinnedClient(4, lectOn(2));
    expect(pin.pathId).toBe(0);
    expect(readTrafficClass(socketFd(socket), 4)).toBe(LECT);
    expect(pin.canAskForFlowlets).toBe(false);
    expect(pin.newFlowlet()).toBe(false);
  });

  it('takes a path that the program names', async () => {
    const { socket, pin } = await pinnedClient(4, 0);
    pin.usePath(5);
    expect(readTrafficClass(socketFd(socket), 4)).toBe(lectOn(5));
    expect(() => pin.usePath(7)).toThrow(/pathId: 7 is not allowed; it takes a whole number from 0 to 6/);
  });

  it('asks with its SYN alone, even when its program does not run until the handshake is over', async () => {
    const listener = listen(4, 0);
    noteThirdClass(listener.fd);
    const connecting = connect({ host: ADDRESS[4], port: listener.localPort });
    // The SYN leaves within these steps; then the program stands still for longer than the kernel holds its ACK back.
    for (let step = 0; step < 20; step++) await Promise.resolve();
    Atomics.wait(new Int32Array(new SharedArrayBuffer(4)), 0, 0, 300);
    const peer = listener.accept();
    expect(peer).toBeDefined();
    undo.push(() => peer!.close());
    expect(readThirdClass(peer!.fd)).toBe(LECT);
    const socket = await connecting;
    socket.destroy();
  });

  it('reads marks of the scheme `full` when told to', async () => {
    const { pin } = await pinnedClient(6, ((9 << 2) | 3) << 2, { scheme: 'full' });
    expect(pin.pathId).toBe(9);
  });

  it('counts what the kernel counts, until after the end', async () => {
    const { socket, pin, peer } = await pinnedClient(6, 0);
    socket.write(Buffer.alloc(5000));
    await readAll(peer, 5000);
    expect(pin.statistics()).toMatchObject({
      isMarking: true,
      sentBytes: 5000,
      retransmittedBytes: 0,
      lexPayloadBytes: 0,
    });
    socket.destroy();
    await once(socket, 'close');
    expect(pin.isActive).toBe(false);
    expect(pin.statistics().sentBytes).toBe(5000);
  });

  it('rejects as the connection is refused, naming address and port', async () => {
    const listener = listen(4, 0);
    const port = listener.localPort;
    listener.close();
    await expect(connect({ host: '127.0.0.1', port })).rejects.toMatchObject({
      code: 'ERR_SYSTEM',
      errnoName: 'ECONNREFUSED',
      message: expect.stringContaining(`connect to 127.0.0.1 port ${port}`) as string,
    });
  });

  it('finds the addresses of a name and takes the next when one refuses', async () => {
    const { port } = await startServer('127.0.0.1', false);
    const socket = await connect({ host: 'localhost', port });
    expect(socket.remoteAddress).toBe('127.0.0.1');
    socket.destroy();
  });

  it('serves an http.Agent', async () => {
    const server = createHttpServer((_request, response) => response.end('hello'));
    undo.push(() => server.close());
    await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve));
    const agent = Object.assign(new Agent({ keepAlive: true }), { createConnection });
    undo.push(() => agent.destroy());
    const { port } = server.address() as AddressInfo;
    const request = get({ host: '127.0.0.1', port, agent });
    const [response] = (await once(request, 'response')) as [NodeJS.ReadableStream];
    response.setEncoding('utf8');
    expect(await once(response, 'data')).toEqual(['hello']);
    expect(pinOf(request.socket!)?.isActive).toBe(true);
  });
});

describe('a new flowlet', () => {
  it('marks the first segment of the next write FNE', async () => {
    const { socket, pin, peer } = await pinnedClient(6, lectOn(2));
    expect(pin.newFlowlet()).toBe(true);
    socket.write('x');
    await readAll(peer, 1);
    expect(readReceivedClass(peer.fd)).toBe(FNE);
    expect(pin.statistics().flowlets).toBe(1);
  });

  it('leaves the segments after the first unmarked, even in one write', async () => {
    const { socket, pin, peer } = await pinnedClient(6, lectOn(2));
    pin.newFlowlet();
    socket.write(Buffer.alloc(200_000));
    await readAll(peer, 200_000);
    expect(readReceivedClass(peer.fd)).not.toBe(FNE);
    expect(pin.statistics().flowlets).toBe(1);
  });

  it('carries what was corked in the order it was written', async () => {
    const { socket, pin, peer } = await pinnedClient(6, 0);
    pin.newFlowlet();
    socket.cork();
    socket.write('abc');
    socket.write('6465', 'hex');
    socket.uncork();
    await peer.readable();
    const text = new Uint8Array(10);
    expect(Buffer.from(text.subarray(0, peer.read(text))).toString()).toBe('abcde');
  });

  it('moves to the path of the answer', async () => {
    const { socket, pin, peer } = await pinnedClient(6, lectOn(2));
    pin.newFlowlet();
    writeTrafficClass(peer.fd, lectOn(4), 6);
    socket.write('x');
    await vi.waitFor(() => expect(pin.pathId).toBe(4));
    expect(readTrafficClass(socketFd(socket), 6)).toBe(lectOn(4));
  });

  it('goes back to the path before when the answer assigns none', async () => {
    const { socket, pin, peer } = await pinnedClient(6, lectOn(2));
    pin.newFlowlet();
    writeTrafficClass(peer.fd, 0, 6);
    socket.write('x');
    expect(readTrafficClass(socketFd(socket), 6)).toBe(LECT);
    await vi.waitFor(() => expect(readTrafficClass(socketFd(socket), 6)).toBe(lectOn(2)));
    expect(pin.pathId).toBe(2);
    expect(pin.statistics().keptPaths).toBe(1);
  });

  it('begins by itself after an idle gap', async () => {
    const { socket, pin, peer } = await pinnedClient(6, lectOn(2), { flowletGapNs: 1e6 });
    socket.write('x');
    await readAll(peer, 1);
    // Each write restarts the gap, so this writes once an RTO of 200 ms at the least.
    await vi.waitFor(
      () => {
        socket.write('y');
        expect(pin.statistics().flowlets).toBeGreaterThan(0);
      },
      { interval: 400, timeout: 5000 },
    );
  });
});

describe('a server', () => {
  it.each([4, 6] as const)(
    'pins a connection over IPv%i to the path that its SYN was given',
    async (version) => {
      const server = await startServer(ADDRESS[version], true);
      const { pin } = await acceptedPin(server, version, lectOn(3));
      expect(pin.pathId).toBe(3);
      expect(readTrafficClass(socketFd(pin.socket), version)).toBe(lectOn(3));
    },
  );

  it('pins an IPv4 connection of a dual-stack listener', async () => {
    const server = await startServer('::', true);
    const { pin } = await acceptedPin(server, 4, lectOn(3));
    expect(pin.pathId).toBe(3);
    expect(readTrafficClass(socketFd(pin.socket), 4)).toBe(lectOn(3));
  });

  it('asks for a path with the first write when the SYN was given none, over IPv6', async () => {
    const server = await startServer('::1', true);
    const { client, pin } = await acceptedPin(server, 6, 0);
    expect(pin.pathId).toBe(0);
    client.write(new Uint8Array(10));
    await readAll(client, 10);
    expect(readReceivedClass(client.fd)).toBe(FNE);
  });

  it('answers SYNs with LECT, so that the first acknowledgement asks for nothing', async () => {
    const server = await startServer('::1', true);
    const { client } = await acceptedPin(server, 6, lectOn(1));
    expect(readReceivedClass(client.fd)).toBe(LECT);
  });

  it('sums up its connections, open and ended', async () => {
    const server = await startServer('127.0.0.1', true);
    for (const bytes of [100, 200]) {
      const socket = connectNode(server.port, '127.0.0.1');
      socket.end(Buffer.alloc(bytes));
      await once(socket.resume(), 'close');
    }
    await vi.waitFor(() => expect(server.serverPin.connections.size).toBe(0));
    expect(server.serverPin.statistics()).toMatchObject({
      sentBytes: 300,
      isMarking: false,
      assignments: {},
    });
  });

  it('pins no more after release', async () => {
    const { serverPin, port } = await startServer('127.0.0.1', true);
    serverPin.release();
    const socket = connectNode(port, '127.0.0.1');
    socket.end('x');
    await once(socket.resume(), 'close');
    expect(serverPin.statistics().sentBytes).toBe(0);
  });
});

describe('a pin', () => {
  it('is made once for a socket', async () => {
    const { socket, pin } = await pinnedClient(4, 0);
    expect(pinSocket(socket)).toBe(pin);
  });

  it('marks a connection that node made', async () => {
    const { port } = await startServer('::1', false);
    const socket = connectNode(port, '::1');
    undo.push(() => socket.destroy());
    await once(socket, 'connect');
    expect(pinSocket(socket).isActive).toBe(true);
    expect(readTrafficClass(socketFd(socket), 6)).toBe(LECT);
  });

  it('leaves the socket without DSCP when released', async () => {
    const { socket, pin } = await pinnedClient(6, lectOn(2));
    pin.release();
    pin.release();
    expect(pin.isActive).toBe(false);
    expect(readTrafficClass(socketFd(socket), 6)).toBe(0);
  });

  it('refuses a socket that is not connected, and options that do not exist', async () => {
    expect(() => pinSocket(new Socket())).toThrow(/no descriptor/);
    expect(() => pinServer(createServer(), { gap: 1 } as TcpPinOptions)).toThrow(
      /options\.gap: 1 is not allowed/,
    );
    expect(() => pinServer(createServer(), { flowletGapNs: 1 })).toThrow(/flowletGapNs: 1 is not allowed/);
    await expect(connect({ port: 0 })).rejects.toThrow(/port: 0 is not allowed/);
  });
});

describe('where the platform lacks it', () => {
  it('everything works unmarked, with one warning', async () => {
    const script = fileURLToPath(new URL('./tcp-without-native.ts', import.meta.url));
    const { stdout, stderr } = await promisify(execFile)(process.execPath, ['--import', 'tsx', script]);
    expect(JSON.parse(stdout)).toEqual({ answer: 'echo', isActive: false, pathId: 0, newFlowlet: false });
    expect(
      stderr.match(/PreflexWarning: preflex\/tcp: sockets work, but are neither marked nor pinned/g),
    ).toHaveLength(1);
  });
});
