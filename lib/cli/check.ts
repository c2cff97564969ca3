/** `preflex check`: whether a configuration file is right, without a daemon and without root. */
import type { Command } from 'commander';
import { Option } from 'commander';
import type { ConfigKind } from '../runtime/config-kind.ts';
import { print, printJson, runCommand } from './output.ts';

interface CheckFlags {
  kind?: ConfigKind;
  json?: boolean;
}

/** Adds the command. It exits with 1 when something is wrong with the file. */
export function addCheckCommand(program: Command): void {
  program
    .command('check')
    .description('check a configuration file of the gateway or the host; nothing is started or changed')
    .argument('<file>', 'YAML file')
    .addOption(
      new Option('--kind <kind>', 'what it configures; by default its keys tell').choices([
        'gateway',
        'host',
      ]),
    )
    .option('--json', 'print what was found as one JSON object')
    .action((file: string, flags: CheckFlags) => runCommand(() => runCheck(file, flags)));
}

async function runCheck(file: string, flags: CheckFlags): Promise<void> {
  const { checkConfigFile } = await import('../runtime/config-kind.ts');
  const found = await checkConfigFile(file, flags.kind);
  const isRight = found.problems.length === 0;
  if (!isRight) process.exitCode = 1;
  if (flags.json) {
    printJson({ file, kind: found.kind ?? null, ok: isRight, problems: found.problems });
  } else if (isRight) {
    print(`${file}: a right ${found.kind} configuration`);
  } else {
    for (const { line, column, field, message } of found.problems) {
      const place = line === 0 ? file : `${file}:${line}:${column}`;
      print(`${place}: ${field === '' ? '' : `${field}: `}${message}`);
    }
  }
}
