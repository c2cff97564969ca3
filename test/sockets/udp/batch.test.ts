/** sendBatch, and the event `messages`. */
import { once } from 'node:events';
import { afterEach, describe, expect, it } from 'vitest';
import type {
  BatchOptions,
  OutgoingDatagram,
  ReceivedDatagram,
  UdpSocket,
  UdpSocketOptions,
} from '../../../lib/sockets/udp.ts';
import { createSocket } from '../../../lib/sockets/udp.ts';
import { bound, event, settle } from './trace.ts';
import { WireEnd } from './wire-end.ts';

const ADDRESS = '127.0.0.1';
const opened: { close(): unknown }[] = [];
afterEach(() => {
  for (const one of opened.splice(0)) one.close();
});

async function openEnd(): Promise<WireEnd> {
  const end = await WireEnd.open();
  opened.push(end);
  return end;
}

async function openSocket(options: Partial<UdpSocketOptions> = {}): Promise<UdpSocket> {
  const socket = await bound(createSocket({ type: 'udp4', recvBufferSize: 1 << 20, ...options }));
  opened.push(socket);
  return socket;
}

/** The callback's arguments. */
function sendBatch(
  socket: UdpSocket,
  messages: readonly (Uint8Array | OutgoingDatagram)[],
  options: BatchOptions = {},
): Promise<{ error: Error | null; sent: number; atOnce: number }> {
  return new Promise((resolve) => {
    const atOnce = socket.sendBatch(messages, options, (error, sent) => {
      resolve({ error, sent, atOnce });
    });
  });
}

const texts = (...data: string[]): Buffer[] => data.map((text) => Buffer.from(text));

