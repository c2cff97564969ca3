/**
 * Changes to the machine as data: what to run and what undoes it. Plans are lists of these, made by pure functions and
 * carried out by the undo journal.
 */
import { PreflexError } from '../errors.ts';
import type { Family, RuleSpec, Where } from '../netns/index.ts';
import {
  CommandError,
  ip,
  ipBatch,
  isSysctlName,
  readSysctl,
  ruleArgs,
  writeSysctl,
} from '../netns/index.ts';

/** Sets a kernel setting, if the conditions hold. */
export interface SysctlCommand {
  readonly kind: 'sysctl';
  /** Path below /proc/sys, for example `net/ipv4/ip_early_demux`. */
  readonly name: string;
  readonly value: string;
  /** Only if it has this value now: an undo leaves alone what somebody else has changed since. */
  readonly onlyIf?: string | undefined;
  /** Not if another setting has this value now. */
  readonly unless?: { readonly name: string; readonly value: string } | undefined;
}

/** Runs `ip ARGS`. */
export interface IpCommand {
  readonly kind: 'ip';
  readonly args: readonly string[];
}

/** Runs many `ip` commands of one family in one process. */
export interface IpBatchCommand {
  readonly kind: 'ip-batch';
  readonly family: Family;
  readonly commands: readonly (readonly string[])[];
}

/** One step of a change or of its undo. */
export type Command = SysctlCommand | IpCommand | IpBatchCommand;

/** A change to the machine and the way back. */
export interface Change {
  /** Identity within a network namespace: two agents that want the same shared change have the same key. */
  readonly key: string;
  /**
   * Shared by all agents of the namespace (a global setting, the place of the local table): made by the first, undone
   * by the last. Default false.
   */
  readonly shared?: boolean | undefined;
  readonly run: readonly Command[];
  /** In the order to run them. */
  readonly undo: readonly Command[];
  /** Settings that hold while the change stands, whether or not it was it that made them so. @see KeptChanges */
  readonly settings?: readonly { readonly name: string; readonly value: string }[] | undefined;
  /** The rule that stands with the change. */
  readonly rule?: RuleSpec | undefined;
  /** A table that has what `run` puts there for as long as the change stands. */
  readonly fixedTable?: { readonly family: Family; readonly table: number } | undefined;
}

/** Carries out commands in a namespace. */
export type Execute = (command: Command) => void;

/** An {@link Execute} that acts on the real machine, in `where`. */
export function executeIn(where: Where = {}): Execute {
  return (command) => {
    switch (command.kind) {
      case 'ip':
        ip(command.args, where);
        return;
      case 'ip-batch':
        ipBatch(command.commands, { netns: where.netns, family: command.family });
        return;
      case 'sysctl': {
        if (command.onlyIf !== undefined && readSysctl(command.name, where) !== command.onlyIf) return;
        if (command.unless !== undefined && readSysctl(command.unless.name, where) === command.unless.value)
          return;
        writeSysctl(command.name, command.value, where);
      }
    }
  };
}

/** Runs undo commands; what is gone or back already is fine. Returns what failed otherwise. */
export function undoCommands(commands: readonly Command[], execute: Execute): Error[] {
  const failures: Error[] = [];
  for (const command of commands) {
    try {
      execute(command);
    } catch (error) {
      if (error instanceof CommandError && (error.isMissingObject || error.isExistingObject)) continue;
      failures.push(error as Error);
    }
  }
  return failures;
}

/** A command in words, for messages and dry runs. */
export function describeCommand(command: Command): string {
  switch (command.kind) {
    case 'ip':
      return `ip ${command.args.join(' ')}`;
    case 'ip-batch':
      return command.commands.map((words) => `ip -${command.family} ${words.join(' ')}`).join('\n');
    case 'sysctl':
      return `sysctl -w ${command.name}=${command.value}`;
  }
}

/** What a plan runs, in words and in order: for dry runs and messages. Pure. */
export function describeChanges(changes: readonly Change[]): string {
  return changes
    .flatMap((change) => change.run)
    .map(describeCommand)
    .join('\n');
}

/** Sets a setting that has the value `before`, undone only while it still has the value set here. Pure. */
export function sysctlChange(
  name: string,
  value: string,
  before: string,
  options: { readonly shared?: boolean; readonly unless?: SysctlCommand['unless'] } = {},
): Change {
  return {
    key: `sysctl ${name}`,
    shared: options.shared,
    run: before === value ? [] : [{ kind: 'sysctl', name, value }],
    undo:
      before === value
        ? []
        : [{ kind: 'sysctl', name, value: before, onlyIf: value, unless: options.unless }],
    settings: [{ name, value }],
  };
}

/** Adds a rule. Pure. */
export function ruleChange(spec: RuleSpec, options: { readonly shared?: boolean } = {}): Change {
  const words = ruleArgs(spec);
  return {
    key: ruleKey(spec),
    shared: options.shared,
    run: [{ kind: 'ip', args: [`-${spec.family}`, 'rule', 'add', ...words] }],
    undo: [{ kind: 'ip', args: [`-${spec.family}`, 'rule', 'del', ...words] }],
    rule: spec,
  };
}

/** The key of a rule's change; equal for a rule as planned and the same rule as read. Pure. */
export function ruleKey(spec: RuleSpec): string {
  return `rule -${spec.family} ${ruleArgs({ ...spec, origin: undefined }).join(' ')}`;
}

/** Fills a table that is empty before; undone by emptying it. Pure. */
export function tableChange(family: Family, table: number, commands: readonly (readonly string[])[]): Change {
  return {
    key: `table -${family} ${table}`,
    run: [{ kind: 'ip-batch', family, commands }],
    undo: [{ kind: 'ip', args: [`-${family}`, 'route', 'flush', 'table', String(table)] }],
  };
}

/** The same for a table whose routes stay as they are. Pure. */
export function fixedTableChange(
  family: Family,
  table: number,
  commands: readonly (readonly string[])[],
): Change {
  return { ...tableChange(family, table, commands), fixedTable: { family, table } };
}

/** Checks a command read from a file, so that a damaged journal cannot run anything but `ip` and sysctls of net/. */
export function requireCommand(value: unknown): Command {
  const command = value as Command;
  const isWords = (words: unknown): boolean =>
    Array.isArray(words) && words.every((word) => typeof word === 'string');
  if (typeof value === 'object' && value !== null) {
    if (command.kind === 'ip' && isWords(command.args)) return command;
    if (command.kind === 'ip-batch' && Array.isArray(command.commands) && command.commands.every(isWords))
      return command;
    if (command.kind === 'sysctl' && isSysctlName(String(command.name)) && typeof command.value === 'string')
      return command;
  }
  throw new PreflexError('ERR_SYSTEM', `not a command: ${JSON.stringify(value)}`);
}
