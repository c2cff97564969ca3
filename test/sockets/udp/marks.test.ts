/** What stands in the IP header of the datagrams that a socket sends, and what it learns from those that arrive. */
import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import type { UdpSocket, UdpSocketOptions } from '../../../lib/sockets/udp.ts';
import { createSocket } from '../../../lib/sockets/udp.ts';
import { assignmentDscp } from '../../support/one-host.ts';
import { bound, event, settle } from './trace.ts';
import { WireEnd } from './wire-end.ts';

type Scheme = 'pool2' | 'full';
const KINDS = (['127.0.0.1', '::1'] as const).flatMap((address) =>
  (['pool2', 'full'] as const).map((scheme) => ({ address, scheme })),
);
const RETRANSMISSION = { retransmission: true };

const opened: { close(): unknown }[] = [];
afterEach(() => {
  for (const one of opened.splice(0)) one.close();
});

async function openEnd(address: string, scheme: Scheme = 'pool2'): Promise<WireEnd> {
  const end = await WireEnd.open(address, scheme);
  opened.push(end);
  return end;
}

async function openSocket(address: string, options: Partial<UdpSocketOptions> = {}): Promise<UdpSocket> {
  const type = address.includes(':') ? 'udp6' : 'udp4';
  const socket = await bound(createSocket({ type, ...options }), address);
  opened.push(socket);
  return socket;
}

describe.each(KINDS)('marks over $address, scheme $scheme', ({ address, scheme }) => {
  let end: WireEnd;
  let socket: UdpSocket;
  beforeEach(async () => {
    end = await openEnd(address, scheme);
    socket = await openSocket(address, { lex: { scheme } });
  });

  const send = (data: string, options = {}): Promise<unknown> =>
    new Promise((resolve) => {
      socket.send(data, end.port, address, resolve, options);
    });
  const assign = async (pathId: number): Promise<void> => {
    const learnt = event(socket, 'message');
    end.send('assignment', socket.address().port, assignmentDscp(scheme, pathId));
    await learnt;
  };

  it('the first datagram is FNE, the next LECT, a retransmission LEx', async () => {
    await send('a');
    await send('b');
    await send('c', RETRANSMISSION);
    await send('d');
    expect(end.marks()).toEqual(['FNE', 'LECT', 'LEx', 'LECT']);
  });

  it('those of one turn are marked one by one', async () => {
    await Promise.all([
      send('a'),
      send('b'),
      send('c', RETRANSMISSION),
      send('d', RETRANSMISSION),
      send('e'),
    ]);
    expect(end.marks()).toEqual(['FNE', 'LECT', 'LEx', 'LEx', 'LECT']);
  });

  it('a path that is assigned is carried from then on', async () => {
    await send('a');
    await assign(2);
    await send('b');
    await send('c', RETRANSMISSION);
    await assign(5);
    await send('d');
    expect(end.marks()).toEqual(['FNE', 'LECT/2', 'LEx/2', 'LECT/5']);
    expect(socket.statistics()).toMatchObject({ assignments: { 2: 1, 5: 1 } });
    expect(socket.peerStatistics({ address, port: end.port })).toMatchObject({ pathId: 5, assignments: 2 });
  });

  it('a new flowlet begins with FNE, and keeps its path when no other is assigned', async () => {
    await send('a');
    await assign(3);
    expect(socket.newFlowlet({ address, port: end.port })).toBe(1);
    await send('b');
    end.send('answer', socket.address().port, 0);
    await event(socket, 'message');
    await send('c');
    await send('d', { newFlowlet: true });
    expect(end.marks()).toEqual(['FNE', 'FNE', 'LECT/3', 'FNE']);
  });

  it('an assignment from a stranger is refused', async () => {
    await assign(2);
    await send('a');
    await send('b');
    expect(end.marks()).toEqual(['FNE', 'LECT']);
    expect(socket.statistics()).toMatchObject({ assignments: {}, in: { rejectedAssignment: 1 } });
  });

  it('each peer has its own path', async () => {
    const other = await openEnd(address, scheme);
    await send('a');
    await assign(1);
    socket.send('b', other.port, address);
    await settle();
    const learnt = event(socket, 'message');
    other.send('assignment', socket.address().port, assignmentDscp(scheme, 4));
    await learnt;
    await send('c');
    socket.send('d', other.port, address);
    await settle();
    expect([end.marks(), other.marks()]).toEqual([
      ['FNE', 'LECT/1'],
      ['FNE', 'LECT/4'],
    ]);
  });

  it('a connected socket marks and learns alike', async () => {
    socket.connect(end.port, address);
    await event(socket, 'connect');
    socket.send('a');
    await settle();
    await assign(6);
    socket.send('b');
    socket.send('c', RETRANSMISSION);
    socket.send(Buffer.from('0123'), 1, 2, RETRANSMISSION);
    await settle();
    expect(socket.newFlowlet()).toBe(1);
    socket.send('d', () => undefined, {});
    await settle();
    expect(end.marks()).toEqual(['FNE', 'LECT/6', 'LEx/6', 'LEx/6', 'FNE']);
    expect(socket.statistics().pathId).toBe(0);
    expect(socket.peerStatistics()).toMatchObject({ sentPackets: 5, isHeard: true });
  });

  it('a long row of one mark stays exact when others come between', async () => {
    const expected = ['FNE'];
    await send('0');
    for (let i = 1; i < 60; i++) {
      const isRepeat = i % 13 === 0;
      await send(String(i), isRepeat ? RETRANSMISSION : {});
      expected.push(isRepeat ? 'LEx' : 'LECT');
    }
    await assign(1);
    for (let i = 0; i < 20; i++) await send(String(i));
    expect(end.marks()).toEqual([...expected, ...new Array<string>(20).fill('LECT/1')]);
  });

  it('every form of send takes options', async () => {
    await send('first');
    const buffer = Buffer.from('0123456789');
    socket.send(buffer, end.port, address, RETRANSMISSION);
    socket.send(buffer, 0, 2, end.port, address, RETRANSMISSION);
    socket.send(buffer, 0, 3, end.port, RETRANSMISSION);
    socket.send(['a', buffer], end.port, RETRANSMISSION);
    socket.send('text', end.port, address, undefined, RETRANSMISSION);
    await new Promise((resolve) => {
      socket.send('callback', end.port, resolve, RETRANSMISSION);
    });
    expect(end.read().map(({ mark, data }) => [mark, data])).toEqual([
      ['FNE', 'first'],
      ['LEx', '0123456789'],
      ['LEx', '01'],
      ['LEx', '012'],
      ['LEx', 'a0123456789'],
      ['LEx', 'text'],
      ['LEx', 'callback'],
    ]);
  });

  it('counts packets, payload and path IDs', async () => {
    await send('12345');
    await assign(2);
    await send('1234567890', RETRANSMISSION);
    await send('123');
    const header = address === '::1' ? 48 : 28;
    expect(socket.statistics()).toMatchObject({
      isMarking: true,
      pathId: 0,
      peers: 1,
      sentPackets: 3,
      sentBytes: 18,
      retransmittedPackets: 1,
      retransmittedBytes: 10,
      lexPayloadBytes: 10,
      lexPacketBytes: 10 + header,
      flowlets: 1,
      codepoints: {
        notLect: { packets: 0, bytes: 0 },
        lect: { packets: 1, bytes: 3 + header },
        lex: { packets: 1, bytes: 10 + header },
        fne: { packets: 1, bytes: 5 + header },
      },
      pathPackets: { 0: 1, 2: 2 },
      assignments: { 2: 1 },
      sendErrors: 0,
      waiting: { count: 0, bytes: 0 },
    });
  });
});

