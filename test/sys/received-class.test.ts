/** What the kernel tells of the traffic class of received TCP segments, over the loopback interface. */
import { afterEach, describe, expect, it } from 'vitest';
import {
  noteReceivedClass,
  readReceivedClass,
  saveSyns,
  takeSynClass,
} from '../../lib/sys/received-class.ts';
import { writeTrafficClass } from '../../lib/sys/socket-options.ts';
import { TcpSocket } from '../../lib/sys/socket.ts';

const open: TcpSocket[] = [];
afterEach(() => {
  for (const socket of open.splice(0)) socket.close();
});

async function connection(version: 4 | 6, savesSyn: boolean) {
  const address = version === 4 ? '127.0.0.1' : '::1';
  const listener = TcpSocket.open(version);
  const client = TcpSocket.open(version);
  open.push(listener, client);
  if (savesSyn) saveSyns(listener.fd);
  writeTrafficClass(listener.fd, 0x4c, version);
  writeTrafficClass(client.fd, 0x1c, version);
  if (version === 6) noteReceivedClass(client.fd);
  listener.bind(address);
  listener.listen();
  await Promise.all([client.connect(address, listener.localPort), listener.readable()]);
  const server = listener.accept()!;
  open.push(server);
  return { client, server };
}

describe.each([4, 6] as const)('the SYN of an accepted connection over IPv%i', (version) => {
  it('tells its traffic class, once', async () => {
    const { server } = await connection(version, true);
    expect(takeSynClass(server.fd)).toBe(0x1c);
    expect(takeSynClass(server.fd)).toBeUndefined();
  });

  it('is unknown where it was not saved', async () => {
    const { server } = await connection(version, false);
    expect(takeSynClass(server.fd)).toBeUndefined();
  });
});

describe('the traffic class of what an IPv6 socket receives', () => {
  it('is that of the SYN-ACK, and then of the segment that came last', async () => {
    const { client, server } = await connection(6, false);
    expect(readReceivedClass(client.fd)).toBe(0x4c);
    writeTrafficClass(server.fd, 0x8c, 6);
    server.write(new Uint8Array(10));
    await client.readable();
    expect(readReceivedClass(client.fd)).toBe(0x8c);
  });

  it('is 0 where the kernel was not asked to note it', async () => {
    const { server } = await connection(6, false);
    expect(readReceivedClass(server.fd)).toBe(0);
  });
});
