/**
 * The configuration of a running gateway: which one is in force, and how another takes its place.
 *
 * The text in force is kept, so that a change by hand (`preflex set`) is an edit of it and passes the same checks as a
 * file. Either all of a new configuration comes into force, or nothing of it.
 */
import { PreflexError } from '../errors.ts';
import { configDifferences, requireLiveDifferences } from './config-difference.ts';
import { readConfigFile } from './config-file.ts';
import { gatewayDaemonOptions } from './config-options.ts';
import type { GatewayConfig } from './config.ts';
import { parseGatewayConfig } from './config.ts';
import type { GatewayDaemon } from './gateway-daemon.ts';

/** Top-level fields that a running gateway can take over. */
export const LIVE_GATEWAY_FIELDS = [
  'strategy',
  'betas',
  'intervalSeconds',
  'shortestIntervalSeconds',
  'longestIntervalSeconds',
  'destinations',
] as const;

/** A new value for a field of the file, by its path; undefined takes the field out. */
export type ConfigEdit = readonly [path: readonly string[], value: unknown];

/** Keeps the configuration in force. */
export class LiveGatewayConfig {
  readonly #file: string;
  readonly #daemon: Pick<GatewayDaemon, 'reconfigure'>;
  #text: string;
  #config: GatewayConfig;
  /** Changes wait for each other: reading a file takes several turns of the event loop. */
  #queue: Promise<unknown> = Promise.resolve();

  /** @param text - what `config` was read from */
  constructor(file: string, text: string, config: GatewayConfig, daemon: Pick<GatewayDaemon, 'reconfigure'>) {
    this.#file = file;
    this.#text = text;
    this.#config = config;
    this.#daemon = daemon;
  }

  /** The file that {@link reload} reads. */
  get file(): string {
    return this.#file;
  }

  /** What is in force. */
  get config(): GatewayConfig {
    return this.#config;
  }

  /**
   * Reads the file again. What was set by hand meanwhile is given up for what the file says.
   *
   * @returns fields that changed
   * @throws PreflexError with everything that is wrong or cannot change; then the configuration before stays in force
   */
  reload(): Promise<string[]> {
    return this.#inTurn(() => this.#take(readConfigFile(this.#file), this.#file));
  }

  /**
   * Changes fields until the next reload or restart.
   *
   * @returns fields that changed
   * @throws PreflexError as for {@link reload}
   */
  edit(edits: readonly ConfigEdit[]): Promise<string[]> {
    return this.#inTurn(async () => {
      const { parseDocument } = await import('yaml');
      const document = parseDocument(this.#text);
      for (const [path, value] of edits) {
        if (value === undefined) document.deleteIn(path);
        else document.setIn(path, document.createNode(value));
      }
      return this.#take(String(document), 'set');
    });
  }

  #inTurn<T>(body: () => Promise<T>): Promise<T> {
    const turn = this.#queue.then(body);
    this.#queue = turn.catch(() => undefined);
    return turn;
  }

  async #take(text: string, name: string): Promise<string[]> {
    const next = await parseGatewayConfig(text, name);
    const differences = configDifferences(this.#config, next);
    requireLiveDifferences(differences, LIVE_GATEWAY_FIELDS);
    requireSameVersions(this.#config, next);
    if (differences.length > 0) this.#daemon.reconfigure(gatewayDaemonOptions(next));
    this.#text = text;
    this.#config = next;
    return differences.map(({ field }) => field);
  }
}

/** Policy rules are made for each IP version at the start, so destinations of another one need a restart. */
function requireSameVersions(before: GatewayConfig, after: GatewayConfig): void {
  for (const version of [4, 6] as const) {
    const has = (config: GatewayConfig): boolean =>
      config.destinations.some(({ prefixes }) =>
        prefixes.some((prefix) => prefix.includes(':') === (version === 6)),
      );
    if (has(before) === has(after)) continue;
    const what = has(after)
      ? `has IPv${version} prefixes now, and had none`
      : `has no IPv${version} prefix any more`;
    throw new PreflexError(
      'ERR_INVALID_CONFIG',
      `destinations ${what}; which IP versions are diverted cannot change while the daemon runs; it needs a restart.`,
    );
  }
}
