/** What the command line as a whole answers to wrong usage and to --help. */
import { describe, expect, it } from 'vitest';
import type { Command } from 'commander';
import { CommanderError } from 'commander';
import { buildProgram } from '../../lib/cli/program.ts';

/** All commands of all depths. */
function allOf(command: Command): Command[] {
  return [command, ...command.commands.flatMap(allOf)];
}

/** What a command line prints; none of those here gets as far as to run something. */
async function answerTo(args: readonly string[]): Promise<string> {
  const program = buildProgram();
  let text = '';
  const write = (part: string): void => {
    text += part;
  };
  for (const command of allOf(program)) {
    command.exitOverride().configureOutput({ writeOut: write, writeErr: write });
  }
  await expect(program.parseAsync(args, { from: 'user' })).rejects.toBeInstanceOf(CommanderError);
  return text;
}

describe('the command line', () => {
  it.each([
    [['lab', 'run', 'quick', '--mode', 'mixd'], 'preflex lab run'],
    [['lab', 'run', 'quick', '--seed', 'x'], 'preflex lab run'],
    [['gateway', '--no-such-option'], 'preflex gateway'],
    [['statuss'], 'preflex'],
    [['sim', 'figur1'], 'preflex sim'],
  ])('answers %j by the error and where the help is, not by the help itself', async (args, command) => {
    const lines = (await answerTo(args)).trimEnd().split('\n');
    expect(lines[0]).toMatch(/^error: /);
    expect(lines.at(-1)).toBe(`"${command} --help" shows what it takes.`);
    expect(lines.length).toBeLessThan(6);
  });

  it('shows no default in the notation of a program', async () => {
    for (const command of allOf(buildProgram())) {
      expect(command.helpInformation(), command.name()).not.toMatch(/default:\s+(\[|\{|"")/);
    }
    expect(await answerTo(['sim', 'recovery', '--help'])).toContain('(default: 1,2,3)');
    expect(await answerTo(['ui', '--help'])).toContain('(default: 127.0.0.1:9465)');
  });
});
