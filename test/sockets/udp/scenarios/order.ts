/** Scenarios of when callbacks, messages and the end of a socket come. */
import { AsyncLocalStorage } from 'node:async_hooks';
import type dgram from 'node:dgram';
import type { Scenario } from '../trace.ts';
import { bound, event, settle } from '../trace.ts';
import { callback, client, server } from './ends.ts';

export const ORDER_SCENARIOS: Record<string, Scenario> = {
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
