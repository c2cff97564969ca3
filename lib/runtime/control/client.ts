/**
 * The asking side of the control sockets: finds the daemons of this machine, and asks one.
 */
import { readdirSync, statSync, unlinkSync } from 'node:fs';
import { connect } from 'node:net';
import { join } from 'node:path';
import { PreflexError } from '../../errors.ts';
import { DEFAULT_JOURNAL_DIRECTORY } from '../undo-journal.ts';
import type { ControlArguments } from './protocol.ts';
import { LineSplitter, MAX_ANSWER_BYTES, SOCKET_SUFFIX, parseAnswer } from './protocol.ts';

/** Where control sockets are by default. */
export const DEFAULT_CONTROL_DIRECTORY = DEFAULT_JOURNAL_DIRECTORY;

/** What every daemon says of itself. */
export interface DaemonHello {
  readonly name: string;
  readonly role: 'gateway' | 'host';
  readonly pid: number;
  /** ISO 8601. */
  readonly startedAt: string;
}

/** A daemon that answered. */
export interface FoundDaemon extends DaemonHello {
  readonly path: string;
}

const ANSWER_MS = 5000;
/** A socket file is stale when nobody listens and it is older than this: a younger one may be in the making. */
const STALE_MS = 2000;

/**
 * Asks a daemon.
 *
 * @param limitMs - time for the answer
 * @throws PreflexError ERR_SYSTEM when nobody listens or no answer comes; ERR_INVALID_OPTION with the daemon's own words
 *   when it refuses
 */
export async function askDaemon(
  path: string,
  op: string,
  args: ControlArguments = {},
  limitMs = ANSWER_MS,
): Promise<unknown> {
  const answer = parseAnswer(await exchangeLine(path, JSON.stringify({ op, args }), limitMs));
  if (answer.ok) return answer.result;
  throw new PreflexError('ERR_INVALID_OPTION', answer.message);
}

/**
 * The daemons whose sockets answer, by name. Socket files that nobody listens at any more are removed.
 *
 * @param directory - default {@link DEFAULT_CONTROL_DIRECTORY}; one that is not there has no daemons
 */
export async function findDaemons(directory = DEFAULT_CONTROL_DIRECTORY): Promise<FoundDaemon[]> {
  let files: string[];
  try {
    files = readdirSync(directory).filter((file) => file.endsWith(SOCKET_SUFFIX));
  } catch (error) {
    const { code } = error as NodeJS.ErrnoException;
    if (code === 'ENOENT') return [];
    throw new PreflexError(
      'ERR_MISSING_REQUIREMENT',
      `${directory}: the control sockets cannot be listed (${code}): run it as the user of the daemons, with sudo.`,
    );
  }
  const found = await Promise.all(
    files.sort().map(async (file): Promise<FoundDaemon | undefined> => {
      const path = join(directory, file);
      try {
        return { ...((await askDaemon(path, 'hello')) as DaemonHello), path };
      } catch (error) {
        if (isRefused(error)) sweepSocket(path);
        return undefined;
      }
    }),
  );
  return found.filter((daemon) => daemon !== undefined);
}

/** Whether an error says that nobody listens at a socket file. */
export function isRefused(error: unknown): boolean {
  const { code } = ((error as Error).cause ?? {}) as NodeJS.ErrnoException;
  return code === 'ECONNREFUSED';
}

/** Removes a socket file that nobody listens at, unless it is young. Returns whether it is gone. */
export function sweepSocket(path: string): boolean {
  try {
    if (Date.now() - statSync(path).mtimeMs < STALE_MS) return false;
    unlinkSync(path);
  } catch {
    // somebody else was faster
  }
  return true;
}

function exchangeLine(path: string, line: string, limitMs: number): Promise<string> {
  return new Promise((resolve, reject) => {
    const splitter = new LineSplitter(MAX_ANSWER_BYTES);
    const socket = connect(path);
    const fail = (what: string, cause?: unknown): void => {
      finish();
      reject(new PreflexError('ERR_SYSTEM', `${path}: ${what}`, { cause }));
    };
    const timer = setTimeout(() => {
      fail(`no answer within ${limitMs / 1000} s`);
    }, limitMs);
    const finish = (): void => {
      clearTimeout(timer);
      socket.destroy();
    };
    socket.on('error', (error: NodeJS.ErrnoException) => {
      fail(`the daemon cannot be asked (${error.code})`, error);
    });
    socket.on('close', () => {
      fail('the connection ended without an answer');
    });
    socket.on('data', (chunk) => {
      try {
        const [answer] = splitter.push(chunk);
        if (answer === undefined) return;
        finish();
        resolve(answer);
      } catch (error) {
        fail((error as Error).message);
      }
    });
    socket.write(`${line}\n`);
  });
}
