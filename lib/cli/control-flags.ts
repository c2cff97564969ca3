/** What the commands that ask running daemons have in common: their flags, and which daemons these mean. */
import type { Command } from 'commander';
import { PreflexError } from '../errors.ts';
import type { FoundDaemon } from '../runtime/control/client.ts';
import { note } from './output.ts';

/** Flags of every such command. */
export interface CommonFlags {
  name?: string;
  directory?: string;
  json?: boolean;
}

/** Adds the flags. */
export function withCommonFlags(command: Command): Command {
  return command
    .option('--name <name>', 'which daemon, where several run; "preflex status" lists them')
    .option('--directory <folder>', 'folder of the control sockets, default /run/preflex')
    .option('--json', 'print the answer as one JSON object');
}

/** Asks a daemon. */
export async function ask<Answer>(daemon: FoundDaemon, op: string, args: object = {}): Promise<Answer> {
  const { askDaemon } = await import('../runtime/control/client.ts');
  return (await askDaemon(daemon.path, op, { ...args })) as Answer;
}

/**
 * Asks several daemons the same. One that cannot answer is noted and left out; when none can, that is the error.
 *
 * @param argsOf - what each of them is asked with
 */
export async function askAll<Answer>(
  daemons: readonly FoundDaemon[],
  op: string,
  argsOf: (daemon: FoundDaemon) => object,
): Promise<{ readonly daemon: FoundDaemon; readonly answer: Answer }[]> {
  const settled = await Promise.allSettled(daemons.map((daemon) => ask<Answer>(daemon, op, argsOf(daemon))));
  const failed = settled.find((one) => one.status === 'rejected');
  if (failed !== undefined && settled.every(({ status }) => status === 'rejected')) throw failed.reason;
  return settled.flatMap((one, i) => {
    if (one.status === 'fulfilled') return [{ daemon: daemons[i], answer: one.value }];
    if (!(one.reason instanceof PreflexError)) throw one.reason;
    note(`${daemons[i].name}: ${one.reason.message}`);
    return [];
  });
}

/** The daemons that the flags mean; one sentence when there are none. */
export async function chosenDaemons({ name, directory }: CommonFlags): Promise<FoundDaemon[]> {
  const { DEFAULT_CONTROL_DIRECTORY, findDaemons } = await import('../runtime/control/client.ts');
  const folder = directory ?? DEFAULT_CONTROL_DIRECTORY;
  const daemons = await findDaemons(folder);
  if (daemons.length === 0) {
    throw new PreflexError('ERR_SYSTEM', `No daemon runs here: no control socket in ${folder} answers.`);
  }
  const found = name === undefined ? daemons : daemons.filter((daemon) => daemon.name === name);
  if (found.length > 0) return found;
  throw new PreflexError('ERR_SYSTEM', `No daemon has the name ${name}; there are ${namesOf(daemons)}.`);
}

/** The one gateway that the flags mean. */
export async function oneGateway(flags: CommonFlags): Promise<FoundDaemon> {
  return ofRole(await chosenDaemons(flags), 'gateway');
}

/** The only one of a role. */
export function ofRole(daemons: readonly FoundDaemon[], role: FoundDaemon['role']): FoundDaemon {
  const found = daemons.filter((daemon) => daemon.role === role);
  if (found.length > 0) return onlyOf(found);
  throw new PreflexError('ERR_SYSTEM', `No ${role} is meant: ${namesOf(daemons)} is no ${role}.`);
}

/** The only one of some daemons. */
export function onlyOf(daemons: readonly FoundDaemon[]): FoundDaemon {
  const [daemon, another] = daemons;
  if (daemon !== undefined && another === undefined) return daemon;
  throw new PreflexError('ERR_SYSTEM', `Several daemons run: say which with --name: ${namesOf(daemons)}.`);
}

/** Names for a message. */
export function namesOf(daemons: readonly FoundDaemon[]): string {
  return daemons.map((daemon) => daemon.name).join(', ');
}
