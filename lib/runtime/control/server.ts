/**
 * The answering side of a daemon's control socket, `/run/preflex/NAME.sock`.
 *
 * Who may ask: the file has mode 0600 from the moment it exists, in a folder that only its owner can write to, so the
 * kernel lets only that user (root) connect. Peers are not asked who they are (SO_PEERCRED) beside that.
 *
 * Bounded: requests and answers have a largest size, nothing more is read of a connection before it took its answer, one
 * that says or takes nothing is ended, and there are only so many at a time. A wrong request is answered with an error; only a defect of this program ends the daemon.
 */
import { lstatSync, unlinkSync } from 'node:fs';
import { once } from 'node:events';
import type { Server, Socket } from 'node:net';
import { createServer } from 'node:net';
import { join } from 'node:path';
import { PreflexError, invalidOption, isForeseen } from '../../errors.ts';
import { prepareStateDirectory } from '../state-directory.ts';
import { DEFAULT_CONTROL_DIRECTORY, askDaemon, isRefused, sweepSocket } from './client.ts';
import type { ControlAnswer, ControlArguments } from './protocol.ts';
import {
  CONTROL_NAME_RULE,
  LineSplitter,
  MAX_ANSWER_BYTES,
  MAX_REQUEST_BYTES,
  SOCKET_SUFFIX,
  isControlName,
  parseRequest,
} from './protocol.ts';

/** Does what a request asks for. Throws a PreflexError to refuse. */
export type ControlOperation = (args: ControlArguments) => unknown;

/** How to open a socket. */
export interface ControlServerOptions {
  /** Folder, made with mode 0700 if missing. Default /run/preflex. */
  readonly directory?: string | undefined;
  /** Name of the daemon on this machine. */
  readonly name: string;
  /** Whether the user chose the name: then one that is taken is an error; otherwise -2, -3, ... is put behind it. */
  readonly isNameGiven: boolean;
  readonly role: 'gateway' | 'host';
  /** Operations by name; `hello` is added. */
  readonly operations: Readonly<Record<string, ControlOperation>>;
  /** A connection on which nothing moves for so long is ended, ms; default 30,000. */
  readonly idleMs?: number | undefined;
}

/** Connections at the same time; more are closed at once. */
export const MAX_CONNECTIONS = 16;
const IDLE_MS = 30_000;
const MAX_TRIES = 100;
/** Longest path of a Unix socket. @see unix(7) */
const MAX_PATH_BYTES = 107;

/** An open control socket. */
export class ControlServer {
  /** The name that it got. */
  readonly name: string;
  readonly path: string;
  readonly #server: Server;
  readonly #sockets = new Set<Socket>();
  readonly #operations: Readonly<Record<string, ControlOperation>>;
  readonly #inode: number;
  readonly #idleMs: number;

  /**
   * Opens the socket, after removing a file of its name that nobody listens at.
   *
   * @throws PreflexError ERR_INVALID_OPTION for a name that cannot be one; ERR_SYSTEM when a live daemon has it, or the
   *   folder cannot be used
   */
  static async open(options: ControlServerOptions): Promise<ControlServer> {
    if (!isControlName(options.name)) throw invalidOption('name', options.name, CONTROL_NAME_RULE);
    const directory = options.directory ?? DEFAULT_CONTROL_DIRECTORY;
    prepareStateDirectory(directory, 'control sockets');
    for (let i = 1; i <= (options.isNameGiven ? 1 : MAX_TRIES); i++) {
      const name = i === 1 ? options.name : `${options.name}-${i}`;
      const path = join(directory, name + SOCKET_SUFFIX);
      if (Buffer.byteLength(path) > MAX_PATH_BYTES)
        throw invalidOption('name', name, `a name whose path ${path} has ${MAX_PATH_BYTES} bytes at most`);
      if (await isTaken(path)) continue;
      const server = await listen(path);
      if (server !== undefined) return new ControlServer(name, path, server, options);
    }
    throw new PreflexError(
      'ERR_SYSTEM',
      `A daemon with the name ${options.name} is running already: choose another with --name.`,
    );
  }

