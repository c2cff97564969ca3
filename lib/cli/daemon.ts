/**
 * What both daemons do alike: a line of what was set up, status lines, counters on SIGUSR1 and at exit, the configuration
 * file again on SIGHUP, the log file again on SIGUSR2, and word to a service manager.
 */
import type { Command } from 'commander';
import { Option } from 'commander';
import { isForeseen } from '../errors.ts';
import type { ControlServer, ControlServerOptions } from '../runtime/control/server.ts';
import type { DaemonLog } from '../runtime/daemon-log.ts';
import type { EventLog } from '../runtime/events.ts';
import { LogSink, STANDARD_OUTPUT } from '../runtime/log-sink.ts';
import type { ServiceConfig } from '../runtime/service-config.ts';
import { LOG_LEVELS, mergeService } from '../runtime/service-config.ts';
import { handleSignals } from '../runtime/signals.ts';
import { ServiceManager } from '../runtime/service-manager.ts';
import { note } from './output.ts';
import type { WebListeners } from './web.ts';

/** A running daemon as its command sees it. */
export interface Daemon<Status> {
  readonly json: boolean;
  readonly log: DaemonLog;
  /** What happened to it; written to the log as well. */
  readonly events: EventLog;
  /** Its control socket, closed when it ends. */
  readonly control: ControlServer;
  /** Its HTTP listeners, closed when it ends. */
  readonly web: WebListeners;
  /** Time between two status lines; without it they come only when the caller asks. */
  readonly intervalSeconds?: () => number;
  /** What was set up, a line each; the first says it all. */
  readonly setUp: readonly string[];
  /** What the user should know about this machine, sentences; shown after the set-up. */
  readonly warnings: readonly string[];
  /** False when the daemon lost what it needs and has to end. */
  readonly isHealthy: () => boolean;
  /** What it lost then, a sentence; default: a TUN. */
  readonly lost?: string;
  /** Whether packets have been moved as they came since the last call. */
  readonly checkTurning: () => boolean;
  /** Follows changes of the machine; called every few seconds. What it throws is logged, and it is called again. */
  readonly refresh: () => void;
  /** Shows what is new; called after that. */
  readonly tick?: () => void;
  readonly status: () => Status;
  /** The status in one line. */
  readonly describe: (status: Status) => string;
  /** Reads the configuration file again; names of the fields that changed. Without it SIGHUP ends the daemon. */
  readonly reload?: (() => Promise<readonly string[]>) | undefined;
  /** Ends it; the last status. */
  readonly stop: () => Status;
}

const REFRESH_MS = 2000;
/** For how long the reader of standard output may keep a line waiting, and with it the packets, before it counts as stuck. */
const READER_MS = 100;
/** Events that are worth a warning. */
const GRAVE_EVENTS: readonly string[] = [
  'routeDown',
  'deviceWent',
  'limitReached',
  'destinationsLeftOut',
  'pathsGivenUp',
  'putBack',
  'suspended',
];

/** Adds the options of a daemon as a service. */
export function addServiceOptions(command: Command): Command {
  return command
    .option('--user <name>', 'become this user once the devices are open, with CAP_NET_ADMIN only')
    .addOption(new Option('--log-level <level>', 'lines to log').choices(LOG_LEVELS))
    .option('--log-file <path>', 'append log lines to this file, opened again on SIGUSR2');
}

/** The configuration of a daemon that runs. */
interface ReloadableConfig<Changed> {
  readonly config: ServiceConfig;
  reload(): Promise<Changed>;
}

/** A daemon as a service: its log, and what to do once its devices are open. */
export interface ServiceSetUp {
  readonly log: DaemonLog;
  readonly onDevicesOpen: () => void;
  /** Reads the file of a daemon again, and takes over the level of the log that it asks for; returns what has changed. */
  readonly reload: <Changed>(live: ReloadableConfig<Changed>) => Promise<Changed>;
}

/**
 * Prepares what the service options ask for.
 *
 * @param flags - of the command; they come before the file
 * @throws PreflexError when the user cannot be become
 */
export async function prepareService(flags: ServiceConfig, config: ServiceConfig): Promise<ServiceSetUp> {
  const { privilegeDrop } = await import('../runtime/privileges.ts');
  const { defaultLogLevel, makeDaemonLog } = await import('../runtime/daemon-log.ts');
  const service = mergeService(flags, config);
  const drop = privilegeDrop(service.user);
  const log = await makeDaemonLog(service);
  return {
    log,
    onDevicesOpen: () => {
      drop?.();
      // As the user, who has to be able to open it again.
      log.open();
    },
    reload: async (live) => {
      const changed = await live.reload();
      log.level = mergeService(flags, live.config).logLevel ?? defaultLogLevel(service);
      return changed;
    },
  };
}

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

/** Standard output as a daemon writes it: without waiting for a reader that is stuck. What is lost is said when there is room. */
function openOutput(isJson: boolean): {
  readonly print: (line: string) => void;
  readonly printJson: (value: object) => void;
} {
  const say = (lines: number): string =>
    isJson
      ? JSON.stringify({ event: 'lost', time: new Date().toISOString(), lines })
      : `preflex: ${lines} lines were lost, because they could not be written`;
  const options = { descriptor: STANDARD_OUTPUT, patienceMs: READER_MS };
  const sink = new LogSink(undefined, (lines) => `${say(lines)}\n`, options);
  const print = (line: string): void => {
    sink.write(`${line}\n`);
  };
  return {
    print,
    printJson: (value) => {
      print(JSON.stringify(value));
    },
  };
}

