/** A NATS server as a process in a namespace, with a configuration of its own that asks for a token. */
import type { ChildProcess } from 'node:child_process';
import { writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { run } from '../../lib/netns/command.ts';
import type { LabScope } from '../../lib/netns/lab-scope.ts';
import { endProcess } from '../../lib/netns/processes.ts';
import { waitForListen } from '../../lib/netns/wait.ts';

/** Where it listens. */
export const NATS_PORT = 4222;
const START_MS = 20_000;

/** A server that can be ended and started again. */
export class NatsServer {
  /** What it asks for. */
  readonly token = 'of-the-laboratory';
  /** A file with that. */
  readonly tokenFile: string;
  readonly #scope: LabScope;
  readonly #netns: string;
  readonly #configFile: string;
  #child: ChildProcess | undefined;

  /**
   * Writes its configuration; {@link start} starts it.
   *
   * @param folder - for its files; the caller removes it
   * @throws PreflexError ERR_MISSING_REQUIREMENT where nats-server is not installed
   */
  constructor(scope: LabScope, netns: string, folder: string) {
    run(['nats-server', '--version']);
    this.#scope = scope;
    this.#netns = netns;
    this.tokenFile = join(folder, 'nats.token');
    this.#configFile = join(folder, 'nats.conf');
    writeFileSync(this.tokenFile, `${this.token}\n`, { mode: 0o600 });
    const config = `host: "0.0.0.0"\nport: ${NATS_PORT}\nauthorization { token: "${this.token}" }\n`;
    writeFileSync(this.#configFile, config, { mode: 0o600 });
  }

  /** Starts it and waits until it listens. */
  async start(): Promise<void> {
    this.#child = this.#scope.spawn(['nats-server', '-c', this.#configFile], {
      netns: this.#netns,
      stdio: 'ignore',
    });
    await waitForListen(NATS_PORT, { netns: this.#netns, timeoutMs: START_MS });
  }

  /** Ends it. */
  async stop(): Promise<void> {
    if (this.#child !== undefined) await endProcess(this.#child);
    this.#child = undefined;
  }
}
