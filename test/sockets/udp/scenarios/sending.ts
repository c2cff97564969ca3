/** Scenarios of sending to somebody, with and without a connection. */
import type dgram from 'node:dgram';
import type { Scenario } from '../trace.ts';
import { bound, event, settle } from '../trace.ts';
import type { AnySend, AnySocket } from './ends.ts';
import { callback, client, server } from './ends.ts';

const abortError = (name: string) => Object.assign(new Error(`lookup of ${name}`), { code: 'ENOTFOUND' });

export const SENDING_SCENARIOS: Record<string, Scenario> = {
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
};