/**
 * Shows the daemon, and tells a service manager of it, until a signal ends it; then it stops and the process can exit.
 *
 * @returns writes a status line
 */
export function runDaemon<Status extends object>(daemon: Daemon<Status>): () => void {
  const { print, printJson } = openOutput(daemon.json);
  const show = (event: string, status: Status, isLong: boolean): void => {
    if (daemon.json) printJson({ event, time: new Date().toISOString(), ...status });
    else if (isLong) print(`${event}: ${JSON.stringify(status, null, 2)}`);
    else print(daemon.describe(status));
  };
  const manager = ServiceManager.fromEnvironment(process.env);
  const summary = daemon.setUp[0] ?? '';
  let statusTimer: NodeJS.Timeout | undefined;
  let isStopped = false;
  const { log } = daemon;
  /** Makes something that is done again and again go on when the machine refuses it: that is logged, once, and its end. */
  const enduring = (failed: string, works: string, body: () => void): (() => void) => {
    let hindrance: string | undefined;
    return () => {
      const before = hindrance;
      hindrance = undefined;
      try {
        body();
      } catch (error) {
        // The machine changes while it is read, and may be short of something: no reason to let go of packets.
        if (!isForeseen(error)) throw error;
        hindrance = error.message;
        if (before !== hindrance) log.warn(failed, { reason: hindrance });
      }
      if (before !== undefined && hindrance === undefined) log.info(works);
    };
  };
  const stop = (): void => {
    isStopped = true;
    manager.stopping();
    daemon.control.close();
    daemon.web.close();
    clearInterval(statusTimer);
    clearInterval(refreshTimer);
    removeHandlers();
    try {
      show('exit', daemon.stop(), true);
    } catch (error) {
      if (!isForeseen(error)) throw error;
      process.exitCode = 1;
      note(`preflex: ${error.message}`);
      log.error('not everything was taken back', { reason: error.message });
    }
    logEvents();
    log.info('stopped', { lostLogLines: log.lost });
  };
  const say = (event: string, details: object, line: string): void => {
    if (daemon.json) printJson({ event, time: new Date().toISOString(), ...details });
    else print(`preflex: ${line}`);
  };
  const reload = async (read: () => Promise<readonly string[]>): Promise<void> => {
    manager.reloading();
    try {
      const changed = await read();
      if (isStopped) return;
      startStatusTimer();
      say('reload', { ok: true, changed }, `reloaded, changed: ${changed.join(', ') || 'nothing'}`);
      log.info('reloaded', { changed });
    } catch (error) {
      if (!isForeseen(error)) throw error;
      const { message } = error;
      say('reload', { ok: false, message }, `not reloaded, what was before stays in force:\n${message}`);
      log.warn('not reloaded, what was before stays in force', { reason: message });
    }
    if (!isStopped) manager.ready(summary);
  };
  const { reload: read } = daemon;
  const removeHandlers = handleSignals({
    stop,
    reload: read === undefined ? undefined : () => void reload(read),
    showCounters: () => {
      showCounters();
    },
    reopenLog: () => {
      log.reopen();
    },
  });
  const showStatus = enduring('cannot read the counters', 'reads the counters again', () => {
    const status = daemon.status();
    show('status', status, false);
    const line = daemon.describe(status);
    manager.status(line);
    log.debug(line);
  });
  const showCounters = enduring('cannot show the counters', 'shows the counters again', () => {
    show('counters', daemon.status(), true);
  });
  const startStatusTimer = (): void => {
    clearInterval(statusTimer);
    if (daemon.intervalSeconds !== undefined)
      statusTimer = setInterval(showStatus, daemon.intervalSeconds() * 1000);
  };
  startStatusTimer();
  let nextEvent = 0;
  const logEvents = (): void => {
    for (const { kind, sequence, ...fields } of daemon.events.since(nextEvent)) {
      nextEvent = sequence + 1;
      // Reloads have a line of their own.
      if (kind !== 'reload')
        log[GRAVE_EVENTS.includes(kind) ? 'warn' : 'info'](kind, { ...fields, sequence });
    }
  };
  const refresh = enduring('cannot follow the machine, and tries again', 'follows the machine again', () => {
    if (daemon.isHealthy()) {
      daemon.refresh();
      return;
    }
    log.error(
      daemon.lost ?? 'a TUN of this daemon was removed; it ends and leaves the traffic to the kernel',
    );
    process.exitCode = 1;
    stop();
  });
  const tick = enduring('cannot show what is new, and tries again', 'shows what is new again', () => {
    daemon.tick?.();
  });
  const refreshTimer = setInterval(() => {
    refresh();
    if (isStopped) return;
    tick();
    logEvents();
  }, REFRESH_MS);
  // A terminal that is gone must not end a daemon that reloads on SIGHUP.
  for (const stream of [process.stdout, process.stderr]) stream.on('error', () => undefined);
  const setUp = [...daemon.setUp, ...daemon.web.setUp, ...daemon.warnings];
  if (daemon.json) printJson({ event: 'ready', pid: process.pid, name: daemon.control.name, setUp });
  else for (const line of setUp) print(`preflex: ${line}`);
  for (const line of [...daemon.setUp, ...daemon.web.setUp]) log.info(line);
  for (const line of daemon.warnings) log.warn(line);
  manager.ready(summary);
  manager.startWatchdog(daemon.checkTurning, () => {
    log.error('packets wait and are not moved; the service manager gets no sign of life');
  });
  return showStatus;
}
