/**
 * What a process of its own has to show, on node:dgram or preflex/udp; run by process.test.ts, prints JSON.
 *
 *   in-child.ts CASE MODULE       CASE one of the functions below, MODULE node or preflex
 */
import dgram from 'node:dgram';
import { readdirSync } from 'node:fs';
import { once } from 'node:events';
import type { UdpSocket } from '../../../lib/sockets/udp.ts';
import { Worker } from 'node:worker_threads';

const [, , name, moduleName] = process.argv;
if (name === 'withoutTicks') Reflect.deleteProperty(process, '_tickCallback');
if (name === 'otherPlatform') Object.defineProperty(process, 'platform', { value: 'sunos' });
const warnings: string[] = [];
process.on('warning', (warning) => {
  warnings.push(`${warning.name}: ${warning.message}`);
});
const { createSocket } = moduleName === 'node' ? dgram : await import('../../../lib/sockets/udp.ts');
type AnySocket = UdpSocket;

const describe = (error: unknown): object => ({ message: String(error), ...(error as object) });

const cases: Record<string, () => Promise<unknown> | unknown> = {
  /** Opens sockets until there are no descriptors left, then goes on with those that there are. */
  async noDescriptors() {
    const log: unknown[] = [];
    const sockets: dgram.Socket[] = [];
    let isFull = false;
    while (!isFull) {
      const socket = createSocket('udp4');
      socket.on('error', (error) => {
        isFull = true;
        log.push(['error', describe(error)]);
      });
      socket.bind(0, '127.0.0.1');
      await Promise.race([once(socket, 'listening'), once(socket, 'error').catch(() => undefined)]).catch(
        () => undefined,
      );
      if (!isFull) sockets.push(socket);
    }
    const unbound = createSocket('udp4');
    unbound.on('error', (error) => log.push(['send binds', describe(error)]));
    unbound.send('x', 9, '127.0.0.1', (error) => log.push(['callback', error && describe(error)]));
    await new Promise((resolve) => setTimeout(resolve, 50));
    const [a, b] = sockets as [dgram.Socket, dgram.Socket];
    const got = once(b, 'message');
    a.send('still works', b.address().port, '127.0.0.1');
    log.push((await got)[0].toString());
    for (const socket of sockets) socket.close();
    return { log };
  },

  /** A socket that is not referenced lets the process end; one that is keeps it. */
  async unref() {
    const socket = createSocket('udp4');
    socket.unref();
    socket.bind(0);
    await once(socket, 'listening');
    const later = createSocket('udp4');
    later.bind(0);
    await once(later, 'listening');
    later.unref();
    later.ref();
    later.unref();
    process.on('exit', () => process.stdout.write('"ended by itself"'));
    return undefined;
  },

  /** Sockets that were closed keep the process alive no longer. */
  async closed() {
    const socket = createSocket('udp4');
    socket.bind(0);
    await once(socket, 'listening');
    setTimeout(() => socket.close(), 100);
    const before = Date.now();
    process.on('exit', () => process.stdout.write(JSON.stringify(Date.now() - before >= 99)));
    return undefined;
  },

  plain: fallback,
  otherPlatform: fallback,

  /** The scenarios of message delivery, without what Node's timers use to run ticks. */
  async withoutTicks() {
    const { SCENARIOS } = await import('./scenarios.ts');
    const { runOnBoth } = await import('./trace.ts');
    const names = Object.keys(SCENARIOS).filter((name) => /message|forms of send, un|many/.test(name));
    const different: unknown[] = [];
    for (const name of names) {
      const [expected, actual] = await runOnBoth(SCENARIOS[name]!);
      if (JSON.stringify(actual) !== JSON.stringify(expected)) different.push({ name, expected, actual });
    }
    return { count: names.length, different };
  },

  /** In a worker thread: marked when told so, and every orderly end of the worker is one. */
  async worker() {
    const library = new URL('../../../lib/sockets/udp.ts', import.meta.url).href;
    const body = `
      const { parentPort, workerData } = require('node:worker_threads');
      (async () => {
        await (await import(${JSON.stringify(import.meta.resolve('tsx/esm/api'))})).register();
        const { createSocket } = await import(${JSON.stringify(library)});
        const socket = createSocket({ type: 'udp4', lex: { datapath: workerData.datapath } });
        socket.bind(0, '127.0.0.1', () => {
          parentPort.postMessage(socket.isMarking);
          if (workerData.end === 'exit') process.exit(3);
          if (workerData.end === 'unref') socket.unref();
          if (workerData.end === 'close') socket.close();
        });
      })();`;
    const log: unknown[] = [];
    for (const [datapath, end] of [
      ['auto', 'terminate'],
      ['marked', 'exit'],
      ['marked', 'unref'],
      ['marked', 'close'],
    ]) {
      const worker = new Worker(body, { eval: true, workerData: { datapath, end } });
      const ended = once(worker, 'exit');
      const [isMarking] = (await once(worker, 'message')) as [boolean];
      if (end === 'terminate') await worker.terminate();
      log.push([datapath, end, isMarking, ...(await ended)]);
    }
    return log;
  },

  /** Ten thousand sockets, some hundred at a time. */
  async tenThousand() {
    const gc = (globalThis as { gc?: () => void }).gc!;
    const state = async (): Promise<object> => {
      // The memory of buffers is freed some time after the collection that found them.
      for (let i = 0; i < 3; i++) {
        await new Promise((resolve) => setTimeout(resolve, 30));
        gc();
      }
      const { heapUsed, external } = process.memoryUsage();
      return {
        fds: readdirSync('/proc/self/fd').length,
        resources: process.getActiveResourcesInfo().filter((name) => /udp|poll|immediate/i.test(name)),
        heap: heapUsed,
        external,
      };
    };
    const round = async (count: number): Promise<void> => {
      const sockets = await Promise.all(
        Array.from({ length: count }, async (_, i) => {
          const socket = createSocket(i % 2 === 0 ? 'udp4' : 'udp6') as AnySocket;
          socket.bind(0, i % 2 === 0 ? '127.0.0.1' : '::1');
          await once(socket, 'listening');
          return socket;
        }),
      );
      // Every other one has talked, every tenth is connected.
      await Promise.all(
        sockets.map(async (socket, i) => {
          const { port, address } = sockets[(i + 2) % count]!.address();
          if (i % 2 === 0) await new Promise((resolve) => socket.send('x', port, address, resolve));
          if (i % 10 === 0) {
            socket.connect(port, address);
            await once(socket, 'connect');
          }
        }),
      );
      await Promise.all(
        sockets.map((socket) => {
          const closed = once(socket, 'close');
          socket.close();
          return closed;
        }),
      );
    };
    await round(500);
    await round(500);
    const before = await state();
    for (let i = 0; i < 20; i++) await round(500);
    return { before, after: await state() };
  },
};

