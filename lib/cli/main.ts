#!/usr/bin/env node
/** The command `preflex`. */
import { buildProgram } from './program.ts';

await buildProgram().parseAsync();
