/**
 * What both daemons do alike: a line of what was set up, status lines, counters on SIGUSR1 and at exit, the configuration
 * file again on SIGHUP.
 */
import { PreflexError } from '../errors.ts';
import type { ControlServer, ControlServerOptions } from '../runtime/control/server.ts';
import { handleSignals } from '../runtime/signals.ts';
import { note, print, printJson } from './output.ts';

/** A running daemon as its command sees it. */
export interface Daemon<Status> {
  readonly json: boolean;
  /** Its control socket, closed when it ends. */
  readonly control: ControlServer;
  /** Time between two status lines; without it they come only when the caller asks. */
  readonly intervalSeconds?: () => number;
  /** What was set up, a line each. */
  readonly setUp: readonly string[];
  /** False when the daemon lost what it needs and has to end. */
  readonly isHealthy: () => boolean;
  /** Follows changes of the machine; called every few seconds. */
  readonly refresh: () => void;
  readonly status: () => Status;
  /** The status in one line. */
  readonly describe: (status: Status) => string;
  /** Reads the configuration file again; names of the fields that changed. Without it SIGHUP ends the daemon. */
  readonly reload?: (() => Promise<readonly string[]>) | undefined;
  /** Ends it; the last status. */
  readonly stop: () => Status;
}

const REFRESH_MS = 2000;

/**
 * Opens the control socket of a daemon that runs.
 *
 * @param options.name - as the user gave it
 * @param options.standard - the name where the user gave none
 * @param stop - ends the daemon, when there can be no socket
 */
export async function openControl(
  options: Pick<ControlServerOptions, 'operations' | 'role'> & {
    readonly name: string | undefined;
    readonly standard: string;
  },
  stop: () => void,
): Promise<ControlServer> {
  const { ControlServer } = await import('../runtime/control/server.ts');
  const { name, standard, ...rest } = options;
  const named = { name: name ?? standard.replaceAll(/[^\w.:-]/g, '_'), isNameGiven: name !== undefined };
  try {
    return await ControlServer.open({ ...rest, ...named });
  } catch (error) {
    stop();
    throw error;
  }
}

/**
 * Shows the daemon until a signal ends it; then it stops and the process can exit.
 *
 * @returns writes a status line
 */
export function runDaemon<Status extends object>(daemon: Daemon<Status>): () => void {
  const show = (event: string, status: Status, isLong: boolean): void => {
    if (daemon.json) printJson({ event, time: new Date().toISOString(), ...status });
    else if (isLong) print(`${event}: ${JSON.stringify(status, null, 2)}`);
    else print(daemon.describe(status));
  };
  let statusTimer: NodeJS.Timeout | undefined;
  let isStopped = false;
  const stop = (): void => {
    isStopped = true;
    daemon.control.close();
    clearInterval(statusTimer);
    clearInterval(refreshTimer);
    removeHandlers();
    show('exit', daemon.stop(), true);
  };
  const say = (event: string, details: object, line: string): void => {
    if (daemon.json) printJson({ event, time: new Date().toISOString(), ...details });
    else print(`preflex: ${line}`);
  };
  const reload = async (read: () => Promise<readonly string[]>): Promise<void> => {
    try {
      const changed = await read();
      if (isStopped) return;
      startStatusTimer();
      say('reload', { ok: true, changed }, `reloaded, changed: ${changed.join(', ') || 'nothing'}`);
    } catch (error) {
      if (!(error instanceof PreflexError)) throw error;
      const { message } = error;
      say('reload', { ok: false, message }, `not reloaded, what was before stays in force:\n${message}`);
    }
  };
  const { reload: read } = daemon;
  const removeHandlers = handleSignals({
    stop,
    reload: read === undefined ? undefined : () => void reload(read),
    showCounters: () => {
      show('counters', daemon.status(), true);
    },
  });
  const showStatus = (): void => {
    show('status', daemon.status(), false);
  };
  const startStatusTimer = (): void => {
    clearInterval(statusTimer);
    if (daemon.intervalSeconds !== undefined)
      statusTimer = setInterval(showStatus, daemon.intervalSeconds() * 1000);
  };
  startStatusTimer();
  const refreshTimer = setInterval(() => {
    if (daemon.isHealthy()) {
      daemon.refresh();
      return;
    }
    note('preflex: a TUN of this daemon was removed; it ends and leaves the traffic to the kernel.');
    process.exitCode = 1;
    stop();
  }, REFRESH_MS);
  // A terminal that is gone must not end a daemon that reloads on SIGHUP.
  for (const stream of [process.stdout, process.stderr]) stream.on('error', () => undefined);
  if (daemon.json)
    printJson({ event: 'ready', pid: process.pid, name: daemon.control.name, setUp: daemon.setUp });
  else for (const line of daemon.setUp) print(`preflex: ${line}`);
  return showStatus;
}
