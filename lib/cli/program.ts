/** The command line as a whole: all commands, and what help and wrong usage look like in each of them. */
import { Command } from 'commander';
import { packageVersion } from '../runtime/version.ts';
import { addBenchCommand } from './bench.ts';
import { addCheckCommand } from './check.ts';
import { addControlCommands } from './control.ts';
import { addDoctorCommand } from './doctor.ts';
import { addEbpfCommand } from './ebpf.ts';
import { addExplainCommand } from './explain.ts';
import { addFlowsCommand } from './flows.ts';
import { addGatewayCommand } from './gateway.ts';
import { addHostCommand } from './host.ts';
import { addLabCommand } from './lab.ts';
import { addSetCommand } from './set.ts';
import { addSimCommand } from './sim.ts';
import { addUiCommand } from './ui.ts';
import { addTopCommand } from './top.ts';

/** All commands; nothing is read or run before it parses a command line. */
export function buildProgram(): Command {
  const program = new Command('preflex')
    .description('PREFLEX: hosts expose loss, gateways balance it over their routes')
    .version(packageVersion());
  addHostCommand(program);
  addGatewayCommand(program);
  addControlCommands(program);
  addFlowsCommand(program);
  addExplainCommand(program);
  addTopCommand(program);
  addSetCommand(program);
  addCheckCommand(program);
  addDoctorCommand(program);
  addBenchCommand(program);
  addEbpfCommand(program);
  addLabCommand(program);
  addSimCommand(program);
  addUiCommand(program);
  explainUsage(program, 'preflex');
  return program;
}

/**
 * A wrong option is answered by the error and the command that shows the help, not by the help, whose forty lines would
 * push the error off the screen. Lists that are defaults are shown as they are typed.
 */
function explainUsage(command: Command, path: string): void {
  command.showHelpAfterError(`"${path} --help" shows what it takes.`);
  for (const option of command.options) {
    if (Array.isArray(option.defaultValue)) option.defaultValueDescription = option.defaultValue.join(',');
  }
  for (const child of command.commands) explainUsage(child, `${path} ${child.name()}`);
}
