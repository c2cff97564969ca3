/**
 * Checks a configuration file of either daemon, and tells by its keys which one it is for.
 */
import { loadGatewayConfig } from './config.ts';
import type { ConfigProblem } from './config-file.ts';
import { ConfigError, readConfigFile, topLevelKeys } from './config-file.ts';
import { loadHostConfig } from './host-config.ts';

/** Which daemon a configuration file is for. */
export type ConfigKind = 'gateway' | 'host';

/** What a check found. */
export interface CheckedConfig {
  /** Undefined when the file does not tell. */
  readonly kind: ConfigKind | undefined;
  /** Everything that is wrong; empty for a right file. */
  readonly problems: readonly ConfigProblem[];
}

/** Keys that only one of the two has. */
const TELLING: Readonly<Record<ConfigKind, readonly string[]>> = {
  gateway: ['inside', 'routes'],
  host: ['addresses', 'device'],
};

/** Checks a file. Never throws for what is in it, or for one that cannot be read. @param kind - default: by its keys */
export async function checkConfigFile(file: string, kind?: ConfigKind): Promise<CheckedConfig> {
  let known = kind;
  try {
    known ??= kindOf(await topLevelKeys(readConfigFile(file), file));
    if (known === undefined) {
      const message =
        'is neither a gateway configuration (keys inside, routes) nor a host configuration (keys addresses, device)';
      return { kind: known, problems: [{ line: 1, column: 1, field: '', message }] };
    }
    if (known === 'gateway') await loadGatewayConfig(file);
    else await loadHostConfig(file);
    return { kind: known, problems: [] };
  } catch (error) {
    if (!(error instanceof ConfigError)) throw error;
    return { kind: known, problems: error.problems };
  }
}

function kindOf(keys: readonly string[]): ConfigKind | undefined {
  const kinds = (['gateway', 'host'] as const).filter((kind) =>
    TELLING[kind].some((key) => keys.includes(key)),
  );
  return kinds.length === 1 ? kinds[0] : undefined;
}
