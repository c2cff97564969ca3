/**
 * The fields that both configuration files have because both daemons are services: who they become, and their log.
 */
import type { configFields } from './config-fields.ts';

/** Levels of log lines, the gravest first. */
export const LOG_LEVELS = ['error', 'warn', 'info', 'debug'] as const;
/** One of {@link LOG_LEVELS}. */
export type LogLevel = (typeof LOG_LEVELS)[number];

/** What an administrator says about a daemon as a service. */
export interface ServiceConfig {
  /** User to become once the devices are open; default: whoever started the daemon. */
  readonly user?: string | undefined;
  /** Lines of this level and graver ones are written. Default error on standard error, info in a file. */
  readonly logLevel?: LogLevel | undefined;
  /** File to append log lines to; default standard error. */
  readonly logFile?: string | undefined;
}

/** The schemas of {@link ServiceConfig}. */
export function serviceFields({ choice, text }: Pick<ReturnType<typeof configFields>, 'choice' | 'text'>) {
  return {
    user: text(
      'the name of a user, 1 to 32 letters, digits, dots, dashes and underscores',
      isUserName,
    ).optional(),
    logLevel: choice(LOG_LEVELS).optional(),
    logFile: text('the absolute path of a file', (value) => /^\/[^\0]+$/.test(value)).optional(),
  };
}

function isUserName(value: string): boolean {
  return /^[A-Za-z_][\w.-]{0,31}$/.test(value);
}

/**
 * The configuration in force: what an option of the command says comes before what the file says.
 *
 * @param flags - options of the command; their names are those of the fields
 */
export function mergeService(flags: ServiceConfig, config: ServiceConfig): ServiceConfig {
  return {
    user: flags.user ?? config.user,
    logLevel: flags.logLevel ?? config.logLevel,
    logFile: flags.logFile ?? config.logFile,
  };
}
