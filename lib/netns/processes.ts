/**
 * Programs inside namespaces: run to the end, or started and later ended by process id.
 */
import type { ChildProcess, StdioOptions } from 'node:child_process';
import { execFile, spawn } from 'node:child_process';
import type { Where } from './command.ts';
import { CommandError, inNamespace, startFailure } from './command.ts';
import { blockFor, isAlive } from './process-info.ts';

/** How long a program may take after SIGTERM before it gets SIGKILL, in milliseconds. */
export const DEFAULT_GRACE_MS = 3000;

/** What a program left behind. */
export interface ProgramResult {
  readonly stdout: string;
  readonly stderr: string;
}

/** How to run a program to its end. */
export interface ExecOptions extends Where {
  /** Milliseconds after which it is killed and the promise rejects. Default 60000. */
  readonly timeoutMs?: number | undefined;
  readonly env?: NodeJS.ProcessEnv | undefined;
  readonly cwd?: string | undefined;
}

/** How to start a program. */
export interface SpawnOptions extends Where {
  readonly stdio?: StdioOptions | undefined;
  readonly env?: NodeJS.ProcessEnv | undefined;
  readonly cwd?: string | undefined;
}

/** Runs a program in a namespace without blocking. @throws CommandError when it fails or takes too long */
export function execIn(argv: readonly string[], options: ExecOptions = {}): Promise<ProgramResult> {
  const full = inNamespace(argv, options);
  return new Promise((resolve, reject) => {
    execFile(
      full[0] ?? '',
      full.slice(1),
      {
        timeout: options.timeoutMs ?? 60_000,
        killSignal: 'SIGKILL',
        maxBuffer: 256 * 1024 * 1024,
        ...(options.env === undefined ? {} : { env: options.env }),
        ...(options.cwd === undefined ? {} : { cwd: options.cwd }),
      },
      (error, stdout, stderr) => {
        if (error === null) resolve({ stdout, stderr });
        else if (typeof error.code === 'string') reject(startFailure(full, error));
        else
          reject(
            new CommandError(full, error.killed === true ? null : (error.code ?? null), stderr || stdout),
          );
      },
    );
  });
}

/**
 * Starts a program in a namespace, as the leader of a process group of its own: `ip netns exec` replaces itself by the
 * program, so `child.pid` is the program's, and {@link endProcess} reaches its children too.
 */
export function spawnIn(argv: readonly string[], options: SpawnOptions = {}): ChildProcess {
  const full = inNamespace(argv, options);
  return spawn(full[0] ?? '', full.slice(1), {
    detached: true,
    stdio: options.stdio ?? ['ignore', 'pipe', 'pipe'],
    ...(options.env === undefined ? {} : { env: options.env }),
    ...(options.cwd === undefined ? {} : { cwd: options.cwd }),
  });
}

/** Ends a program started by {@link spawnIn}: SIGTERM, then SIGKILL after `graceMs`; resolves when it has ended. */
export function endProcess(child: ChildProcess, graceMs: number = DEFAULT_GRACE_MS): Promise<void> {
  if (hasEnded(child)) return Promise.resolve();
  return new Promise((resolve) => {
    const kill = setTimeout(() => signalGroup(child, 'SIGKILL'), graceMs);
    child.once('exit', () => {
      clearTimeout(kill);
      resolve();
    });
    signalGroup(child, 'SIGTERM');
  });
}

/** The same as {@link endProcess} for many, without awaiting anything: for exit and signal handlers. */
export function endProcessesNow(children: readonly ChildProcess[], graceMs: number = DEFAULT_GRACE_MS): void {
  const running = (): ChildProcess[] =>
    children.filter((child) => !hasEnded(child) && isAlive(child.pid ?? 0));
  for (const child of running()) signalGroup(child, 'SIGTERM');
  waitUntil(() => running().length === 0, graceMs);
  for (const child of running()) signalGroup(child, 'SIGKILL');
  waitUntil(() => running().length === 0, 1000);
}

function hasEnded(child: ChildProcess): boolean {
  return child.pid === undefined || child.exitCode !== null || child.signalCode !== null;
}

function signalGroup(child: ChildProcess, signal: NodeJS.Signals): void {
  if (child.pid === undefined) return;
  try {
    process.kill(-child.pid, signal);
  } catch {
    try {
      process.kill(child.pid, signal); // started without a group of its own
    } catch {
      // ended meanwhile
    }
  }
}

function waitUntil(isDone: () => boolean, limitMs: number): void {
  const deadline = performance.now() + limitMs;
  while (!isDone() && performance.now() < deadline) blockFor(5);
}
