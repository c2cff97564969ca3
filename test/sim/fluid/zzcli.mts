import { Command } from 'commander';
import { addFluidCommand } from '/work/main/lib/cli/sim-fluid.ts';
const p = new Command('preflex');
addFluidCommand(p.command('sim'));
await p.parseAsync();
