#!/usr/bin/env node
/** The command `preflex`. */
import { createRequire } from 'node:module';
import { Command } from 'commander';
import { addBenchCommand } from './bench.ts';
import { addCheckCommand } from './check.ts';
import { addControlCommands } from './control.ts';
import { addDoctorCommand } from './doctor.ts';
import { addEbpfCommand } from './ebpf.ts';
import { addGatewayCommand } from './gateway.ts';
import { addHostCommand } from './host.ts';
import { addLabCommand } from './lab.ts';
import { addSimCommand } from './sim.ts';

const program = new Command('preflex')
  .description('PREFLEX: hosts expose loss, gateways balance it over their routes')
  .version(readVersion())
  .showHelpAfterError();
addHostCommand(program);
addGatewayCommand(program);
addControlCommands(program);
addCheckCommand(program);
addDoctorCommand(program);
addBenchCommand(program);
addEbpfCommand(program);
addLabCommand(program);
addSimCommand(program);
await program.parseAsync();

function readVersion(): string {
  const require = createRequire(import.meta.url);
  // The same file from lib/cli and from dist/lib/cli.
  const path = import.meta.url.endsWith('.ts') ? '../../package.json' : '../../../package.json';
  return (require(path) as { version: string }).version;
}
