/**
 * Runs one scenario on node:dgram and on preflex/udp and writes down what happens, so that both can be compared: calls
 * that throw, callbacks, events, in order. Ports that the kernel chose are written by name.
 */
import type { EventEmitter } from 'node:events';
import { inspect } from 'node:util';
import dgram from 'node:dgram';
import { createSocket } from '../../../lib/sockets/udp.ts';

/** What both modules have. */
export interface DatagramModule {
  createSocket(options: unknown, listener?: unknown): dgram.Socket;
}

/** A scenario: drives sockets of the module and writes down what it sees. */
export type Scenario = (udp: DatagramModule, trace: Trace) => Promise<void> | void;

/** What happened. */
export class Trace {
  readonly lines: string[] = [];
  readonly #ports = new Map<number, string>();
  readonly #sockets: dgram.Socket[] = [];

  /** Gives a port that the kernel chose a name. */
  namePort(port: number, name: string): number {
    this.#ports.set(port, name);
    return port;
  }

  /** Writes something down. */
  add(...what: unknown[]): void {
    let line = what.map((value) => this.#describe(value)).join(' ');
    for (const [port, name] of this.#ports) line = line.replaceAll(new RegExp(`\\b${port}\\b`, 'g'), name);
    this.lines.push(line);
  }

  /** Writes down what a call returns or throws. */
  try(name: string, call: () => unknown): void {
    try {
      const result = call();
      const isPlain = typeof result !== 'object' || Object.getPrototypeOf(result) === Object.prototype;
      this.add(name, isPlain ? result : 'object');
    } catch (error) {
      this.add(name, 'throws', error);
    }
  }

  /** Writes down the events of a socket, and closes it at the end if the scenario did not. */
  watch<T extends dgram.Socket>(
    socket: T,
    name: string,
    events = ['listening', 'connect', 'close', 'error'],
  ): T {
    this.#sockets.push(socket);
    for (const event of events) {
      (socket as EventEmitter).on(event, (...args: unknown[]) => {
        this.add(`${name} ${event}`, ...args);
      });
    }
    return socket;
  }

  /** Closes what is still open. */
  end(): void {
    for (const socket of this.#sockets) {
      try {
        socket.removeAllListeners();
        socket.close();
      } catch {
        // It is closed.
      }
    }
  }

  #describe(value: unknown): string {
    if (value instanceof Error) {
      const own = Object.fromEntries(Object.entries(value));
      return `${value.constructor.name} ${value.name}: ${value.message} ${inspect(own, { sorted: true })}`;
    }
    if (Buffer.isBuffer(value)) return `<${value.toString('latin1')}>`;
    return typeof value === 'string' ? value : inspect(value, { depth: 3, sorted: true });
  }
}

/** Lets events come: some turns of the loop in which nothing happens any more. */
export async function settle(): Promise<void> {
  for (let turn = 0; turn < 20; turn++) await new Promise((resolve) => setImmediate(resolve));
}

/** Waits for an event. */
export function event(emitter: EventEmitter, name: string): Promise<unknown[]> {
  return new Promise((resolve) => emitter.once(name, (...args: unknown[]) => resolve(args)));
}

/** Binds to a port of the kernel's choice. */
export async function bound<T extends dgram.Socket>(socket: T, address = '127.0.0.1'): Promise<T> {
  await new Promise<void>((resolve, reject) => {
    socket.once('error', reject);
    socket.bind(0, address, () => {
      socket.off('error', reject);
      resolve();
    });
  });
  return socket;
}

/** The lines of a scenario on each module: [node's, ours]. */
export async function runOnBoth(scenario: Scenario): Promise<[string[], string[]]> {
  const lines: string[][] = [];
  for (const module of [dgram, { createSocket }] as unknown as DatagramModule[]) {
    const trace = new Trace();
    try {
      await scenario(module, trace);
    } finally {
      trace.end();
    }
    lines.push(trace.lines);
  }
  return lines as [string[], string[]];
}
