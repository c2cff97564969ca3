/** What the commands of `preflex sim` share: reading lists from the command line, writing files, running with a bar. */
import { mkdirSync, writeFileSync } from 'node:fs';
import { dirname, join } from 'node:path';
import { InvalidArgumentError } from 'commander';
import { PreflexError } from '../errors.ts';
import type { SimKinds, SimTask } from './sim-tasks.ts';
import { runTasks } from './sim-pool.ts';
import { SimProgress } from './sim-progress.ts';

/** Most values of a list on the command line. */
const MAX_LIST = 10_000;

/** Runs simulations with a bar on standard error. */
export async function runWithProgress<K extends keyof SimKinds>(
  tasks: readonly SimTask<K>[],
  workers: number | undefined,
): Promise<SimKinds[K]['record'][]> {
  const progress = new SimProgress(process.stderr, tasks.length);
  try {
    return await runTasks(tasks, {
      workers,
      onShare: (share, done) => {
        progress.show(share, done);
      },
      onInterrupt: () => {
        progress.end();
      },
    });
  } finally {
    progress.end();
  }
}

/** Whole numbers such as `1..30` or `1,4,7` or both together; none twice. */
export function parseNumbers(text: string): number[] {
  const numbers = text.split(',').flatMap((part) => {
    const found = /^(\d{1,9})(?:\.\.(\d{1,9}))?$/.exec(part.trim());
    if (found === null) throw listError();
    const from = Number(found[1]);
    const to = found[2] === undefined ? from : Number(found[2]);
    if (to < from || to - from >= MAX_LIST) throw listError();
    return Array.from({ length: to - from + 1 }, (_, i) => from + i);
  });
  if (new Set(numbers).size !== numbers.length || numbers.length > MAX_LIST) throw listError();
  return numbers;
}

function listError(): InvalidArgumentError {
  return new InvalidArgumentError('It takes whole numbers such as 1..30 or 1,4,7, none twice.');
}

/** A number of workers from the command line. */
export function parseWorkers(text: string): number {
  const workers = Number(text);
  if (!Number.isInteger(workers) || workers < 1 || workers > 256) {
    throw new InvalidArgumentError('It takes a whole number from 1 to 256.');
  }
  return workers;
}

/** A file to write. */
export interface OutputFile {
  /** Relative to the folder. */
  readonly name: string;
  readonly text: string;
}

/** Writes files into a folder, which is made. Returns their paths. @throws PreflexError when one cannot be written */
export function writeFiles(directory: string, files: readonly OutputFile[]): string[] {
  return files.map(({ name, text }) => {
    const path = join(directory, name);
    try {
      mkdirSync(dirname(path), { recursive: true });
      writeFileSync(path, text);
    } catch (cause) {
      throw new PreflexError('ERR_SYSTEM', `${path}: cannot be written: ${(cause as Error).message}`, {
        cause,
      });
    }
    return path;
  });
}

/** A value as the text of a JSON file. */
export function jsonText(value: unknown): string {
  return `${JSON.stringify(value, null, 2)}\n`;
}
