/**
 * A BIRD routing daemon in a namespace, with its configuration, control socket and log in a folder of its own: nothing of
 * the machine's own BIRD is read or touched.
 */
import { writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { PreflexError } from '../../lib/errors.ts';
import type { LabScope } from '../../lib/netns/lab-scope.ts';
import { run } from '../../lib/netns/command.ts';
import { waitFor } from '../../lib/netns/wait.ts';

const START_MS = 10_000;

/** A running BIRD. */
export class Bird {
  readonly #socket: string;

  private constructor(socket: string) {
    this.#socket = socket;
  }

  /**
   * Starts one and waits until it answers.
   *
   * @param folder - for its files; their names begin with `name`
   * @throws PreflexError ERR_MISSING_REQUIREMENT without BIRD, ERR_SYSTEM when it does not take the configuration
   */
  static async start(
    scope: LabScope,
    options: {
      readonly netns: string;
      readonly folder: string;
      readonly name: string;
      readonly config: string;
    },
  ): Promise<Bird> {
    const { folder, name, netns } = options;
    const file = join(folder, `${name}.conf`);
    const socket = join(folder, `${name}.ctl`);
    writeFileSync(file, options.config);
    run(['bird', '-p', '-c', file]);
    const child = scope.spawn(['bird', '-f', '-c', file, '-s', socket, '-P', join(folder, `${name}.pid`)], {
      netns,
    });
    let said = '';
    child.stderr?.setEncoding('utf8').on('data', (text: string) => (said = (said + text).slice(-2000)));
    const bird = new Bird(socket);
    await waitFor(
      `BIRD ${name} to answer`,
      () => {
        if (child.exitCode !== null)
          throw new PreflexError('ERR_SYSTEM', `BIRD ${name} ended with ${child.exitCode}: ${said.trim()}`);
        return bird.ask('show status', true).includes('Daemon is up') ? true : undefined;
      },
      { timeoutMs: START_MS },
    );
    return bird;
  }

  /**
   * Gives a command, as to `birdc`, and returns the answer.
   *
   * @param mayFail - then a BIRD that does not answer (yet) gives an empty text
   */
  ask(command: string, mayFail = false): string {
    return run(['birdc', '-s', this.#socket, ...command.split(' ')], mayFail ? { okCodes: [0, 1] } : {});
  }
}
