/** Scenarios of UDP sockets, each one thing that programs do with them, rightly or wrongly. */
import { AsyncLocalStorage } from 'node:async_hooks';
import type dgram from 'node:dgram';
import { BlockList } from 'node:net';
import type { DatagramModule, Scenario, Trace } from './trace.ts';
import { bound, event, settle } from './trace.ts';

type AnySocket = dgram.Socket & Record<string, (...args: unknown[]) => unknown>;
type AnySend = (...args: unknown[]) => void;

/** A bound socket that writes down what it receives. */
async function server(udp: DatagramModule, trace: Trace, type = 'udp4', address = '127.0.0.1') {
  const socket = trace.watch(udp.createSocket(type), 'server', ['message', 'error', 'close']);
  await bound(socket, address);
  const port = trace.namePort(socket.address().port, 'SERVER');
  return { socket, port };
}

/** A bound socket that sends to it. */
async function client(udp: DatagramModule, trace: Trace, type = 'udp4', address = '127.0.0.1') {
  const socket = trace.watch(udp.createSocket(type), 'client') as AnySocket;
  await bound(socket, address);
  trace.namePort(socket.address().port, 'CLIENT');
  return socket;
}

function callback(trace: Trace, name: string) {
  return (...args: unknown[]) => {
    trace.add(`callback ${name}`, ...args);
  };
}

const abortError = (name: string) => Object.assign(new Error(`lookup of ${name}`), { code: 'ENOTFOUND' });

