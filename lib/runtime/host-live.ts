/**
 * The configuration of a running host agent, and what of it can change. The host rules take their settings once, so
 * of the file's fields only the time between two status lines is live; all others are refused.
 */
import { configDifferences, requireLiveDifferences } from './config-difference.ts';
import type { HostConfig } from './host-config.ts';
import { loadHostConfig } from './host-config.ts';

/** Fields that a running agent can take over. */
export const LIVE_HOST_FIELDS = ['intervalSeconds'] as const;

/** Keeps the configuration in force. */
export class LiveHostConfig {
  readonly #file: string;
  #config: HostConfig;

  constructor(file: string, config: HostConfig) {
    this.#file = file;
    this.#config = config;
  }

  /** What is in force. */
  get config(): HostConfig {
    return this.#config;
  }

  /**
   * Reads the file again.
   *
   * @returns fields that changed
   * @throws PreflexError with everything that is wrong or cannot change; then the configuration before stays in force
   */
  async reload(): Promise<string[]> {
    const next = await loadHostConfig(this.#file);
    const differences = configDifferences(this.#config, next);
    requireLiveDifferences(differences, LIVE_HOST_FIELDS);
    this.#config = next;
    return differences.map(({ field }) => field);
  }
}
