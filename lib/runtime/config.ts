/**
 * Reads the configuration file of `preflex gateway`: YAML in, a complete configuration or all of its problems out, each
 * with file, line, column, field, value and what is allowed. Nothing on the machine is touched here.
 */
import { readFileSync } from 'node:fs';
import type * as Yaml from 'yaml';
import { PreflexError } from '../errors.ts';
import type { ConfigIssue, ConfigPath } from './config-checks.ts';
import { carries, checkGatewayConfig } from './config-checks.ts';
import type { ParsedGatewayConfig } from './config-schema.ts';
import { gatewayConfigSchema } from './config-schema.ts';
import { parsePrefix } from './prefixes.ts';

/** A route out of the domain. */
export interface GatewayRouteConfig {
  readonly name: string;
  /** 1..6 with scheme pool2, 1..15 with full. */
  readonly pathId: number;
  readonly device: string;
  /** IPv4 next hop. */
  readonly nextHop?: string | undefined;
  /** IPv6 next hop. */
  readonly nextHop6?: string | undefined;
}

/** Prefixes outside and the names of the routes that lead there. */
export interface GatewayDestinationConfig {
  readonly prefixes: readonly string[];
  readonly routes: readonly string[];
}

/** A gateway's configuration, complete. */
export interface GatewayConfig {
  readonly inside: { readonly device: string; readonly prefixes: readonly string[] };
  readonly routes: readonly GatewayRouteConfig[];
  /** One IP version each. */
  readonly destinations: readonly GatewayDestinationConfig[];
  /** Names of the routes whose neighbours take LEX codepoints; on all others the DSCP is cleared on leaving. */
  readonly exposeTo: readonly string[];
  readonly scheme: 'pool2' | 'full';
  readonly strategy: 'equal' | 'conservative' | 'loss' | 'mixed';
  /** Weights of the three splits; their sum is 1. @see paper eq. 3 */
  readonly betas: { readonly equal: number; readonly conservative: number; readonly loss: number };
  /** Update interval, seconds. */
  readonly intervalSeconds: number;
  readonly startShare: 'probe' | 'equal';
  readonly fne: {
    readonly perPrefixPerSecond: number;
    readonly totalPerSecond: number;
    readonly memorySeconds: number;
    readonly memoryEntries: number;
    readonly inferFromSyn: boolean;
    readonly inferFromAnswer: boolean;
    readonly countRepeats: boolean;
  };
  /** When a route is suspended for a destination because the marks say that it failed. */
  readonly failures: {
    readonly infer: boolean;
    readonly windowSeconds: number;
    readonly share: number;
    readonly sample: number;
    readonly sampleEntries: number;
  };
  readonly notLect: 'default' | 'hash';
}

/** One thing wrong with a configuration file. */
export interface ConfigProblem {
  /** From 1; 0 when the file could not be read at all. */
  readonly line: number;
  /** From 1. */
  readonly column: number;
  /** Dotted, for example `routes[1].pathId`; empty for the file as a whole. */
  readonly field: string;
  /** A sentence with the value and what is allowed. */
  readonly message: string;
}

/** A configuration file that cannot be used, with everything that is wrong with it. */
export class ConfigError extends PreflexError {
  readonly file: string;
  readonly problems: readonly ConfigProblem[];

  constructor(file: string, problems: readonly ConfigProblem[]) {
    const lines = problems.map(({ line, column, field, message }) => {
      const place = line === 0 ? file : `${file}:${line}:${column}`;
      return field === '' ? `${place}: ${message}` : `${place}: ${field}: ${message}`;
    });
    super('ERR_INVALID_CONFIG', lines.join('\n'));
    this.file = file;
    this.problems = problems;
  }
}

/** Reads a configuration file. @throws ConfigError with all problems at once */
export async function loadGatewayConfig(file: string): Promise<GatewayConfig> {
  let text: string;
  try {
    text = readFileSync(file, 'utf8');
  } catch (cause) {
    const errno = (cause as NodeJS.ErrnoException).code ?? 'unknown error';
    throw new ConfigError(file, [{ line: 0, column: 0, field: '', message: `cannot be read (${errno})` }]);
  }
  return parseGatewayConfig(text, file);
}

/**
 * Parses the text of a configuration file.
 *
 * @param file - its name, for messages
 * @throws ConfigError with all problems at once
 */
export async function parseGatewayConfig(text: string, file: string): Promise<GatewayConfig> {
  const [yaml, zod] = await Promise.all([import('yaml'), import('zod')]);
  const lines = new yaml.LineCounter();
  const document = yaml.parseDocument(text, { lineCounter: lines, prettyErrors: false });
  const at = (offset: number): { line: number; column: number } => {
    const { line, col } = lines.linePos(offset);
    return { line: Math.max(line, 1), column: Math.max(col, 1) };
  };
  if (document.errors.length > 0) {
    throw new ConfigError(
      file,
      document.errors.map((error) => ({
        ...at(error.pos[0]),
        field: '',
        message: `not valid YAML: ${error.message}`,
      })),
    );
  }
  const data: unknown = document.toJS();
  const result = gatewayConfigSchema(zod).safeParse(data);
  const issues: ConfigIssue[] = checkGatewayConfig(data);
  for (const issue of result.error?.issues ?? []) {
    const path = issue.path as ConfigPath;
    if (issue.code === 'unrecognized_keys') {
      for (const key of issue.keys) issues.push({ path: [...path, key], allowed: issue.message });
    } else {
      issues.push({ path, allowed: issue.message });
    }
  }
  if (issues.length > 0 || result.data === undefined) {
    const problems = issues.map((issue) => toProblem(yaml, document, data, issue, at));
    problems.sort((a, b) => a.line - b.line || a.column - b.column);
    throw new ConfigError(file, problems);
  }
  return complete(result.data);
}

