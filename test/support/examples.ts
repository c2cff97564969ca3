/** Runs the programs of examples/ from their source, as a reader would. */
import type { ChildProcess } from 'node:child_process';
import { execFile, spawn } from 'node:child_process';
import { createInterface } from 'node:readline';
import { fileURLToPath } from 'node:url';
import { promisify } from 'node:util';

/** Root of the project; examples have to be started here, where tsconfig.json maps `preflex` to its source. */
export const projectRoot = fileURLToPath(new URL('../..', import.meta.url));

/** Program and arguments of an example. @param name - file name without extension */
export function exampleArgv(name: string, args: readonly string[] = []): string[] {
  return [process.execPath, '--import', 'tsx', `${projectRoot}examples/${name}.ts`, ...args];
}

/** Runs an example to its end. Returns the lines it printed. @throws when it fails or prints to standard error */
export async function runExample(name: string, args: readonly string[] = []): Promise<string[]> {
  const [program = '', ...rest] = exampleArgv(name, args);
  const { stdout, stderr } = await promisify(execFile)(program, rest, { cwd: projectRoot, timeout: 30_000 });
  if (stderr !== '') throw new Error(stderr);
  return stdout.trimEnd().split('\n');
}

/** Starts an example that runs until it gets SIGTERM. */
export function startExample(name: string, args: readonly string[] = []): RunningExample {
  const [program = '', ...rest] = exampleArgv(name, args);
  return new RunningExample(spawn(program, rest, { cwd: projectRoot, stdio: ['ignore', 'pipe', 'inherit'] }));
}

/** A running example and what it prints. */
export class RunningExample {
  readonly #child: ChildProcess;
  readonly #lines: AsyncIterator<string>;
  #stderr = '';

  constructor(child: ChildProcess) {
    this.#child = child;
    child.stderr?.setEncoding('utf8').on('data', (text: string) => (this.#stderr += text));
    this.#lines = createInterface({ input: child.stdout! })[Symbol.asyncIterator]();
  }

  /** The next line. @throws when the example ends without one */
  async line(): Promise<string> {
    const { value, done } = await this.#lines.next();
    if (done) throw new Error(`the example ended: ${this.#stderr}`);
    return value;
  }

  /** Ends it by SIGTERM. Returns the rest of its lines and its exit code. */
  async stop(): Promise<{ readonly lines: string[]; readonly code: number | null }> {
    const ended = new Promise<number | null>((resolve) => {
      if (this.#child.exitCode !== null) resolve(this.#child.exitCode);
      this.#child.once('exit', resolve);
    });
    this.#child.kill('SIGTERM');
    const lines: string[] = [];
    for (let next = await this.#lines.next(); !next.done; next = await this.#lines.next())
      lines.push(next.value);
    return { lines, code: await ended };
  }
}
