/**
 * The three ways this project calls iproute2's `ip`: a command, a question answered in JSON, a batch.
 */
import { PreflexError } from '../errors.ts';
import type { Where } from './command.ts';
import { commandLine, run } from './command.ts';

/** An IP version, as `ip -4` and `ip -6` name it. */
export type Family = 4 | 6;

/** Runs `ip ARGS` in a namespace and returns what it printed. */
export function ip(args: readonly string[], where: Where = {}): string {
  return run(ipArgv(args, where));
}

/**
 * Runs `ip -j ARGS` and parses the answer; an empty answer is an empty list.
 * The caller states the shape; fields that iproute2 leaves out are undefined.
 */
export function ipJson<T>(args: readonly string[], where: Where = {}): T[] {
  const argv = ipArgv(['-j', ...args], where);
  const text = run(argv).trim();
  if (text === '') return [];
  try {
    return JSON.parse(text) as T[];
  } catch (cause) {
    throw new PreflexError(
      'ERR_SYSTEM',
      `${commandLine(argv)}: the answer is not JSON: ${text.slice(0, 200)}`,
      { cause },
    );
  }
}

/**
 * Runs many `ip` commands in one process (`ip -batch -`): 100,000 routes take about two seconds.
 * Stops at the first that fails, unless `keepGoing`; what came before it stays done.
 *
 * @param commands - each the words after `ip`, for example `['route', 'add', ...]`; no word may hold white space
 */
export function ipBatch(
  commands: readonly (readonly string[])[],
  where: Where & { readonly family?: Family; readonly keepGoing?: boolean } = {},
): void {
  if (commands.length === 0) return;
  const options: string[] = [];
  if (where.family !== undefined) options.push(`-${where.family}`);
  if (where.keepGoing === true) options.push('-force');
  const lines = commands.map((words) => {
    for (const word of words) {
      // iproute2's batch reader splits on white space and knows quotes and comments: refuse rather than quote.
      if (!/^[\w@%+=:,./*-]+$/.test(word)) {
        throw new PreflexError(
          'ERR_INVALID_OPTION',
          `ip batch: ${JSON.stringify(word)} is not allowed; it takes plain words`,
        );
      }
    }
    return words.join(' ');
  });
  run(ipArgv([...options, '-batch', '-'], where), { input: `${lines.join('\n')}\n` });
}

/** The argv of `ip ARGS` in a namespace: `ip -n NAME ARGS`. */
export function ipArgv(args: readonly string[], where: Where = {}): string[] {
  return where.netns === undefined ? ['ip', ...args] : ['ip', '-n', where.netns, ...args];
}
