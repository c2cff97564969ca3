/**
 * One place that undoes everything: what a lab or a test makes is registered here and undone once, in reverse order,
 * when it closes, on SIGINT, SIGTERM and SIGHUP, on an uncaught error, and at the latest when the process exits.
 *
 * ```
 *   close()                     signal / uncaught error / exit
 *      |                                   |
 *   end programs (SIGTERM, wait, SIGKILL)  the same, without awaiting
 *      |                                   |
 *   undo the rest, last made first         undo what is synchronous, last made first
 * ```
 * A signal that comes while all this is under way waits for its end, or hastens it: `close` is then finished without awaiting.
 */
import type { ChildProcess } from 'node:child_process';
import { PreflexError } from '../errors.ts';
import type { SpawnOptions } from './processes.ts';
import { DEFAULT_GRACE_MS, endProcess, endProcessesNow, spawnIn } from './processes.ts';
import { createNamespace, deleteNamespace, sweepStaleNamespaces } from './namespaces.ts';

/** Options of a {@link LabScope}. */
export interface LabScopeOptions {
  /** Milliseconds a program may take after SIGTERM. Default 3000. */
  readonly graceMs?: number | undefined;
  /** Remove what dead processes of this project left before. Default true. */
  readonly sweep?: boolean | undefined;
}

const SIGNALS: readonly NodeJS.Signals[] = ['SIGINT', 'SIGTERM', 'SIGHUP'];
const openScopes = new Set<LabScope>();

/** A scope that owns namespaces, programs and other things to undo. */
export class LabScope {
  readonly #graceMs: number;
  readonly #undos: { readonly what: string; readonly undo: () => void | Promise<void> }[] = [];
  readonly #children = new Set<ChildProcess>();
  #isClosed = false;

  constructor(options: LabScopeOptions = {}) {
    this.#graceMs = options.graceMs ?? DEFAULT_GRACE_MS;
    if (options.sweep ?? true) sweepStaleNamespaces();
    openScopes.add(this);
    if (openScopes.size === 1) installHandlers();
  }

  /** Makes a namespace (`pfx-<pid>-<role>`, loopback up) that is removed when the scope closes. */
  namespace(role: string): string {
    this.#requireOpen();
    const name = createNamespace(role);
    this.defer(`namespace ${name}`, () => deleteNamespace(name));
    return name;
  }

  /** Starts a program that is ended when the scope closes; its whole process group, before any namespace goes. */
  spawn(argv: readonly string[], options: SpawnOptions = {}): ChildProcess {
    this.#requireOpen();
    const child = spawnIn(argv, options);
    this.#children.add(child);
    child.once('exit', () => this.#children.delete(child));
    return child;
  }

  /**
   * Registers something to undo. What returns a promise is awaited by {@link close}; on signals and exit it is only
   * started, so undo by synchronous calls what must not stay behind.
   */
  defer(what: string, undo: () => void | Promise<void>): void {
    this.#requireOpen();
    this.#undos.push({ what, undo });
  }

  /** Ends every program, then undoes everything in reverse order. The second call does nothing. */
  async close(): Promise<void> {
    if (this.#isClosed) return;
    this.#isClosed = true;
    await Promise.all([...this.#children].map((child) => endProcess(child, this.#graceMs)));
    const failures: unknown[] = [];
    for (let entry = this.#undos.pop(); entry !== undefined; entry = this.#undos.pop()) {
      try {
        await entry.undo();
      } catch (error) {
        failures.push(new Error(`could not undo ${entry.what}: ${messageOf(error)}`, { cause: error }));
      }
    }
    this.#leave();
    throwAll(failures);
  }

  /**
   * {@link close} without awaiting, for signals and exit: blocks at most the grace time plus one second. Does what is left
   * to do where that has begun.
   */
  closeNow(): void {
    this.#isClosed = true;
    endProcessesNow([...this.#children], this.#graceMs);
    const failures: unknown[] = [];
    for (let entry = this.#undos.pop(); entry !== undefined; entry = this.#undos.pop()) {
      const { what, undo } = entry;
      const fail = (error: unknown): void => {
        failures.push(new Error(`could not undo ${what}: ${messageOf(error)}`, { cause: error }));
      };
      try {
        const result = undo();
        if (result instanceof Promise) result.catch(fail);
      } catch (error) {
        fail(error);
      }
    }
    this.#leave();
    throwAll(failures);
  }

  /** All is undone: from now on signals take their default effect. */
  #leave(): void {
    if (openScopes.delete(this) && openScopes.size === 0) removeHandlers();
  }

  #requireOpen(): void {
    if (this.#isClosed)
      throw new PreflexError('ERR_INVALID_OPTION', 'this lab scope is closed already; make a new one');
  }
}

/** Opens a scope, runs `body` with it and closes it whatever happens. */
export async function withLabScope<T>(
  body: (scope: LabScope) => Promise<T>,
  options: LabScopeOptions = {},
): Promise<T> {
  const scope = new LabScope(options);
  try {
    return await body(scope);
  } finally {
    await scope.close();
  }
}

function closeAllNow(): void {
  for (const scope of [...openScopes].reverse()) {
    try {
      scope.closeNow();
    } catch (error) {
      process.stderr.write(`${messageOf(error)}\n`);
    }
  }
}

function onSignal(signal: NodeJS.Signals): void {
  closeAllNow();
  // The handlers are gone now: the signal takes its default effect, and the shell sees why the process ended.
  process.kill(process.pid, signal);
}

function installHandlers(): void {
  for (const signal of SIGNALS) process.on(signal, onSignal);
  process.on('exit', closeAllNow);
  // The monitor sees the error first and leaves it to take its default effect.
  process.on('uncaughtExceptionMonitor', closeAllNow);
}

function removeHandlers(): void {
  for (const signal of SIGNALS) process.off(signal, onSignal);
  process.off('exit', closeAllNow);
  process.off('uncaughtExceptionMonitor', closeAllNow);
}

function throwAll(failures: readonly unknown[]): void {
  if (failures.length === 0) return;
  const error = new PreflexError('ERR_SYSTEM', failures.map(messageOf).join('\n'));
  error.cause = failures.length === 1 ? failures[0] : new AggregateError(failures);
  throw error;
}

function messageOf(error: unknown): string {
  return error instanceof Error ? error.message : String(error);
}
