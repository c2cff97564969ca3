/**
 * The conversation of a module of the laboratory with the run that started it: JSON lines out, JSON lines in. The module
 * ends when its standard input does, so that nothing survives a run that was killed.
 */
import { createInterface } from 'node:readline';

/** A command: its name, and whatever it needs. */
export interface ModuleCommand {
  readonly command: string;
  readonly [key: string]: unknown;
}

/** Writes one line. */
export function tell(event: string, fields: object = {}): void {
  process.stdout.write(`${JSON.stringify({ event, ...fields })}\n`);
}

/**
 * Takes commands until standard input ends or a signal asks to end; then calls `stop` once and leaves the process to
 * end by itself.
 */
export function runModule(onCommand: (command: ModuleCommand) => void, stop: () => void): void {
  const input = createInterface({ input: process.stdin });
  let isStopped = false;
  const end = (): void => {
    if (isStopped) return;
    isStopped = true;
    input.close();
    process.stdin.destroy();
    stop();
  };
  // Whoever reads this may be gone.
  process.stdout.on('error', () => undefined);
  process.on('SIGTERM', end);
  process.on('SIGINT', end);
  input.on('line', (text) => {
    const command = JSON.parse(text) as ModuleCommand;
    if (command.command === 'stop') end();
    else onCommand(command);
  });
  input.on('close', end);
}