describe('marks', () => {
  it('IPv4 peers of an IPv6 socket are marked and assign paths, too', async () => {
    const end = await openEnd('127.0.0.1');
    const socket = await openSocket('::');
    const send = (data: string): Promise<unknown> =>
      new Promise((resolve) => {
        socket.send(data, end.port, '::ffff:127.0.0.1', resolve);
      });
    await send('a');
    end.send('assignment', socket.address().port, assignmentDscp('pool2', 3));
    await event(socket, 'message');
    for (let i = 0; i < 12; i++) await send('b');
    expect(end.marks()).toEqual(['FNE', ...new Array<string>(12).fill('LECT/3')]);
    expect(socket.statistics().codepoints.fne.bytes).toBe(29);
  });

  it('the ECN bits are 0 unless the program sets them', async () => {
    const end = await openEnd('127.0.0.1');
    const plain = await openSocket('127.0.0.1');
    const ect = await openSocket('127.0.0.1', { lex: { ecn: 1 } });
    plain.send('a', end.port);
    plain.send('b', end.port, '127.0.0.1', { ecn: 2 });
    await settle();
    ect.send('c', end.port);
    ect.send('d', end.port, '127.0.0.1', { ecn: 3 });
    await settle();
    const arrived = end.read();
    expect(arrived.map(({ mark, ecn }) => [mark, ecn])).toEqual([
      ['FNE', 0],
      ['LECT', 2],
      ['FNE', 1],
      ['LECT', 3],
    ]);
  });

  it('the ECN bits of what arrives come with the batch', async () => {
    const end = await openEnd('127.0.0.1');
    const socket = await openSocket('127.0.0.1');
    const batch = event(socket, 'messages');
    end.send('a', socket.address().port, 3, 1);
    end.send('b', socket.address().port, 0, 3);
    const [datagrams] = (await batch) as [{ data: Buffer; ecn: number }[]];
    expect(datagrams.map(({ data, ecn }) => [data.toString(), ecn])).toEqual([
      ['a', 1],
      ['b', 3],
    ]);
  });

  it('multicast stays unmarked, also from a socket that was given a steady mark', async () => {
    const end = await openEnd('127.0.0.1');
    const group = await openSocket('0.0.0.0');
    group.addMembership('239.1.2.4', '127.0.0.1');
    const socket = await openSocket('127.0.0.1');
    socket.setMulticastInterface('127.0.0.1');
    const once = (): Promise<unknown> =>
      new Promise((resolve) => {
        socket.send('x', end.port, '127.0.0.1', resolve);
      });
    for (let i = 0; i < 20; i++) await once();
    const got = event(group, 'messages');
    await new Promise((resolve) => {
      socket.send('to all', group.address().port, '239.1.2.4', resolve);
    });
    await got;
    expect(socket.statistics()).toMatchObject({ out: { multicast: 1 }, peers: 1 });
    expect(socket.statistics().codepoints.notLect).toEqual({ packets: 1, bytes: 34 });
    // A stranger's datagram that carried a mark would be counted as such.
    expect(group.statistics().in).toEqual({ unknownFlow: 1 });
  });

  it('a datagram that is too long counts nowhere', async () => {
    const end = await openEnd('127.0.0.1');
    const socket = await openSocket('127.0.0.1');
    const send = (bytes: number): Promise<Error | null> =>
      new Promise((resolve) => {
        socket.send(Buffer.alloc(bytes), end.port, '127.0.0.1', resolve, RETRANSMISSION);
      });
    expect(await send(65_508)).toMatchObject({ code: 'EMSGSIZE' });
    expect(await send(10)).toBeNull();
    expect(await send(65_508)).toMatchObject({ code: 'EMSGSIZE' });
    expect(await send(20)).toBeNull();
    expect(end.marks()).toEqual(['FNE', 'LEx']);
    expect(socket.statistics()).toMatchObject({
      sentPackets: 2,
      sentBytes: 30,
      retransmittedBytes: 30,
      lexPayloadBytes: 20,
      sendErrors: 2,
    });
  });

  it('options wait for the socket to be bound, and for the name to be looked up', async () => {
    const end = await openEnd('127.0.0.1');
    const socket = createSocket('udp4');
    opened.push(socket);
    socket.send('a', end.port, '127.0.0.1', { ecn: 1 });
    await event(socket, 'listening');
    await new Promise((resolve) => {
      socket.send('b', end.port, 'localhost', resolve, RETRANSMISSION);
    });
    expect(end.read().map(({ mark, ecn, data }) => [mark, ecn, data])).toEqual([
      ['FNE', 1, 'a'],
      ['LEx', 0, 'b'],
    ]);
  });

  it('the largest datagrams are cut into fragments that carry the mark', async () => {
    const end = await openEnd('127.0.0.1');
    const socket = await openSocket('127.0.0.1');
    for (const options of [{}, RETRANSMISSION]) {
      await new Promise((resolve) => {
        socket.send(Buffer.alloc(65_507), end.port, '127.0.0.1', resolve, options);
      });
    }
    expect(end.read().map(({ mark, bytes }) => [mark, bytes])).toEqual([
      ['FNE', 65_507],
      ['LEx', 65_507],
    ]);
  });

  it.each([
    [{ retransmission: 1 }, /retransmission/],
    [{ newFlowlet: 'yes' }, /newFlowlet/],
    [{ ecn: 4 }, /ecn/],
    [{ retransmision: true }, /retransmision/],
  ])('options that are none: %j', async (options, message) => {
    const socket = await openSocket('127.0.0.1');
    expect(() => {
      socket.send('x', 9, '127.0.0.1', options as never);
    }).toThrow(message);
  });

  it.each([
    [{ scheme: 'pool3' }, /pool3/],
    [{ ecn: -1 }, /lex.ecn/],
    [{ datapath: 'fast' }, /lex.datapath/],
    [{ flowCapacity: 0 }, /flowCapacity/],
    [{ gap: 1 }, /lex.gap/],
    [7, /lex/],
  ])('options of the socket that are none: %j', (lex, message) => {
    expect(() => createSocket({ type: 'udp4', lex: lex as never })).toThrow(message);
  });

  it('newFlowlet, feedback and peerStatistics want an address', async () => {
    const socket = await openSocket('127.0.0.1');
    expect(() => socket.feedback()).toThrow(/remote/);
    expect(() => socket.newFlowlet({ address: 'localhost', port: 9 })).toThrow(/address/);
    expect(() => socket.newFlowlet({ address: '::1', port: 9 })).toThrow(/address/);
    expect(() => socket.feedback({ address: '127.0.0.1', port: 0 })).toThrow(/port/);
    expect(() => socket.feedback({ address: '127.0.0.1', port: 9 }, 0)).toThrow(/rttMs/);
    expect(socket.feedback({ address: '127.0.0.1', port: 9 })).toBe(false);
    expect(socket.newFlowlet()).toBe(0);
    expect(socket.peerStatistics({ address: '127.0.0.1', port: 9 })).toBeUndefined();
    expect(socket.peerStatistics()).toBeUndefined();
  });
});
