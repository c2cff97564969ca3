/**
 * The processes of the laboratory: the daemons by the real command line, read through its `--json` lines, and the
 * laboratory's own modules, which speak the same way and take commands, one JSON object a line, on standard input.
 */
import type { ChildProcess } from 'node:child_process';
import { fileURLToPath } from 'node:url';
import { createInterface } from 'node:readline';
import { PreflexError } from '../../lib/errors.ts';
import type { LabScope } from '../../lib/netns/lab-scope.ts';

/** One line that a daemon wrote: `ready`, `status`, `counters` or `exit`, with what it says. */
export interface DaemonLine {
  readonly event: string;
  readonly [key: string]: unknown;
}

/** What a `status`, `counters` or `exit` line says, without the line's own fields. */
export function statusOf<T>(line: DaemonLine): T {
  const status: Record<string, unknown> = { ...line };
  delete status['event'];
  delete status['time'];
  return status as T;
}

const START_MS = 60_000;
/** For answers and ends. A daemon that ends takes down what it set up, with a dozen commands. */
const ANSWER_MS = 30_000;

/**
 * Program and arguments that run this project's command line: from where this file is, built or not, or from the folder
 * named by the environment variable PREFLEX_COMPILED, which holds `lib` and `namespaces-lab` compiled from this source.
 */
export function preflexArgv(args: readonly string[]): string[] {
  return [...nodeArgv('lib/cli/main'), ...args];
}

/** Program and arguments that run a module of this project, given relative to the folder namespaces-lab, without extension. */
export function labModuleArgv(module: string, args: readonly string[] = []): string[] {
  return [...nodeArgv(`namespaces-lab/${module}`), ...args];
}

function nodeArgv(path: string): string[] {
  const compiled = process.env['PREFLEX_COMPILED'];
  if (compiled !== undefined) return [process.execPath, `${compiled}/${path}.js`];
  const here = import.meta.url;
  const isSource = here.endsWith('.ts');
  const file = fileURLToPath(new URL(`../../${path}.${isSource ? 'ts' : 'js'}`, here));
  return isSource
    ? [process.execPath, '--import', import.meta.resolve('tsx'), file]
    : [process.execPath, file];
}

/** A running `preflex host` or `preflex gateway`, or a module of the laboratory. */
export class PreflexProcess {
  readonly child: ChildProcess;
  readonly lines: DaemonLine[] = [];
  #stderr = '';
  readonly #listeners: ((line: DaemonLine) => void)[] = [];
  #waiters: { event: string; from: number; resolve: (line: DaemonLine) => void }[] = [];

  private constructor(child: ChildProcess) {
    this.child = child;
    child.stderr?.setEncoding('utf8').on('data', (text: string) => {
      this.#stderr = (this.#stderr + text).slice(-20_000);
    });
    if (child.stdout) createInterface({ input: child.stdout }).on('line', (text) => this.#take(text));
  }

  /**
   * Starts `preflex ...args --json` in a namespace and waits until it is ready.
   *
   * @param before - program and arguments that start it in turn, by exec: `env A=B`, `setpriv ...`
   */
  static async start(
    scope: LabScope,
    netns: string,
    args: readonly string[],
    before: readonly string[] = [],
  ): Promise<PreflexProcess> {
    const daemon = new PreflexProcess(
      scope.spawn([...before, ...preflexArgv([...args, '--json'])], { netns }),
    );
    await daemon.waitFor('ready', 0, START_MS);
    return daemon;
  }

  /**
   * Starts a module of the laboratory in a namespace and waits until it is ready. It has a standard input, and ends
   * with it.
   *
   * @param module - as for {@link labModuleArgv}
   */
  static async startModule(
    scope: LabScope,
    netns: string,
    module: string,
    args: readonly string[] = [],
  ): Promise<PreflexProcess> {
    const child = scope.spawn(labModuleArgv(module, args), { netns, stdio: ['pipe', 'pipe', 'pipe'] });
    // It may end while a command is on its way: its exit tells.
    child.stdin?.on('error', () => undefined);
    const started = new PreflexProcess(child);
    await started.waitFor('ready', 0, START_MS);
    return started;
  }

  /** Sends a command to a module of the laboratory. */
  send(command: object): void {
    this.child.stdin?.write(`${JSON.stringify(command)}\n`);
  }

  /** Sends a command and waits for the line that answers it. */
  ask(command: object, event: string, limitMs = ANSWER_MS): Promise<DaemonLine> {
    const from = this.lines.length;
    this.send(command);
    return this.waitFor(event, from, limitMs);
  }

  /** Calls back for each line as it comes. */
  onLine(callback: (line: DaemonLine) => void): void {
    this.#listeners.push(callback);
  }

  /** What the daemon wrote to standard error so far. */
  get stderr(): string {
    return this.#stderr;
  }

  /** The first line with this event at or after position `from` of {@link lines}. */
  waitFor(event: string, from: number, limitMs = ANSWER_MS): Promise<DaemonLine> {
    const found = this.lines.slice(from).find((line) => line.event === event);
    if (found) return Promise.resolve(found);
    return new Promise((resolve, reject) => {
      const fail = (what: string) => {
        clearTimeout(timer);
        this.child.off('close', onEnd);
        reject(
          new PreflexError('ERR_SYSTEM', `preflex ${what} before it said "${event}"\n${this.#stderr.trim()}`),
        );
      };
      const onEnd = (code: number | null, signal: string | null) => {
        fail(`ended (${signal ?? `exit code ${code}`})`);
      };
      const timer = setTimeout(() => {
        fail(`was given ${limitMs} ms`);
      }, limitMs);
      // Not at its exit: the last lines may still be in the pipe.
      this.child.once('close', onEnd);
      this.#waiters.push({
        event,
        from,
        resolve: (line) => {
          clearTimeout(timer);
          this.child.off('close', onEnd);
          resolve(line);
        },
      });
    });
  }

  /** The daemon's counters now (SIGUSR1). */
  counters(): Promise<DaemonLine> {
    const from = this.lines.length;
    this.child.kill('SIGUSR1');
    return this.waitFor('counters', from);
  }

  /** Ends the daemon in an orderly way (SIGTERM) and returns its last line, the counters at exit. */
  async stop(): Promise<DaemonLine> {
    const from = this.lines.length;
    this.child.kill('SIGTERM');
    const last = await this.waitFor('exit', from);
    if (this.child.exitCode === null && this.child.signalCode === null) {
      await new Promise((resolve) => this.child.once('exit', resolve));
    }
    return last;
  }

  #take(text: string): void {
    let line: DaemonLine;
    try {
      line = JSON.parse(text) as DaemonLine;
    } catch {
      this.#stderr += `not JSON: ${text}\n`;
      return;
    }
    const position = this.lines.push(line) - 1;
    const waiting = this.#waiters;
    this.#waiters = waiting.filter((waiter) => waiter.event !== line.event || position < waiter.from);
    for (const waiter of waiting) {
      if (!this.#waiters.includes(waiter)) waiter.resolve(line);
    }
    for (const listener of this.#listeners) listener(line);
  }
}
