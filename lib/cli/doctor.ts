/** `preflex doctor`: what this machine lacks, and how to get it. */
import type { Command } from 'commander';
import { print, printJson, runCommand } from './output.ts';
import { formatTable } from './table.ts';

/** Adds the command. It exits with 1 when something required is missing. */
export function addDoctorCommand(program: Command): void {
  program
    .command('doctor')
    .description('what this machine lacks, and the command that installs it')
    .option('--json', 'print the checks as one JSON object')
    .action((flags: { json?: boolean }) => runCommand(() => runDoctor(flags.json ?? false)));
}

async function runDoctor(isJson: boolean): Promise<void> {
  const { examineMachine, isFit } = await import('../runtime/doctor.ts');
  const checks = examineMachine();
  if (isJson) {
    printJson({ fit: isFit(checks), fitForLab: isFit(checks, 'lab'), checks });
  } else {
    print(
      formatTable([
        ['', 'check', 'needed', 'found', 'what to do'],
        ...checks.map((check) => [
          check.ok ? 'ok' : 'MISSING',
          check.name,
          check.needed,
          check.found,
          check.ok ? '' : check.remedy,
        ]),
      ]),
    );
  }
  if (!isFit(checks)) process.exitCode = 1;
}