export const SCENARIOS: Record<string, Scenario> = {
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

  'all forms of send, unconnected': async (udp, trace) => {
    const { socket: receiver, port } = await server(udp, trace);
    const sender = (await client(udp, trace)) as AnySocket;
    const send = (...args: unknown[]) => {
      (sender.send as AnySend)(...args);
    };
    const view = new Uint8Array([65, 66, 67, 68]);
    const forms: unknown[][] = [
      [Buffer.from('buffer'), port],
      [Buffer.from('address'), port, '127.0.0.1'],
      ['string', port, '127.0.0.1'],
      ['ünïcödé', port],
      [Buffer.from('a callback'), port, callback(trace, 'third')],
      [Buffer.from('all'), port, '127.0.0.1', callback(trace, 'fourth')],
      [Buffer.from('0123456789'), 2, 3, port],
      [Buffer.from('0123456789'), 3, 4, port, '127.0.0.1'],
      ['0123456789', 4, 5, port, '127.0.0.1', callback(trace, 'sixth')],
      [Buffer.from('0123456789'), 0, 10, port, callback(trace, 'fifth')],
      [['li', 'st', Buffer.from('ed')], port],
      [[], port, callback(trace, 'empty list')],
      ['', port, callback(trace, 'empty')],
      [view, port],
      [new DataView(view.buffer, 1, 2), port],
      [new Uint16Array(view.buffer), port],
      ['port as text', String(port)],
      ['no address', port, undefined],
      ['null address', port, null],
      ['empty address', port, ''],
      ['name', port, 'localhost'],
    ];
    for (const form of forms) {
      const arrived = event(receiver, 'message');
      send(...form);
      await arrived;
    }
  },

  'arguments of send that are none, unconnected': async (udp, trace) => {
    const sender = (await client(udp, trace)) as AnySocket;
    const buffer = Buffer.from('0123456789');
    const forms: unknown[][] = [
      [],
      [undefined, 9],
      [null, 9],
      [7, 9],
      [{}, 9],
      [[7], 9],
      [['a', 7], 9, '127.0.0.1'],
      [[['nested']], 9],
      [true, 9],
      [buffer],
      [buffer, 0],
      [buffer, -1],
      [buffer, 65_536],
      [buffer, 1.5],
      [buffer, NaN],
      [buffer, ''],
      [buffer, ' '],
      [buffer, 'x'],
      [buffer, null],
      [buffer, undefined, '127.0.0.1'],
      [buffer, 9, 5],
      [buffer, 9, true],
      [buffer, 0, 11, 9],
      [buffer, 11, 0, 9],
      [buffer, 11, 1, 9, '127.0.0.1'],
      [buffer, 0, 2, 0, '127.0.0.1'],
      [buffer, 0, 2, 'x', '127.0.0.1'],
      [buffer, 0, 2, 9, 5],
      [7, 0, 2, 9],
      [['a'], 0, 1, 9],
    ];
    for (const [i, form] of forms.entries()) {
      trace.try(`send form ${i}`, () => {
        (sender.send as AnySend)(...form);
      });
    }
    await settle();
  },

  'arguments of send that are none, before bind': async (udp, trace) => {
    for (const form of [[], [7, 9], ['x'], ['x', -1], ['x', 9, 5]]) {
      const socket = trace.watch(udp.createSocket('udp4'), 'socket', ['error']);
      trace.try(`send(${JSON.stringify(form)})`, () => {
        (socket.send as AnySend)(...form);
      });
    }
    await settle();
  },

  'send binds': async (udp, trace) => {
    const { socket: receiver, port } = await server(udp, trace);
    const sender = trace.watch(udp.createSocket('udp4'), 'client', ['error', 'close']);
    sender.once('listening', () => {
      trace.namePort(sender.address().port, 'CLIENT');
      trace.add('listening');
    });
    sender.send('one', port, '127.0.0.1', callback(trace, 'one'));
    sender.send('two', port, '127.0.0.1', callback(trace, 'two'));
    sender.send('three', port);
    for (let i = 0; i < 3; i++) await event(receiver, 'message');
    trace.add(sender.address().address);
  },

  'oversized datagrams': async (udp, trace) => {
    const { port } = await server(udp, trace);
    const sender = await client(udp, trace);
    for (const bytes of [65_508, 65_535, 65_536, 1_000_000]) {
      sender.send(Buffer.alloc(bytes), port, '127.0.0.1', callback(trace, `${bytes} bytes`));
      await settle();
    }
    sender.send(Buffer.alloc(65_508), port);
    sender.send(Buffer.alloc(65_508), port, callback(trace, 'no address'));
    await settle();
  },

  'the largest datagram': async (udp, trace) => {
    const { socket: receiver, port } = await server(udp, trace);
    receiver.removeAllListeners('message');
    const sender = await client(udp, trace);
    sender.send(Buffer.alloc(65_507, 'x'), port, '127.0.0.1', callback(trace, 'send'));
    const [data, remote] = (await event(receiver, 'message')) as [Buffer, dgram.RemoteInfo];
    trace.add(data.length, data[65_506], remote);
  },

  'datagrams that go nowhere': async (udp, trace) => {
    const { socket, port } = await server(udp, trace);
    const sender = await client(udp, trace);
    const closed = event(socket, 'close');
    socket.close();
    await closed;
    sender.send('to a closed port', port, '127.0.0.1', callback(trace, 'send'));
    sender.send('broadcast', port, '255.255.255.255', callback(trace, 'broadcast'));
    sender.send('reserved', port, '0.0.0.0', callback(trace, 'reserved'));
    sender.send('other family', port, '::1', callback(trace, 'other family'));
    sender.send('other family', port, '::1');
    await settle();
    await settle();
  },

  'names that cannot be looked up': async (udp, trace) => {
    const lookup = (name: string, _family: number, done: (error: Error) => void) => {
      trace.add('lookup', name, _family);
      done(abortError(name));
    };
    const make = () => trace.watch(udp.createSocket({ type: 'udp4', lookup }), 'socket');
    make().bind(0, 'nowhere.invalid');
    const sender = trace.watch(
      udp.createSocket({
        type: 'udp4',
        lookup: (name: string, family: number, done: (error: Error | null, address?: string) => void) => {
          trace.add('lookup', name, family);
          if (name === '0.0.0.0') done(null, name);
          else done(abortError(name));
        },
      }),
      'sender',
    );
    sender.send('x', 9, 'nowhere.invalid', callback(trace, 'send'));
    await settle();
    sender.send('x', 9, 'nowhere.invalid');
    sender.send('x', 9, '127.0.0.1', callback(trace, 'address'));
    sender.send('x', 9, callback(trace, 'none'));
    (sender.connect as AnySend)(9, 'nowhere.invalid', callback(trace, 'connect'));
    await settle();
    (sender.connect as AnySend)(9, 'nowhere.invalid');
    await settle();
  },

  'a lookup that answers': async (udp, trace) => {
    const { socket: receiver, port } = await server(udp, trace);
    const sender = trace.watch(
      udp.createSocket({
        type: 'udp4',
        lookup: (name: string, family: number, done: (error: null, address: string) => void) => {
          trace.add('lookup', name, family);
          setImmediate(() => {
            done(null, '127.0.0.1');
          });
        },
      }),
      'sender',
      ['error', 'close'],
    );
    await bound(sender);
    trace.namePort(sender.address().port, 'CLIENT');
    const message = Buffer.from('changed later');
    sender.send(message, port, 'somewhere.invalid', callback(trace, 'send'));
    await event(receiver, 'message');
  },

  'connect, send, disconnect': async (udp, trace) => {
    const { socket: receiver, port } = await server(udp, trace);
    const sender = (await client(udp, trace)) as AnySocket;
    trace.try('remoteAddress before', () => sender.remoteAddress());
    trace.try('disconnect before', () => sender.disconnect());
    sender.connect(port, '127.0.0.1', callback(trace, 'connect'));
    trace.try('connect while connecting', () => sender.connect(port));
    await event(sender, 'connect');
    trace.add(sender.address(), sender.remoteAddress());
    trace.try('connect again', () => sender.connect(port));
    const send = (...args: unknown[]) => {
      (sender.send as AnySend)(...args);
    };
    const buffer = Buffer.from('0123456789');
    for (const form of [
      ['text'],
      [buffer],
      [buffer, callback(trace, 'second')],
      [buffer, 2, 3],
      [buffer, 2, 4, callback(trace, 'fourth')],
      [['a', 'b'], callback(trace, 'list')],
      ['callback that is none', 'x'],
      [[], callback(trace, 'empty')],
    ]) {
      const arrived = event(receiver, 'message');
      send(...form);
      await arrived;
    }
    for (const form of [
      [],
      [7],
      [buffer, 0, 11],
      [buffer, 2, 3, 9],
      [buffer, 2, 3, 9, '127.0.0.1'],
      [['a'], 0, 1],
    ]) {
      trace.try(`send(${JSON.stringify(form)})`, () => {
        send(...form);
      });
    }
    send(Buffer.alloc(70_000), callback(trace, 'oversized'));
    send(Buffer.alloc(65_508), callback(trace, 'oversized for the kernel'));
    await settle();
    sender.disconnect();
    trace.try('disconnect again', () => sender.disconnect());
    trace.try('remoteAddress after', () => sender.remoteAddress());
    // The kernel takes another port for a socket that was disconnected.
    receiver.removeAllListeners('message');
    const arrived = event(receiver, 'message');
    sender.send('unconnected', port, '127.0.0.1');
    trace.add((await arrived)[0]);
    sender.connect(port);
    await event(sender, 'connect');
    trace.add(sender.remoteAddress());
  },

  'connect arguments that are none': async (udp, trace) => {
    for (const args of [[], [0], [-1], [65_536], ['x'], [9, 5], [9, {}]]) {
      const socket = trace.watch(udp.createSocket('udp4'), 'socket', ['error']);
      trace.try(`connect(${JSON.stringify(args)})`, () => (socket.connect as AnySend)(...args));
    }
    const socket = trace.watch(udp.createSocket('udp4'), 'socket');
    socket.connect(9, '::1');
    await settle();
  },

  'a connected peer that is not there': async (udp, trace) => {
    const { socket, port } = await server(udp, trace);
    const closed = event(socket, 'close');
    socket.close();
    await closed;
    const sender = trace.watch(udp.createSocket('udp4'), 'client', ['error']);
    sender.connect(port, '127.0.0.1');
    await event(sender, 'connect');
    for (let i = 0; i < 3; i++) {
      const refused = event(sender, 'error');
      sender.send('x', callback(trace, 'send'));
      await refused;
    }
  },

  'a connected socket hears only its peer': async (udp, trace) => {
    const { socket: receiver, port } = await server(udp, trace);
    const sender = trace.watch(udp.createSocket('udp4'), 'client', ['message']);
    sender.connect(port, '127.0.0.1');
    await event(sender, 'connect');
    const stranger = await client(udp, trace);
    stranger.send('from a stranger', sender.address().port, '127.0.0.1');
    await settle();
    receiver.send('from the peer', sender.address().port, '127.0.0.1');
    await event(sender, 'message');
  },

  'send, then close, unconnected': async (udp, trace) => {
    const { port } = await server(udp, trace);
    const sender = await client(udp, trace);
    sender.send('x', port, '127.0.0.1', callback(trace, 'send'));
    sender.close();
    await settle();
  },

  'send, then close, connected': async (udp, trace) => {
    const { socket: receiver, port } = await server(udp, trace);
    const sender = trace.watch(udp.createSocket('udp4'), 'client', ['close', 'error']);
    sender.connect(port, '127.0.0.1');
    await event(sender, 'connect');
    trace.namePort(sender.address().port, 'CLIENT');
    const arrived = event(receiver, 'message');
    sender.send('x', callback(trace, 'send'));
    sender.close();
    await arrived;
    await settle();
  },

  'close in the callback of send': async (udp, trace) => {
    const { socket: receiver, port } = await server(udp, trace);
    const sender = await client(udp, trace);
    const arrived = event(receiver, 'message');
    sender.send('x', port, '127.0.0.1', (...args) => {
      trace.add('callback', ...args);
      sender.close();
    });
    await arrived;
    await settle();
  },

  'close in a message listener ends the messages': async (udp, trace) => {
    const { socket: receiver, port } = await server(udp, trace);
    receiver.once('message', () => receiver.close());
    const sender = await client(udp, trace);
    await sendAll(sender, port, 5);
    await settle();
  },

  'promises and ticks run between two messages': async (udp, trace) => {
    const { socket: receiver, port } = await server(udp, trace);
    receiver.on('message', (data: Buffer) => {
      process.nextTick(() => {
        trace.add('tick', data);
        void Promise.resolve().then(() => trace.add('promise of tick', data));
      });
      void Promise.resolve()
        .then(() => trace.add('promise', data))
        .then(() => trace.add('second promise', data));
    });
    await sendAll(await client(udp, trace), port, 4);
    await settle();
  },

  'once in a loop misses no message': async (udp, trace) => {
    const { socket: receiver, port } = await server(udp, trace);
    receiver.removeAllListeners('message');
    const arrived = event(receiver, 'message');
    await sendAll(await client(udp, trace), port, 5);
    trace.add(...(await arrived));
    for (let i = 1; i < 5; i++) trace.add(...(await event(receiver, 'message')));
  },

  'an error thrown by a message listener': async (udp, trace) => {
    const { socket: receiver, port } = await server(udp, trace);
    receiver.on('message', (data: Buffer) => {
      if (data.toString() === '1') throw new Error('thrown by the listener');
    });
    process.setUncaughtExceptionCaptureCallback((error) => {
      trace.add('uncaught', error);
    });
    try {
      await sendAll(await client(udp, trace), port, 4);
      await settle();
    } finally {
      process.setUncaughtExceptionCaptureCallback(null);
    }
  },

  'the async context of messages and callbacks': async (udp, trace) => {
    const storage = new AsyncLocalStorage<string>();
    const { socket: receiver, port } = await storage.run('server made', () => server(udp, trace));
    receiver.on('message', () => trace.add('message in', storage.getStore()));
    const sender = await storage.run('client made', () => client(udp, trace));
    for (const name of ['first', 'second']) {
      storage.run(name, () => {
        sender.send(name, port, '127.0.0.1', () => trace.add('callback in', storage.getStore()));
      });
    }
    await settle();
  },

  'many datagrams in one turn': async (udp, trace) => {
    const { socket: receiver, port } = await server(udp, trace);
    const sender = await client(udp, trace);
    receiver.setRecvBufferSize(1 << 20);
    const sizes = [100, 100, 100, 50, 100, 100, 0, 7, 100, 1000, 1000, 1000, 999, 1000];
    let left = sizes.length;
    await new Promise<void>((resolve) => {
      for (const [i, size] of sizes.entries()) {
        sender.send(Buffer.alloc(size, 97 + i), port, '127.0.0.1', (...args) => {
          trace.add('callback', i, ...args);
          if (--left === 0) resolve();
        });
      }
    });
    await settle();
  },

  'a message may be changed once its callback was called': async (udp, trace) => {
    const { port } = await server(udp, trace);
    const sender = await client(udp, trace);
    const message = Buffer.from('first');
    await new Promise((resolve) => sender.send(message, port, '127.0.0.1', resolve));
    message.write('later');
    await new Promise((resolve) => sender.send(message, port, '127.0.0.1', resolve));
    await settle();
  },

  IPv6: async (udp, trace) => {
    const { socket: receiver, port } = await server(udp, trace, 'udp6', '::1');
    const sender = trace.watch(udp.createSocket('udp6'), 'client', ['error', 'message']);
    await bound(sender, '::1');
    trace.namePort(sender.address().port, 'CLIENT');
    trace.add(sender.address());
    sender.send('address', port, '::1', callback(trace, 'address'));
    await event(receiver, 'message');
    sender.send('no address', port, callback(trace, 'none'));
    await event(receiver, 'message');
    sender.send('long form', port, '0:0:0:0:0:0:0:1', callback(trace, 'long'));
    await event(receiver, 'message');
    sender.send('other family', port, '127.0.0.1', callback(trace, 'other family'));
    await settle();
    receiver.send('back', sender.address().port, '::1');
    await event(sender, 'message');
    sender.connect(port, '::1');
    await event(sender, 'connect');
    trace.add(sender.remoteAddress());
    sender.send('connected', callback(trace, 'connected'));
    await event(receiver, 'message');
  },

  'IPv4 through a socket of IPv6': async (udp, trace) => {
    const { socket: receiver, port } = await server(udp, trace, 'udp6', '::');
    const sender = trace.watch(udp.createSocket('udp4'), 'client', ['error', 'message']);
    await bound(sender);
    trace.namePort(sender.address().port, 'CLIENT');
    sender.send('over IPv4', port, '127.0.0.1');
    await event(receiver, 'message');
    receiver.send('mapped', sender.address().port, '::ffff:127.0.0.1', callback(trace, 'mapped'));
    await event(sender, 'message');
    const only = trace.watch(udp.createSocket({ type: 'udp6', ipv6Only: true }), 'only', ['error']);
    await bound(only, '::');
    only.send('refused', sender.address().port, '::ffff:127.0.0.1', callback(trace, 'ipv6Only'));
    await settle();
  },

  'an interface in the address': async (udp, trace) => {
    const sender = trace.watch(udp.createSocket('udp6'), 'client', ['error']);
    await bound(sender, '::');
    for (const zone of ['lo', 'no-such-zone', '1']) {
      sender.send('x', 9, `fe80::1%${zone}`, callback(trace, zone));
      await settle();
    }
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