describe('sendBatch', () => {
  it('sends to one peer in order', async () => {
    const end = await openEnd();
    const socket = await openSocket();
    const batch = texts('one', 'two', 'six', 'ten');
    expect(await sendBatch(socket, batch, { port: end.port })).toEqual({ error: null, sent: 4, atOnce: 4 });
    expect(end.read().map(({ data, mark }) => [data, mark])).toEqual([
      ['one', 'FNE'],
      ['two', 'LECT'],
      ['six', 'LECT'],
      ['ten', 'LECT'],
    ]);
  });

  it('sends before it returns', async () => {
    const end = await openEnd();
    const socket = await openSocket();
    expect(socket.sendBatch(texts('a', 'b'), { port: end.port, address: ADDRESS })).toBe(2);
    expect(end.read().map(({ data }) => data)).toEqual(['a', 'b']);
  });

  it('keeps boundaries, sizes and order whatever the sizes are', async () => {
    const end = await openEnd();
    const socket = await openSocket();
    const sizes = [
      100, 100, 100, 50, 100, 0, 0, 3, 3, 2, 1400, 1400, 20_000, 20_000, 20_000, 20_000, 7, 65_507, 1,
    ];
    const batch = sizes.map((size, i) => Buffer.alloc(size, 97 + i));
    expect((await sendBatch(socket, batch, { port: end.port })).error).toBeNull();
    const arrived = end.read();
    expect(arrived.map(({ bytes }) => bytes)).toEqual(sizes);
    expect(arrived.map(({ data }) => data[0])).toEqual(batch.map((data) => data.toString()[0]));
  });

  it('joins equal datagrams: a thousand in few system calls', async () => {
    const end = await openEnd();
    const socket = await openSocket();
    const batch = Array.from({ length: 200 }, (_, i) => Buffer.from(String(i).padStart(64, '0')));
    await sendBatch(socket, batch, { port: end.port });
    expect(end.read().map(({ data }) => Number(data))).toEqual(batch.map((_, i) => i));
    expect(socket.statistics().systemCalls.send).toBeLessThanOrEqual(2);
  });

  it('takes a batch larger than everything that it is staged in', async () => {
    const socket = await openSocket();
    const receiver = await openSocket();
    const batch = Array.from({ length: 3000 }, () => Buffer.alloc(1200));
    const { sent, error } = await sendBatch(socket, batch, { port: receiver.address().port });
    expect({ sent, error }).toEqual({ sent: 3000, error: null });
    expect(socket.statistics()).toMatchObject({ sentPackets: 3000, sentBytes: 3_600_000, flowlets: 1 });
  });

  it('sends to many peers', async () => {
    const ends = await Promise.all([openEnd(), openEnd(), openEnd()]);
    const socket = await openSocket();
    const batch = Array.from({ length: 12 }, (_, i) => ({
      data: Buffer.from(String(i)),
      port: ends[i % 3]!.port,
    }));
    expect(await sendBatch(socket, batch)).toEqual({ error: null, sent: 12, atOnce: 12 });
    expect(ends.map((end) => end.read().map(({ data }) => data))).toEqual([
      ['0', '3', '6', '9'],
      ['1', '4', '7', '10'],
      ['2', '5', '8', '11'],
    ]);
  });

  it('marks each datagram by its own options, else by those of the batch', async () => {
    const end = await openEnd();
    const socket = await openSocket();
    const { port } = end;
    await sendBatch(socket, texts('first'), { port });
    const batch = [
      Buffer.from('a'),
      { data: Buffer.from('b'), retransmission: false },
      { data: Buffer.from('c'), retransmission: true, ecn: 2 },
      { data: Buffer.from('d') },
    ];
    await sendBatch(socket, batch, { port, retransmission: true, ecn: 1 });
    await sendBatch(socket, batch.slice(1), { port });
    expect(end.read().map(({ data, mark, ecn }) => [data, mark, ecn])).toEqual([
      ['first', 'FNE', 0],
      ['a', 'LEx', 1],
      ['b', 'LECT', 1],
      ['c', 'LEx', 2],
      ['d', 'LEx', 1],
      ['b', 'LECT', 0],
      ['c', 'LEx', 2],
      ['d', 'LECT', 0],
    ]);
  });

  it('a new flowlet begins with the first of the batch', async () => {
    const end = await openEnd();
    const socket = await openSocket();
    const { port } = end;
    await sendBatch(socket, texts('a'), { port });
    socket.feedback({ address: ADDRESS, port });
    await sendBatch(socket, texts('b', 'c'), { port, newFlowlet: true });
    await sendBatch(socket, [{ data: Buffer.from('d') }, { data: Buffer.from('e'), newFlowlet: true }], {
      port,
    });
    expect(end.marks()).toEqual(['FNE', 'FNE', 'LECT', 'LECT', 'FNE']);
  });

  it('works on a connected socket', async () => {
    const end = await openEnd();
    const socket = await openSocket();
    socket.connect(end.port, ADDRESS);
    await once(socket, 'connect');
    expect(await sendBatch(socket, texts('a', 'b'))).toEqual({ error: null, sent: 2, atOnce: 2 });
    expect(end.read().map(({ data }) => data)).toEqual(['a', 'b']);
    expect(() => socket.sendBatch(texts('a'), { port: 9 })).toThrow(/port.*connected/);
  });

  it('tells the first error and how many went; one bad datagram does not hold up others', async () => {
    const end = await openEnd();
    const socket = await openSocket();
    const batch = [Buffer.from('a'), Buffer.alloc(65_508), Buffer.alloc(70_000), Buffer.from('b')];
    const { error, sent } = await sendBatch(socket, batch, { port: end.port });
    expect(error).toMatchObject({ code: 'EMSGSIZE', syscall: 'send', errno: -90 });
    expect(sent).toBe(2);
    expect(end.read().map(({ data }) => data)).toEqual(['a', 'b']);
    expect(socket.statistics()).toMatchObject({ sentPackets: 2, sendErrors: 2 });
  });

  it('binds the socket first', async () => {
    const end = await openEnd();
    const socket = createSocket('udp4');
    opened.push(socket);
    expect(await sendBatch(socket, texts('a', 'b'), { port: end.port })).toMatchObject({
      sent: 2,
      atOnce: 0,
    });
    expect(end.read().map(({ data }) => data)).toEqual(['a', 'b']);
  });

  it('goes behind what was sent before in the same turn', async () => {
    const end = await openEnd();
    const socket = await openSocket();
    socket.send('a', end.port, ADDRESS);
    socket.sendBatch(texts('b', 'c'), { port: end.port });
    socket.send('d', end.port, ADDRESS);
    await settle();
    expect(end.read().map(({ data }) => data)).toEqual(['a', 'b', 'c', 'd']);
  });

  it('an empty batch calls back', async () => {
    expect(await sendBatch(await openSocket(), [])).toEqual({ error: null, sent: 0, atOnce: 0 });
  });

  it.each([
    ['no port', texts('a'), {}, /port/],
    ['port 0', texts('a'), { port: 0 }, /port/],
    ['a name', texts('a'), { port: 9, address: 'localhost' }, /address/],
    ['the other family', texts('a'), { port: 9, address: '::1' }, /address/],
    ['text', ['a'], { port: 9 }, /messages/],
    ['an object without data', [{ port: 9 }], { port: 9 }, /messages.data/],
    ['an unknown option', texts('a'), { port: 9, prot: 9 }, /options.prot/],
    ['an unknown option of a datagram', [{ data: Buffer.alloc(1), prot: 9 }], { port: 9 }, /messages.prot/],
    ['a bad option of a datagram', [{ data: Buffer.alloc(1), ecn: 9 }], { port: 9 }, /ecn/],
  ])('refuses %s before it sends anything', async (_name, messages, options, message) => {
    const end = await openEnd();
    const socket = await openSocket();
    const all = [{ data: Buffer.from('fine'), port: end.port }, ...messages] as Buffer[];
    expect(() => socket.sendBatch(all, options as BatchOptions)).toThrow(message);
    await settle();
    expect(end.read()).toEqual([]);
  });

  it('throws after close as send does', async () => {
    const socket = await bound(createSocket('udp4'));
    socket.close();
    expect(() => socket.sendBatch(texts('a'), { port: 9 })).toThrow(
      expect.objectContaining({ code: 'ERR_SOCKET_DGRAM_NOT_RUNNING' }),
    );
    expect(() => socket.sendBatch([], { port: 9 })).toThrow(
      expect.objectContaining({ code: 'ERR_SOCKET_DGRAM_NOT_RUNNING' }),
    );
  });
});

