/** Scenarios of making, binding and closing sockets, and of their options. */
import type dgram from 'node:dgram';
import { BlockList } from 'node:net';
import type { Scenario } from '../trace.ts';
import { bound, event, settle } from '../trace.ts';
import type { AnySend, AnySocket } from './ends.ts';
import { callback, client, server } from './ends.ts';

export const SOCKET_SCENARIOS: Record<string, Scenario> = {
  'types and options that are none': (udp, trace) => {
    for (const options of [
      undefined,
      null,
      'udp5',
      7,
      {},
      { type: 'tcp' },
      { type: 'udp4', recvBufferSize: 'many' },
      { type: 'udp4', recvBufferSize: -1 },
      { type: 'udp4', sendBufferSize: 1.5 },
      { type: 'udp4', lookup: 'dns' },
      { type: 'udp4', signal: {} },
    ]) {
      trace.try(`createSocket(${JSON.stringify(options)})`, () => {
        trace.watch(udp.createSocket(options), 'socket');
      });
    }
  },

  'bind: events, callback, address': async (udp, trace) => {
    const socket = trace.watch(udp.createSocket({ type: 'udp4' }), 'socket');
    trace.try('address before', () => socket.address());
    trace.add(socket.bind(0, '127.0.0.1', () => trace.add('bind callback')) === socket);
    await event(socket, 'listening');
    trace.namePort(socket.address().port, 'PORT');
    trace.add(socket.address());
  },

  'bind without an address': async (udp, trace) => {
    for (const [type, args] of [
      ['udp4', []],
      ['udp6', [0]],
      ['udp4', [{ port: 0, address: '127.0.0.1', exclusive: true }]],
    ] as const) {
      const socket = trace.watch(udp.createSocket(type), 'socket');
      (socket.bind as AnySend)(...args);
      await event(socket, 'listening');
      trace.namePort(socket.address().port, 'PORT');
      trace.add(socket.address());
    }
  },

  'bind twice': async (udp, trace) => {
    const socket = await bound(trace.watch(udp.createSocket('udp4'), 'socket', ['error']));
    trace.try('second', () => socket.bind(0));
    const early = trace.watch(udp.createSocket('udp4'), 'early', ['error']);
    early.bind(0);
    trace.try('second at once', () => early.bind(0));
    await event(early, 'listening');
  },

  'bind to a port in use': async (udp, trace) => {
    const { port } = await server(udp, trace);
    const socket = trace.watch(udp.createSocket('udp4'), 'socket');
    socket.bind(port, '127.0.0.1', () => trace.add('never called'));
    await event(socket, 'error');
    socket.bind(0, '127.0.0.1');
    await event(socket, 'listening');
  },

  'bind to addresses that are none of this machine': async (udp, trace) => {
    for (const [type, address] of [
      ['udp4', '192.0.2.1'],
      ['udp6', '2001:db8::1'],
      ['udp4', '::1'],
    ] as const) {
      const socket = trace.watch(udp.createSocket(type), 'socket');
      socket.bind(0, address);
      await event(socket, 'error');
    }
  },

  'bind arguments that are none': (udp, trace) => {
    for (const args of [[-1], [65_536], ['x'], [0, 5], [{ fd: 'x' }], [{ fd: 1 }]]) {
      const socket = trace.watch(udp.createSocket('udp4'), 'socket');
      trace.try(`bind(${JSON.stringify(args)})`, () => (socket.bind as AnySend)(...args));
    }
    return settle();
  },

  'two sockets on one port with reuseAddr': async (udp, trace) => {
    const first = trace.watch(udp.createSocket({ type: 'udp4', reuseAddr: true }), 'first', ['error']);
    await bound(first);
    const second = trace.watch(udp.createSocket({ type: 'udp4', reuseAddr: true }), 'second');
    second.bind(first.address().port, '127.0.0.1');
    await event(second, 'listening');
  },

  'two sockets on one port with reusePort': async (udp, trace) => {
    const options = { type: 'udp4', reusePort: true };
    const first = await bound(trace.watch(udp.createSocket(options), 'first', ['error']));
    trace.namePort(first.address().port, 'PORT');
    const second = trace.watch(udp.createSocket(options), 'second');
    second.bind(first.address().port, '127.0.0.1');
    await Promise.race([event(second, 'listening'), event(second, 'error')]);
  },

  'everything after close': async (udp, trace) => {
    const socket = (await client(udp, trace)) as AnySocket;
    socket.close(() => trace.add('close callback'));
    trace.try('close', () => socket.close());
    trace.try('address', () => socket.address());
    trace.try('remoteAddress', () => socket.remoteAddress());
    trace.try('bind', () => socket.bind(0));
    trace.try('connect', () => socket.connect(9));
    trace.try('disconnect', () => socket.disconnect());
    trace.try('send', () => socket.send('x', 9));
    trace.try('send with callback', () => socket.send('x', 9, '127.0.0.1', callback(trace, 'send')));
    trace.try('setBroadcast', () => socket.setBroadcast(true));
    trace.try('setTTL', () => socket.setTTL(3));
    trace.try('setMulticastTTL', () => socket.setMulticastTTL(3));
    trace.try('setMulticastLoopback', () => socket.setMulticastLoopback(true));
    trace.try('setMulticastInterface', () => socket.setMulticastInterface('127.0.0.1'));
    trace.try('addMembership', () => socket.addMembership('224.0.0.114'));
    trace.try('dropMembership', () => socket.dropMembership('224.0.0.114'));
    trace.try('setRecvBufferSize', () => socket.setRecvBufferSize(1000));
    trace.try('getRecvBufferSize', () => socket.getRecvBufferSize());
    trace.try('getSendQueueSize', () => socket.getSendQueueSize());
    trace.try('getSendQueueCount', () => socket.getSendQueueCount());
    trace.try('ref', () => socket.ref());
    trace.try('unref', () => socket.unref());
    await settle();
  },

  'close an unbound socket': async (udp, trace) => {
    const socket = trace.watch(udp.createSocket('udp4'), 'socket');
    trace.add(socket.close() === socket);
    await settle();
  },

  'close while binding': async (udp, trace) => {
    const socket = trace.watch(udp.createSocket('udp4'), 'socket');
    socket.bind(0);
    socket.close();
    await settle();
  },

  'close while datagrams wait for bind': async (udp, trace) => {
    const { port } = await server(udp, trace);
    const socket = trace.watch(udp.createSocket('udp4'), 'socket');
    socket.send('early', port, '127.0.0.1', callback(trace, 'send'));
    socket.close();
    await settle();
  },

  'buffer sizes': async (udp, trace) => {
    const early = trace.watch(udp.createSocket('udp4'), 'early') as AnySocket;
    trace.try('get before bind', () => early.getRecvBufferSize());
    trace.try('set before bind', () => early.setSendBufferSize(1000));
    const socket = trace.watch(
      udp.createSocket({ type: 'udp4', recvBufferSize: 10_000, sendBufferSize: 12_000 }),
      'socket',
      ['error'],
    ) as AnySocket;
    await bound(socket);
    trace.add(socket.getRecvBufferSize(), socket.getSendBufferSize());
    trace.try('set', () => socket.setRecvBufferSize(20_000));
    trace.add(socket.getRecvBufferSize());
    for (const size of [-1, 'x', 1.5, 2 ** 32, undefined]) {
      trace.try(`setRecvBufferSize(${size})`, () => socket.setRecvBufferSize(size as number));
      trace.try(`setSendBufferSize(${size})`, () => socket.setSendBufferSize(size as number));
    }
    trace.add(socket.getSendQueueSize(), socket.getSendQueueCount());
  },

  'TTL, broadcast, multicast options': async (udp, trace) => {
    const early = trace.watch(udp.createSocket('udp4'), 'early') as AnySocket;
    trace.try('setTTL before bind', () => early.setTTL(3));
    const socket = (await client(udp, trace)) as AnySocket;
    for (const ttl of [0, 1, 255, 256, 'x', undefined]) {
      trace.try(`setTTL(${ttl})`, () => socket.setTTL(ttl as number));
      trace.try(`setMulticastTTL(${ttl})`, () => socket.setMulticastTTL(ttl as number));
    }
    for (const flag of [true, false, 1, undefined]) {
      trace.try('setBroadcast', () => socket.setBroadcast(flag as boolean));
      trace.try('setMulticastLoopback', () => socket.setMulticastLoopback(flag as boolean));
    }
    for (const address of ['127.0.0.1', '0.0.0.0', 'x', 7, undefined]) {
      trace.try('setMulticastInterface', () => socket.setMulticastInterface(address as string));
      trace.try('addMembership', () => socket.addMembership(address as string));
      trace.try('dropMembership', () => socket.dropMembership(address as string));
    }
    trace.try('addMembership', () => socket.addMembership('224.0.0.114', '127.0.0.1'));
    trace.try('addMembership twice', () => socket.addMembership('224.0.0.114', '127.0.0.1'));
    trace.try('dropMembership', () => socket.dropMembership('224.0.0.114', '127.0.0.1'));
    trace.try('source', () => socket.addSourceSpecificMembership('127.0.0.1', '232.1.1.1', '127.0.0.1'));
    trace.try('source', () => socket.dropSourceSpecificMembership('127.0.0.1', '232.1.1.1', '127.0.0.1'));
    trace.try('source', () => socket.addSourceSpecificMembership('x', '232.1.1.1'));
  },

  multicast: async (udp, trace) => {
    const receiver = trace.watch(udp.createSocket({ type: 'udp4', reuseAddr: true }), 'server', ['message']);
    await bound(receiver, '0.0.0.0');
    const port = trace.namePort(receiver.address().port, 'SERVER');
    receiver.addMembership('239.1.2.3', '127.0.0.1');
    const sender = await client(udp, trace);
    sender.setMulticastInterface('127.0.0.1');
    sender.setMulticastLoopback(true);
    sender.send('to the group', port, '239.1.2.3', callback(trace, 'send'));
    await event(receiver, 'message');
  },

  'block lists, where Node has them': async (udp, trace) => {
    const list = new BlockList();
    list.addAddress('127.0.0.1');
    const { port } = await server(udp, trace);
    const sender = trace.watch(udp.createSocket({ type: 'udp4', sendBlockList: list }), 'sender', ['error']);
    await bound(sender);
    trace.namePort(sender.address().port, 'CLIENT');
    sender.send('blocked?', port, '127.0.0.1', callback(trace, 'send'));
    sender.send('blocked?', port);
    await settle();
    const deaf = trace.watch(udp.createSocket({ type: 'udp4', receiveBlockList: list }), 'deaf', ['message']);
    await bound(deaf);
    const other = await client(udp, trace);
    other.send('heard?', deaf.address().port, '127.0.0.1', callback(trace, 'other'));
    await settle();
  },

  'a signal that is aborted': async (udp, trace) => {
    const before = new AbortController();
    before.abort();
    const early = trace.watch(udp.createSocket({ type: 'udp4', signal: before.signal }), 'early');
    trace.try('bind', () => early.bind(0));
    const controller = new AbortController();
    const socket = trace.watch(udp.createSocket({ type: 'udp4', signal: controller.signal }), 'socket', [
      'close',
    ]);
    await bound(socket);
    controller.abort();
    trace.try('send', () => {
      socket.send('x', 9);
    });
    await settle();
  },

  'Symbol.asyncDispose': async (udp, trace) => {
    const socket = await client(udp, trace);
    await socket[Symbol.asyncDispose]();
    trace.add('disposed');
  },

  'ref and unref return the socket': async (udp, trace) => {
    const socket = await client(udp, trace);
    trace.add(socket.ref() === socket, socket.unref() === socket);
  },

  'listeners that are added late or removed': async (udp, trace) => {
    const { socket: receiver, port } = await server(udp, trace);
    receiver.removeAllListeners('message');
    const sender = await client(udp, trace);
    await sendAll(sender, port, 2);
    await settle();
    receiver.on('message', (data) => trace.add('late', data));
    sender.send('now', port);
    await event(receiver, 'message');
  },
};

/** Sends '0', '1', ... and waits until the kernel has them all. */
async function sendAll(sender: dgram.Socket, port: number, count: number): Promise<void> {
  await Promise.all(
    Array.from(
      { length: count },
      (_, i) =>
        new Promise((resolve) => {
          sender.send(String(i), port, '127.0.0.1', resolve);
        }),
    ),
  );
}
