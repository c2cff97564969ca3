/**
 * The benchmark `udp`: datagrams a second, and processor time a datagram, of preflex/udp and of node:dgram, over the
 * loopback of this machine. The other end is the same for both, and its time is left out.
 *
 *      send      one      a datagram, its callback awaited before the next
 *                turn     64 calls of send in one turn of the event loop, the last callback awaited
 *                batch    sendBatch of 64, against 64 calls of send
 *      receive   one      a datagram, its event awaited before the next
 *                events   64 that wait, an event `message` for each
 *                batch    64 that wait, the event `messages`, against `message`
 */
import dgram from 'node:dgram';
import { once } from 'node:events';
import { PreflexError } from '../errors.ts';
import { nowNs } from '../sys/clock.ts';
import type { UdpSocket } from '../sockets/udp.ts';
import { createSocket } from '../sockets/udp.ts';
import type { BenchResult } from './measure.ts';
import { benchResult } from './measure.ts';
import { RAW_BATCH, RawUdpEnd } from './raw-udp-end.ts';

/** Options of the benchmark. */
export interface BenchUdpOptions {
  /** Pairs of runs for each measurement; default 9. */
  readonly pairs?: number;
  /** Datagrams a run; default 6,400. */
  readonly datagrams?: number;
  /** Only measurements whose name contains this. */
  readonly only?: string;
  readonly onProgress?: (line: string) => void;
}

const SIZES = [64, 1200];
const ADDRESS = '127.0.0.1';
const WARM_UP_RUNS = 4;

/** Time and processor time of the measured parts of a run. */
class Meter {
  ns = 0;
  cpuNs = 0;
  #startNs = 0;
  #start = process.cpuUsage();

  start(): void {
    this.#start = process.cpuUsage();
    this.#startNs = nowNs();
  }