  private constructor(name: string, path: string, server: Server, options: ControlServerOptions) {
    this.name = name;
    this.path = path;
    this.#server = server;
    this.#idleMs = options.idleMs ?? IDLE_MS;
    this.#inode = lstatSync(path).ino;
    const hello = { name, role: options.role, pid: process.pid, startedAt: new Date().toISOString() };
    this.#operations = { hello: () => hello, ...options.operations };
    server.maxConnections = MAX_CONNECTIONS;
    // A connection could not be accepted; whoever asked tries again.
    server.on('error', () => undefined);
    server.on('connection', (socket) => {
      this.#serve(socket);
    });
  }

  /** Ends all connections and removes the file. The second call does nothing. */
  close(): void {
    if (!this.#server.listening) return;
    for (const socket of this.#sockets) socket.destroy();
    this.#server.close();
    try {
      // Not one that another daemon has put there since.
      if (lstatSync(this.path).ino === this.#inode) unlinkSync(this.path);
    } catch {
      // removed by closing, or by somebody else
    }
  }

  #serve(socket: Socket): void {
    this.#sockets.add(socket);
    const splitter = new LineSplitter(MAX_REQUEST_BYTES);
    socket.setTimeout(this.#idleMs, () => socket.destroy());
    socket.on('close', () => this.#sockets.delete(socket));
    socket.on('error', () => undefined); // it went away; 'close' follows
    socket.on('data', (chunk) => {
      let lines: string[];
      try {
        lines = splitter.push(chunk);
      } catch (error) {
        const { message } = error as Error;
        socket.removeAllListeners('data');
        socket.end(
          `${JSON.stringify({ ok: false, message: `request: ${message}` } satisfies ControlAnswer)}\n`,
        );
        return;
      }
      socket.pause();
      void this.#answerAll(socket, lines);
    });
  }

  /** Answers in turn, each when the one before was taken; then reads on. */
  async #answerAll(socket: Socket, lines: readonly string[]): Promise<void> {
    for (const line of lines) {
      await this.#answer(socket, line);
      if (socket.writableNeedDrain) await drained(socket);
      if (socket.destroyed) return;
    }
    socket.resume();
  }

  async #answer(socket: Socket, line: string): Promise<void> {
    let answer: ControlAnswer;
    try {
      const { op, args } = parseRequest(line);
      const operation = Object.hasOwn(this.#operations, op) ? this.#operations[op] : undefined;
      if (operation === undefined)
        throw invalidOption('op', op, `one of ${Object.keys(this.#operations).join(', ')}`);
      answer = { ok: true, result: await operation(args) };
    } catch (error) {
      if (!isForeseen(error)) throw error;
      answer = { ok: false, message: error.message };
    }
    if (socket.destroyed) return;
    const text = JSON.stringify(answer);
    const tooLong = `the answer has more than ${MAX_ANSWER_BYTES} bytes: ask for fewer with limit`;
    const isTooLong = Buffer.byteLength(text) > MAX_ANSWER_BYTES;
    socket.write(`${isTooLong ? JSON.stringify({ ok: false, message: tooLong }) : text}\n`);
  }
}

/** Waits until everything written was taken, or the connection is gone. */
async function drained(socket: Socket): Promise<void> {
  const waiting = new AbortController();
  const { signal } = waiting;
  await Promise.race([once(socket, 'drain', { signal }), once(socket, 'close', { signal })]).catch(
    () => undefined,
  );
  waiting.abort();
}

/** Whether a daemon listens there; a stale file is removed. */
async function isTaken(path: string): Promise<boolean> {
  try {
    await askDaemon(path, 'hello');
    return true;
  } catch (error) {
    if (((error as Error).cause as NodeJS.ErrnoException | undefined)?.code === 'ENOENT') return false;
    return !(isRefused(error) && sweepSocket(path));
  }
}

/** Listens, or undefined when another was faster. */
async function listen(path: string): Promise<Server | undefined> {
  const server = createServer();
  // The file is made by listen() itself, so with this mask nobody else can connect at any time.
  const mask = process.umask(0o177);
  try {
    server.listen(path);
  } finally {
    process.umask(mask);
  }
  try {
    await once(server, 'listening');
    return server;
  } catch (error) {
    const { code } = error as NodeJS.ErrnoException;
    if (code === 'EADDRINUSE') return undefined;
    throw new PreflexError('ERR_SYSTEM', `${path}: the control socket cannot be opened (${code})`, {
      cause: error,
    });
  }
}
