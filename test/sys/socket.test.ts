/** Hand-made TCP sockets and socket options, over the loopback interface. */
import { createServer, type AddressInfo, type Server, type Socket } from 'node:net';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import {
  readCongestionControl,
  readSocketOption,
  readTcpInfo,
  readTrafficClass,
  socketFd,
  SO_KEEPALIVE,
  SOL_SOCKET,
  writeCongestionControl,
  writeInitialSequence,
  writeSocketOption,
  writeTrafficClass,
} from '../../lib/sys/socket-options.ts';
import { TcpSocket } from '../../lib/sys/socket.ts';
import { parseTcpInfo, TCP_CLOSE, TCP_ESTABLISHED, TCP_INFO_BYTES } from '../../lib/sys/tcp-info.ts';
import { EAGAIN, SystemError } from '../../lib/sys/errno.ts';

const isRoot = process.getuid?.() === 0;
let server: Server;
let port: number;
beforeAll(async () => {
  // Answers "done" with the number of bytes that came.
  server = createServer({ allowHalfOpen: true }, (socket) => {
    let bytes = 0;
    socket.on('data', (data) => (bytes += data.length));
    socket.on('end', () => socket.end(`done ${bytes}`));
  });
  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve));
  port = (server.address() as AddressInfo).port;
});
afterAll(() => server.close());

function finish(socket: Socket): Promise<string> {
  return new Promise((resolve, reject) => {
    let text = '';
    socket.on('data', (data) => (text += data.toString()));
    socket.on('error', reject).on('close', () => resolve(text));
    socket.end();
  });
}

describe('TcpSocket', () => {
  it('becomes a node socket once connected', async () => {
    const made = TcpSocket.open();
    await made.connect('127.0.0.1', port);
    expect(made.localPort).toBeGreaterThan(0);
    const socket = made.intoNodeSocket();
    expect(made.isOpen).toBe(false);
    socket.write('hello');
    expect(await finish(socket)).toBe('done 5');
  });

  it('transfers data by itself', async () => {
    const made = TcpSocket.open();
    await made.connect('127.0.0.1', port);
    const answer = new Uint8Array(20);
    expect(made.read(answer)).toBe(-EAGAIN);
    expect(made.write(new Uint8Array(300))).toBe(300);
    made.shutdownWrite();
    await made.readable();
    expect(Buffer.from(answer.subarray(0, made.read(answer))).toString()).toBe('done 300');
    made.close();
  });

  it('listens and accepts', async () => {
    const listener = TcpSocket.open();
    listener.bind('127.0.0.1');
    listener.listen();
    expect(listener.accept()).toBeUndefined();
    const client = TcpSocket.open();
    await Promise.all([client.connect('127.0.0.1', listener.localPort), listener.readable()]);
    const accepted = listener.accept()!;
    expect(readTcpInfo(accepted.fd).state).toBe(TCP_ESTABLISHED);
    for (const socket of [listener, client, accepted]) socket.close();
  });

  it('says who refused the connection and why', async () => {
    const listener = TcpSocket.open();
    listener.bind('127.0.0.1');
    const free = listener.localPort;
    const made = TcpSocket.open();
    await expect(made.connect('127.0.0.1', free)).rejects.toThrow(
      new RegExp(`connect to 127\\.0\\.0\\.1 port ${free} failed.*ECONNREFUSED`),
    );
    made.close();
    listener.close();
  });

  it('is not usable after close, and wakes who waits', async () => {
    const made = TcpSocket.open();
    await made.connect('127.0.0.1', port);
    const waiting = made.readable();
    made.close();
    made.close();
    await waiting;
    expect(() => made.fd).toThrow(/closed/);
  });

  it('refuses an address of the other family', async () => {
    const made = TcpSocket.open(4);
    await expect(made.connect('::1', 80)).rejects.toThrow(
      /address: "::1" is not allowed; it takes an IPv4 address/,
    );
    made.close();
  });
});

describe('socket options', () => {
  it('reach a node socket through its descriptor', async () => {
    const made = TcpSocket.open();
    await made.connect('127.0.0.1', port);
    const socket = made.intoNodeSocket();
    const fd = socketFd(socket);
    writeSocketOption(fd, SOL_SOCKET, SO_KEEPALIVE, 1);
    expect(readSocketOption(fd, SOL_SOCKET, SO_KEEPALIVE)).toBe(1);
    writeTrafficClass(fd, 3 << 2);
    expect(readTrafficClass(fd)).toBe(12);
    writeCongestionControl(fd, 'reno');
    expect(readCongestionControl(fd)).toBe('reno');
    await finish(socket);
    expect(() => socketFd(socket)).toThrow(/no descriptor/);
  });

  it('name the option, the socket and the remedy when refused', () => {
    const made = TcpSocket.open();
    expect(() => writeCongestionControl(made.fd, 'nonesuch')).toThrow(
      /setsockopt TCP_CONGESTION nonesuch failed for socket \d+: ENOENT; see sysctl/,
    );
    made.close();
    expect(() => readSocketOption(-1, SOL_SOCKET, SO_KEEPALIVE)).toThrow(SystemError);
  });

  it("read the kernel's account of a connection", async () => {
    const made = TcpSocket.open();
    expect(readTcpInfo(made.fd).state).toBe(TCP_CLOSE);
    await made.connect('127.0.0.1', port);
    made.write(new Uint8Array(1000));
    made.shutdownWrite();
    // The answer comes after all data arrived, so it was acknowledged before or with it.
    await made.readable();
    expect(readTcpInfo(made.fd)).toMatchObject({
      bytesSent: 1000,
      bytesRetrans: 0,
      notsentBytes: 0,
      totalRetrans: 0,
    });
    expect(readTcpInfo(made.fd).rttUs).toBeGreaterThan(0);
    made.close();
  });

  it.skipIf(!isRoot)(
    'choose the initial sequence number, so that numbers wrap within a transfer',
    async () => {
      const made = TcpSocket.open();
      writeInitialSequence(made.fd, 0xfffffff0);
      await made.connect('127.0.0.1', port);
      const socket = made.intoNodeSocket();
      socket.write(Buffer.alloc(100));
      expect(await finish(socket)).toBe('done 100');
    },
  );
});

describe('parseTcpInfo', () => {
  it('finds every field at the offset of include/uapi/linux/tcp.h', () => {
    const bytes = new Uint8Array(TCP_INFO_BYTES);
    const view = new DataView(bytes.buffer);
    for (let at = 0; at < 8; at++) view.setUint8(at, 100 + at);
    for (let at = 8; at < TCP_INFO_BYTES; at += 4) view.setUint32(at, at, true);
    // Eight-byte fields: keep the upper half zero.
    for (const at of [120, 128, 200, 208]) view.setUint32(at + 4, 0, true);
    expect(parseTcpInfo(bytes)).toEqual({
      state: 100,
      retransmits: 102,
      probes: 103,
      backoff: 104,
      rtoUs: 8,
      sndMss: 16,
      unacked: 24,
      sacked: 28,
      lost: 32,
      retrans: 36,
      lastDataSentMs: 44,
      rttUs: 68,
      rttvarUs: 72,
      sndCwnd: 80,
      totalRetrans: 100,
      bytesAcked: 120,
      bytesReceived: 128,
      segsOut: 136,
      segsIn: 140,
      notsentBytes: 144,
      bytesSent: 200,
      bytesRetrans: 208,
    });
  });
});
