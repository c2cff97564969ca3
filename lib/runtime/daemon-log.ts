/**
 * The log of a daemon: lines with a level, written through pino. JSON for machines; words where standard error is a
 * terminal. Never called for a packet.
 */
import { PreflexError, invalidOption } from '../errors.ts';
import { LogSink } from './log-sink.ts';
import type { LogLevel, ServiceConfig } from './service-config.ts';
import { LOG_LEVELS } from './service-config.ts';

/** Fields of a line beside its text, level and time. */
export type LogFields = Readonly<Record<string, unknown>>;

/** Writes log lines. */
export interface DaemonLog {
  /** Lines of this level and graver ones are written. */
  level: LogLevel;
  /** Lines that could not be written, since the start. */
  readonly lost: number;
  error(message: string, fields?: LogFields): void;
  warn(message: string, fields?: LogFields): void;
  info(message: string, fields?: LogFields): void;
  debug(message: string, fields?: LogFields): void;
  /** Opens the file; to be called before the first line. @throws PreflexError ERR_SYSTEM */
  open(): void;
  /** Opens the file again, after it was moved away; says in the log when that fails. */
  reopen(): void;
}

/**
 * The level where none was chosen: in a file info, on standard error only errors, because standard output tells
 * everything else already.
 */
export function defaultLogLevel(config: Pick<ServiceConfig, 'logFile'>): LogLevel {
  return config.logFile === undefined ? 'error' : 'info';
}

/** Makes a log. It is not open yet. */
export async function makeDaemonLog(config: Pick<ServiceConfig, 'logFile' | 'logLevel'>): Promise<DaemonLog> {
  const { pino, stdTimeFunctions } = await import('pino');
  const isForPeople = config.logFile === undefined && process.stderr.isTTY;
  const sink = new LogSink(config.logFile, (lost) => {
    const line = { level: 'warn', time: new Date().toISOString(), pid: process.pid, lost, msg: LOSS_MESSAGE };
    return isForPeople ? readable(line) : `${JSON.stringify(line)}\n`;
  });
  const write = isForPeople
    ? (line: string): void => {
        sink.write(readable(JSON.parse(line) as LogLine));
      }
    : (line: string): void => {
        sink.write(line);
      };
  const logger = pino(
    {
      level: config.logLevel ?? defaultLogLevel(config),
      base: { pid: process.pid },
      timestamp: stdTimeFunctions.isoTime,
      formatters: { level: (level) => ({ level }) },
    },
    { write },
  );
  const at =
    (level: LogLevel) =>
    (message: string, fields: LogFields = {}): void => {
      logger[level](fields, message);
    };
  const log: DaemonLog = {
    get level() {
      return logger.level as LogLevel;
    },
    set level(level) {
      logger.level = level;
    },
    get lost() {
      return sink.lost;
    },
    error: at('error'),
    warn: at('warn'),
    info: at('info'),
    debug: at('debug'),
    open: () => {
      sink.open();
    },
    reopen: () => {
      try {
        sink.open();
      } catch (error) {
        if (!(error instanceof PreflexError)) throw error;
        log.error(error.message);
      }
    },
  };
  return log;
}

/** Checks a level that somebody asks for. @throws PreflexError ERR_INVALID_OPTION */
export function requireLogLevel(value: unknown): LogLevel {
  const level = LOG_LEVELS.find((candidate) => candidate === value);
  if (level === undefined) throw invalidOption('logLevel', value, `one of ${LOG_LEVELS.join(', ')}`);
  return level;
}

const LOSS_MESSAGE = 'log lines were lost because they could not be written';

type LogLine = LogFields & { readonly level: string; readonly time: string; readonly msg: string };

/** `12:31:07 warn  message  field=value`, in the time of the line (UTC). */
function readable(line: LogLine): string {
  const { level, time, msg, ...fields } = line;
  const own = Object.entries(fields).filter(([name]) => name !== 'pid');
  const rest = own.map(([name, value]) => `  ${name}=${JSON.stringify(value)}`);
  return `${time.slice(11, 19)} ${level.padEnd(5)} ${msg}${rest.join('')}\n`;
}
