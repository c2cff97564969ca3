/** What both daemons do alike: a line of what was set up, status lines, counters on SIGUSR1 and at exit. */
import { handleSignals } from '../runtime/signals.ts';
import { note, print, printJson } from './output.ts';

/** A running daemon as its command sees it. */
export interface Daemon<Status> {
  readonly json: boolean;
  /** Time between two status lines; without it they come only when the caller asks. */
  readonly intervalSeconds?: number;
  /** What was set up, a line each. */
  readonly setUp: readonly string[];
  /** False when the daemon lost what it needs and has to end. */
  readonly isHealthy: () => boolean;
  /** Follows changes of the machine; called every few seconds. */
  readonly refresh: () => void;
  readonly status: () => Status;
  /** The status in one line. */
  readonly describe: (status: Status) => string;
  /** Ends it; the last status. */
  readonly stop: () => Status;
}

const REFRESH_MS = 2000;

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
  const stop = (): void => {
    clearInterval(statusTimer);
    clearInterval(refreshTimer);
    removeHandlers();
    show('exit', daemon.stop(), true);
  };
  const removeHandlers = handleSignals({
    stop,
    showCounters: () => {
      show('counters', daemon.status(), true);
    },
  });
  const showStatus = (): void => {
    show('status', daemon.status(), false);
  };
  const statusTimer =
    daemon.intervalSeconds === undefined ? undefined : setInterval(showStatus, daemon.intervalSeconds * 1000);
  const refreshTimer = setInterval(() => {
    if (daemon.isHealthy()) {
      daemon.refresh();
      return;
    }
    note('preflex: a TUN of this daemon was removed; it ends and leaves the traffic to the kernel.');
    process.exitCode = 1;
    stop();
  }, REFRESH_MS);
  if (daemon.json) printJson({ event: 'ready', pid: process.pid, setUp: daemon.setUp });
  else for (const line of daemon.setUp) print(`preflex: ${line}`);
  return showStatus;
}
