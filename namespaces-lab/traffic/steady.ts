/**
 * Connections that carry a little all the time, to see whether they survive: `steady.ts server PORT` answers everything
 * with itself, `steady.ts client PORT COUNT ADDRESS...` keeps COUNT connections to each address and sends on each a
 * small message every 25 ms. `report` tells of each connection what it has seen since the last report.
 */
import type { Socket } from 'node:net';
import { connect, createServer } from 'node:net';
import { nowNs } from '../../lib/sys/clock.ts';
import { runModule, tell } from '../processes/module-io.ts';

/** A connection of the client, since the last report. */
export interface SteadyConnection {
  readonly address: string;
  /** Bytes that came back. */
  readonly bytes: number;
  /** Longest time without any, seconds; a pause under way is counted. */
  readonly longestGapSeconds: number;
  /** Why it broke; null while it stands. */
  readonly error: string | null;
}

const MESSAGE = Buffer.alloc(1000, 'steady');
const PACE_MS = 25;

class Steady {
  readonly address: string;
  error: string | null = null;
  #bytes = 0;
  #lastNs = nowNs();
  #gapNs = 0;
  readonly #socket: Socket;

  constructor(address: string, port: number) {
    this.address = address;
    this.#socket = connect({ host: address, port, noDelay: true });
    this.#socket.on('data', (chunk) => {
      this.#bytes += chunk.length;
      this.#gapNs = Math.max(this.#gapNs, nowNs() - this.#lastNs);
      this.#lastNs = nowNs();
    });
    this.#socket.on('error', (error) => (this.error = error.message));
    this.#socket.on('close', () => (this.error ??= 'closed'));
  }

  send(): void {
    // What waits already says the same.
    if (this.error === null && this.#socket.writableLength === 0) this.#socket.write(MESSAGE);
  }

  take(): SteadyConnection {
    const gapNs = Math.max(this.#gapNs, nowNs() - this.#lastNs);
    const report = {
      address: this.address,
      bytes: this.#bytes,
      longestGapSeconds: gapNs / 1e9,
      error: this.error,
    };
    this.#bytes = 0;
    this.#gapNs = 0;
    return report;
  }

  end(): void {
    this.#socket.destroy();
  }
}

function serve(port: number): void {
  const open = new Set<Socket>();
  const server = createServer((socket) => {
    open.add(socket);
    socket.setNoDelay(true);
    socket.on('error', () => undefined); // the client sees it too, and reports it
    socket.on('close', () => open.delete(socket));
    socket.pipe(socket);
  });
  server.listen({ port, host: '::', backlog: 1024 }, () => tell('ready'));
  runModule(
    () => undefined,
    () => {
      server.close();
      for (const socket of open) socket.destroy();
    },
  );
}

function ask(port: number, count: number, addresses: readonly string[]): void {
  const connections = addresses.flatMap((address) =>
    Array.from({ length: count }, () => new Steady(address, port)),
  );
  const timer = setInterval(() => {
    for (const connection of connections) connection.send();
  }, PACE_MS);
  runModule(
    () => tell('report', { connections: connections.map((connection) => connection.take()) }),
    () => {
      clearInterval(timer);
      for (const connection of connections) connection.end();
      tell('exit');
    },
  );
  tell('ready');
}

const [role, port = '9000', count = '1', ...addresses] = process.argv.slice(2);
if (role === 'server') serve(Number(port));
else ask(Number(port), Number(count), addresses);