function toProblem(
  yaml: typeof Yaml,
  document: Yaml.Document,
  data: unknown,
  issue: ConfigIssue,
  at: (offset: number) => { line: number; column: number },
): ConfigProblem {
  const { path, allowed } = issue;
  const value = 'shown' in issue && issue.shown !== undefined ? issue.shown : valueAt(data, path);
  const message =
    value === undefined || value === null
      ? `is missing; it takes ${allowed}`
      : `${typeof issue.shown === 'string' ? issue.shown : JSON.stringify(value)} is not allowed; it takes ${allowed}`;
  const isUnknownKey = allowed.startsWith('only the keys');
  return {
    ...at(offsetOf(yaml, document, path, isUnknownKey)),
    field: fieldName(path),
    message: isUnknownKey ? `is not a known key; there are ${allowed}` : message,
  };
}

/** Where a value - or for an unknown key the key - begins; for what is missing, where its nearest owner begins. */
function offsetOf(yaml: typeof Yaml, document: Yaml.Document, path: ConfigPath, wantsKey: boolean): number {
  const owner = path.length === 0 ? undefined : document.getIn(path.slice(0, -1), true);
  if (wantsKey && yaml.isMap(owner)) {
    const pair = owner.items.find(
      ({ key }) => yaml.isScalar(key) && String(key.value) === String(path.at(-1)),
    );
    const range = yaml.isScalar(pair?.key) ? pair.key.range : undefined;
    if (range) return range[0];
  }
  for (let length = path.length; length >= 0; length--) {
    const node = length === 0 ? document.contents : document.getIn(path.slice(0, length), true);
    if (yaml.isNode(node) && node.range) return node.range[0];
  }
  return 0;
}

function valueAt(data: unknown, path: ConfigPath): unknown {
  let value: unknown = data;
  for (const key of path) {
    if (typeof value !== 'object' || value === null) return undefined;
    value = (value as Record<string | number, unknown>)[key];
  }
  return value;
}

function fieldName(path: ConfigPath): string {
  return path.reduce<string>(
    (name, key) => (typeof key === 'number' ? `${name}[${key}]` : name === '' ? key : `${name}.${key}`),
    '',
  );
}

/** Fills in the defaults that depend on other fields. */
function complete(parsed: ParsedGatewayConfig): GatewayConfig {
  const taken = new Set(parsed.routes.map((route) => route.pathId));
  let next = 1;
  const routes = parsed.routes.map((route): GatewayRouteConfig => {
    let { pathId } = route;
    if (pathId === undefined) {
      while (taken.has(next)) next++;
      pathId = next++;
    }
    return { ...route, pathId };
  });
  const betas = parsed.betas ?? DEFAULT_BETAS[parsed.strategy];
  const insidePrefixes = parsed.inside.prefixes.map(canonical);
  return {
    inside: { device: parsed.inside.device, prefixes: insidePrefixes },
    routes,
    destinations: completeDestinations(parsed, routes, insidePrefixes),
    exposeTo: parsed.exposeTo,
    scheme: parsed.scheme,
    strategy: parsed.strategy,
    betas,
    intervalSeconds: parsed.intervalSeconds,
    startShare: parsed.startShare ?? (betas.equal > 0 ? 'probe' : 'equal'),
    fne: parsed.fne,
    failures: parsed.failures,
    notLect: parsed.notLect,
  };
}

/** The paper's values; `mixed` has none and must be given its own. */
const DEFAULT_BETAS = {
  equal: { equal: 1, conservative: 0, loss: 0 },
  conservative: { equal: 0.1, conservative: 0.9, loss: 0 },
  loss: { equal: 0.1, conservative: 0, loss: 0.9 },
  mixed: { equal: 0, conservative: 0, loss: 0 },
} as const;

/**
 * Destinations of one IP version each, over the routes that carry it. Without any in the file: everything, for each IP
 * version that the inside has and some route carries.
 */
function completeDestinations(
  parsed: ParsedGatewayConfig,
  routes: readonly GatewayRouteConfig[],
  insidePrefixes: readonly string[],
): GatewayDestinationConfig[] {
  const versionOf = (prefix: string): 4 | 6 => (prefix.includes(':') ? 6 : 4);
  const able = (family: 4 | 6): string[] =>
    routes.filter((route) => carries({ ...route }, family)).map((route) => route.name);
  const everything = [
    {
      prefixes: ['0.0.0.0/0', '::/0'].filter((all) =>
        insidePrefixes.some((own) => versionOf(own) === versionOf(all)),
      ),
      routes: undefined,
    },
  ];
  return (parsed.destinations ?? everything).flatMap((entry) =>
    ([4, 6] as const)
      .map((family) => ({
        prefixes: entry.prefixes.filter((prefix) => versionOf(prefix) === family).map(canonical),
        routes: entry.routes ?? able(family),
      }))
      .filter((destination) => destination.prefixes.length > 0 && destination.routes.length > 0),
  );
}

function canonical(prefix: string): string {
  return parsePrefix(prefix)?.text ?? prefix;
}
