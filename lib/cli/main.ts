#!/usr/bin/env node
/** The command `preflex`. */
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

const program = new Command('preflex')
  .description('PREFLEX: hosts expose loss, gateways balance it over their routes')
  .version(packageVersion())
  .showHelpAfterError();
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
await program.parseAsync();