  stop(): void {
    this.ns += nowNs() - this.#startNs;
    const { user, system } = process.cpuUsage(this.#start);
    this.cpuNs += (user + system) * 1000;
  }
}

/** One run of one module. */
type Run = (
  socket: dgram.Socket,
  end: RawUdpEnd,
  bytes: number,
  datagrams: number,
  meter: Meter,
) => Promise<void>;

interface Measurement {
  readonly name: string;
  readonly ours: Run;
  readonly nodes: Run;
}

/**
 * Runs the measurements. The ratio of times is above 1, that of processor times below 1, where ours is quicker.
 *
 * @throws PreflexError ERR_INVALID_OPTION when none is called by `only`
 */
export async function benchUdp(options: BenchUdpOptions = {}): Promise<BenchResult[]> {
  const { only = '' } = options;
  const wanted = MEASUREMENTS.filter(({ name }) => name.includes(only));
  if (wanted.length === 0) {
    throw new PreflexError(
      'ERR_INVALID_OPTION',
      `only: no measurement has "${only}" in its name; there are ${MEASUREMENTS.map(({ name }) => `"${name}"`).join(', ')}`,
    );
  }
  const results: BenchResult[] = [];
  for (const measurement of wanted) {
    for (const bytes of SIZES) results.push(...(await measure(measurement, bytes, options)));
  }
  return results;
}

async function measure(
  { name, ours, nodes }: Measurement,
  bytes: number,
  options: BenchUdpOptions,
): Promise<BenchResult[]> {
  const datagrams = options.datagrams ?? 6_400;
  const end = await RawUdpEnd.open();
  const [subject, baseline] = await Promise.all([
    bind(createSocket('udp4')),
    bind(dgram.createSocket('udp4')),
  ]);
  const rates: [number, number][] = [];
  const costs: [number, number][] = [];
  try {
    const pairs = options.pairs ?? 9;
    for (let pair = -WARM_UP_RUNS; pair < pairs; pair++) {
      const meters = [new Meter(), new Meter()] as const;
      const runs = [
        () => ours(subject, end, bytes, datagrams, meters[0]),
        () => nodes(baseline, end, bytes, datagrams, meters[1]),
      ];
      // Whoever comes second finds the caches warm, so they take turns.
      for (const run of pair % 2 === 0 ? runs : runs.reverse()) await run();
      if (pair < 0) continue;
      rates.push([(datagrams / meters[0].ns) * 1e9, (datagrams / meters[1].ns) * 1e9]);
      costs.push([meters[0].cpuNs / datagrams, meters[1].cpuNs / datagrams]);
    }
  } finally {
    subject.close();
    baseline.close();
    end.close();
  }
  const title = `${name}, ${bytes} bytes`;
  const results = [
    benchResult(title, 'datagrams/s', 'node:dgram', rates),
    benchResult(`${title}, processor`, 'ns/datagram', 'node:dgram', costs),
  ];
  options.onProgress?.(
    `${title}: ${results[0].ratio.toFixed(2)} of node:dgram, at ${results[1].ratio.toFixed(2)} of its processor time`,
  );
  return results;
}

async function bind<T extends dgram.Socket>(socket: T): Promise<T> {
  socket.bind(0, ADDRESS);
  await once(socket, 'listening');
  return socket;
}

/** Sends each datagram when the one before is gone. */
function singly(
  send: (socket: dgram.Socket, message: Buffer, end: RawUdpEnd, sent: () => void) => void,
): Run {
  return async (socket, end, bytes, datagrams, meter) => {
    const message = Buffer.alloc(bytes);
    await inRounds(datagrams, meter, end, (done) => {
      let left = RAW_BATCH;
      const next = (): void => {
        if (left-- === 0) done();
        else send(socket, message, end, next);
      };
      next();
    });
  };
}

async function sendTurn(
  socket: dgram.Socket,
  end: RawUdpEnd,
  bytes: number,
  datagrams: number,
  meter: Meter,
): Promise<void> {
  const message = Buffer.alloc(bytes);
  await inRounds(datagrams, meter, end, (done) => {
    for (let i = 1; i < RAW_BATCH; i++) socket.send(message, end.port, ADDRESS);
    socket.send(message, end.port, ADDRESS, done);
  });
}

async function sendBatch(
  socket: dgram.Socket,
  end: RawUdpEnd,
  bytes: number,
  datagrams: number,
  meter: Meter,
): Promise<void> {
  const messages = Array.from({ length: RAW_BATCH }, () => Buffer.alloc(bytes));
  await inRounds(datagrams, meter, end, (done) => {
    (socket as UdpSocket).sendBatch(messages, { port: end.port, address: ADDRESS }, done);
  });
}

async function receiveOne(
  socket: dgram.Socket,
  end: RawUdpEnd,
  bytes: number,
  datagrams: number,
  meter: Meter,
): Promise<void> {
  const { port } = socket.address();
  await new Promise<void>((resolve) => {
    let left = datagrams;
    const next = (): void => {
      end.send(port, 1, bytes);
      meter.start();
    };
    socket.on('message', () => {
      meter.stop();
      if (--left === 0) resolve();
      else next();
    });
    next();
  });
  socket.removeAllListeners('message');
}

/** Takes rounds of 64 datagrams that wait, by an event that brings `count` of them. */
function waiting(event: string, count: (argument: unknown) => number): Run {
  return async (socket, end, bytes, datagrams, meter) => {
    const { port } = socket.address();
    await new Promise<void>((resolve) => {
      let rounds = Math.ceil(datagrams / RAW_BATCH);
      let left = 0;
      const next = (): void => {
        left = RAW_BATCH;
        end.send(port, RAW_BATCH, bytes);
        meter.start();
      };
      (socket as NodeJS.EventEmitter).on(event, (argument: unknown) => {
        left -= count(argument);
        if (left > 0) return;
        meter.stop();
        if (--rounds === 0) resolve();
        else next();
      });
      next();
    });
    socket.removeAllListeners(event);
  };
}

/** Rounds of 64 datagrams; taking them at the other end is not measured. */
async function inRounds(
  datagrams: number,
  meter: Meter,
  end: RawUdpEnd,
  round: (done: () => void) => void,
): Promise<void> {
  for (let sent = 0; sent < datagrams; sent += RAW_BATCH) {
    meter.start();
    await new Promise<void>(round);
    meter.stop();
    end.drain();
  }
}

/** Connects the socket for a run. */
function connected(run: Run): Run {
  return async (socket, end, bytes, datagrams, meter) => {
    socket.connect(end.port, ADDRESS);
    await once(socket, 'connect');
    await run(socket, end, bytes, datagrams, meter);
    socket.disconnect();
  };
}

const sendOne = singly((socket, message, end, sent) => {
  socket.send(message, end.port, ADDRESS, sent);
});
const sendOneConnected = connected(
  singly((socket, message, _end, sent) => {
    socket.send(message, sent);
  }),
);
const receiveEvents = waiting('message', () => 1);
const receiveBatch = waiting('messages', (batch) => (batch as unknown[]).length);

const MEASUREMENTS: readonly Measurement[] = [
  { name: 'send, one at a time', ours: sendOne, nodes: sendOne },
  { name: 'send, connected, one at a time', ours: sendOneConnected, nodes: sendOneConnected },
  { name: `send, ${RAW_BATCH} in a turn`, ours: sendTurn, nodes: sendTurn },
  { name: `send, batches of ${RAW_BATCH}`, ours: sendBatch, nodes: sendTurn },
  { name: 'receive, one at a time', ours: receiveOne, nodes: receiveOne },
  { name: `receive, ${RAW_BATCH} waiting`, ours: receiveEvents, nodes: receiveEvents },
  { name: `receive, batches of ${RAW_BATCH}`, ours: receiveBatch, nodes: receiveEvents },
];
