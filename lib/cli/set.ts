/** `preflex set`: changing a running daemon until its next reload or restart. */
import type { Command } from 'commander';
import { InvalidArgumentError } from 'commander';
import { PreflexError } from '../errors.ts';
import { parseBetas } from './balance.ts';
import type { CommonFlags } from './control-flags.ts';
import { ask, chosenDaemons, ofRole, onlyOf, withCommonFlags } from './control-flags.ts';
import { parseCount, parseSeconds } from './number-flags.ts';
import { print, printJson, runCommand } from './output.ts';

interface SetFlags extends CommonFlags {
  strategy?: string;
  betas?: object;
  interval?: number;
  exposeTo?: string[];
  fnePerPrefix?: number;
  fneTotal?: number;
  inferFailures?: boolean;
  failureWindow?: number;
  failureShare?: number;
  drain?: string;
  undrain?: string;
  flowletGap?: number;
  fneAfterTimeouts?: number;
  keepPath?: boolean;
  hostDriven?: boolean;
  logLevel?: string;
}

/** Adds the command. */
export function addSetCommand(program: Command): void {
  withCommonFlags(
    program.command('set').description('change a running daemon, until its next reload or restart'),
  )
    .option(
      '--strategy <name>',
      'gateway: how flowlets are divided; without --betas it begins with its own, but mixed needs them',
    )
    .option('--betas <equal,conservative,loss>', 'gateway: weights of the three splits, sum 1', parseBetas)
    .option('--interval <seconds>', 'gateway: update interval', parseSeconds)
    .option(
      '--expose-to <names>',
      'gateway: routes whose neighbours take LEX codepoints, or none',
      parseNames,
    )
    .option('--fne-per-prefix <count>', 'gateway: FNE packets answered a second for each prefix', parseNumber)
    .option('--fne-total <count>', 'gateway: FNE packets answered a second in total', parseNumber)
    .option('--infer-failures <on|off>', 'gateway: infer failed routes from the marks', parseSwitch)
    .option(
      '--failure-window <seconds>',
      'gateway: how recent the timeouts must be, 0.2 to 0.8',
      parseSeconds,
    )
    .option('--failure-share <share>', 'gateway: failing flows that suspend a route, 0.5 to 1', parseNumber)
    .option('--drain <route>', 'gateway: take a route out of use')
    .option('--undrain <route>', 'gateway: take it back into use')
    .option('--flowlet-gap <seconds>', 'host: idle gap that begins a new flowlet', parseSeconds)
    .option('--fne-after-timeouts <count>', 'host: timeouts after which a path is given up', parseCount)
    .option('--keep-path <on|off>', 'host: go back to the earlier path without an assignment', parseSwitch)
    .option('--host-driven <on|off>', 'host: move to another learnt path after timeouts', parseSwitch)
    .option('--log-level <level>', 'either: how much is logged: error, warn, info or debug')
    .action((flags: SetFlags) => runCommand(() => runSet(flags)));
}

async function runSet(flags: SetFlags): Promise<void> {
  const host = defined({
    flowletGapSeconds: flags.flowletGap,
    fneAfterTimeouts: flags.fneAfterTimeouts,
    keepPath: flags.keepPath,
    hostDriven: flags.hostDriven,
  });
  const gateway = defined({
    strategy: flags.strategy,
    betas: flags.betas,
    intervalSeconds: flags.interval,
    exposeTo: flags.exposeTo,
    fne: defined({ perPrefixPerSecond: flags.fnePerPrefix, totalPerSecond: flags.fneTotal }),
    failures: defined({
      infer: flags.inferFailures,
      windowSeconds: flags.failureWindow,
      share: flags.failureShare,
    }),
    drain: flags.drain,
    undrain: flags.undrain,
  });
  if (host !== undefined && gateway !== undefined)
    throw new PreflexError('ERR_INVALID_OPTION', 'Options of a gateway and of a host exclude each other.');
  const { logLevel } = flags;
  const fields = host ?? gateway;
  if (fields === undefined && logLevel === undefined)
    throw new PreflexError('ERR_INVALID_OPTION', 'Nothing to set: say what, see preflex set --help.');
  const args = logLevel === undefined ? { ...fields } : { ...fields, logLevel };
  const daemons = await chosenDaemons(flags);
  const daemon =
    fields === undefined ? onlyOf(daemons) : ofRole(daemons, host === undefined ? 'gateway' : 'host');
  const answer = await ask<{ changed: readonly string[] }>(daemon, 'set', args);
  if (flags.json) printJson(answer);
  else print(`changed: ${answer.changed.join(', ') || 'nothing'}`);
}

/** The members that are there; undefined when none is. */
function defined(values: Readonly<Record<string, unknown>>): Record<string, unknown> | undefined {
  const entries = Object.entries(values).filter(([, value]) => value !== undefined);
  return entries.length === 0 ? undefined : Object.fromEntries(entries);
}

function parseNames(text: string): string[] {
  return text === 'none' ? [] : text.split(',').map((name) => name.trim());
}

function parseNumber(text: string): number {
  const value = text.trim() === '' ? NaN : Number(text);
  if (!Number.isFinite(value)) throw new InvalidArgumentError('It takes a number.');
  return value;
}

function parseSwitch(text: string): boolean {
  if (text !== 'on' && text !== 'off') throw new InvalidArgumentError('It takes on or off.');
  return text === 'on';
}