describe('the event messages', () => {
  it('hands over what arrived together, with one frozen object for each peer', async () => {
    const sender = await openSocket();
    const receiver = await openSocket();
    const port = receiver.address().port;
    sender.sendBatch(texts('a', 'b', 'c'), { port });
    const [batch] = (await event(receiver, 'messages')) as [ReceivedDatagram[]];
    expect(batch.map(({ data }) => data.toString())).toEqual(['a', 'b', 'c']);
    expect(batch[0]!.remote).toEqual({ address: ADDRESS, family: 'IPv4', port: sender.address().port });
    expect(batch[1]!.remote).toBe(batch[0]!.remote);
    expect(Object.isFrozen(batch[0]!.remote)).toBe(true);
  });

  it('comes beside message when both have listeners', async () => {
    const sender = await openSocket();
    const receiver = await openSocket();
    const log: string[] = [];
    receiver.on('messages', (batch: ReceivedDatagram[]) => log.push(`batch of ${batch.length}`));
    receiver.on('message', (data) => log.push(data.toString()));
    sender.sendBatch(texts('a', 'b'), { port: receiver.address().port });
    await settle();
    expect(log).toEqual(['batch of 2', 'a', 'b']);
  });

  it('cuts joined datagrams apart, the last of them shorter', async () => {
    const sender = await openSocket();
    const receiver = await openSocket();
    const sizes = [...new Array<number>(40).fill(1200), 1199, 5];
    const received: number[] = [];
    receiver.on('messages', (batch: ReceivedDatagram[]) => {
      received.push(...batch.map(({ data }) => data.length));
    });
    sender.sendBatch(
      sizes.map((size) => Buffer.alloc(size)),
      { port: receiver.address().port },
    );
    await settle();
    expect(received).toEqual(sizes);
    // Joined on the way, so that fewer calls than datagrams were needed.
    expect(receiver.statistics().systemCalls.receive).toBeLessThan(5);
  });

  it('payloads are the listener’s to keep and to change', async () => {
    const sender = await openSocket();
    const receiver = await openSocket();
    const kept: Buffer[] = [];
    receiver.on('messages', (batch: ReceivedDatagram[]) => kept.push(...batch.map(({ data }) => data)));
    const port = receiver.address().port;
    for (let round = 0; round < 50; round++) {
      sender.sendBatch(
        Array.from({ length: 20 }, (_, i) => Buffer.alloc(100 + i * 37, round)),
        { port },
      );
      await settle();
    }
    for (const data of kept) data.writeUInt8(data[0]! ^ 0xff, data.length - 1);
    expect(kept).toHaveLength(1000);
    for (const [i, data] of kept.entries()) {
      const round = Math.floor(i / 20);
      expect(data.subarray(0, -1).every((byte) => byte === round)).toBe(true);
      expect(data.at(-1)).toBe(round ^ 0xff);
    }
  });

  it('can be awaited in a loop without missing a datagram', async () => {
    const sender = await openSocket();
    const receiver = await openSocket();
    const port = receiver.address().port;
    let received = 0;
    const all = (async () => {
      while (received < 500) {
        const [batch] = (await once(receiver, 'messages')) as [ReceivedDatagram[]];
        received += batch.length;
      }
    })();
    for (let i = 0; i < 50; i++) {
      sender.sendBatch(texts('0', '1', '2', '3', '4', '5', '6', '7', '8', '9'), { port });
      if (i % 7 === 0) await settle();
    }
    await all;
    expect(received).toBe(500);
  });
});