/** A socket without the platform: everything works, nothing is marked. */
async function fallback(): Promise<unknown> {
  const receiver = createSocket('udp4') as AnySocket;
  const sender = createSocket('udp4') as AnySocket;
  receiver.bind(0, '127.0.0.1');
  await once(receiver, 'listening');
  const { port } = receiver.address();
  const received: string[] = [];
  const arrived = new Promise<void>((resolve) => {
    receiver.on('messages', (batch: { data: Buffer; remote: { address: string }; ecn: number }[]) => {
      for (const { data, remote, ecn } of batch) received.push(`${data.toString()} ${remote.address} ${ecn}`);
      if (received.length === 5) resolve();
    });
  });
  const callbacks: unknown[] = [];
  sender.send('a', port, '127.0.0.1', (error, bytes) => callbacks.push([error, bytes]), {
    retransmission: true,
  });
  await once(sender, 'listening');
  sender.send('b', port, { newFlowlet: true });
  const atOnce = sender.sendBatch(
    [Buffer.from('c'), { data: Buffer.from('d'), ecn: 1 }],
    { port },
    (error, sent) => callbacks.push([error, sent]),
  );
  sender.connect(port, '127.0.0.1');
  await once(sender, 'connect');
  sender.sendBatch([Buffer.from('e')]);
  await arrived;
  const { isMarking, sentPackets } = sender.statistics();
  const rest = [sender.newFlowlet(), sender.feedback(), sender.peerStatistics() ?? null];
  let afterClose = '';
  sender.close();
  try {
    sender.sendBatch([Buffer.from('f')], { port });
  } catch (error) {
    afterClose = (error as { code: string }).code;
  }
  receiver.close();
  createSocket('udp6').close();
  await new Promise((resolve) => setTimeout(resolve, 10));
  return { received: received.sort(), callbacks, atOnce, isMarking, sentPackets, rest, afterClose, warnings };
}

const result = await cases[name!]!();
if (result !== undefined) process.stdout.write(JSON.stringify(result));
