/**
 * Reads a configuration file by a schema: YAML in, checked data or all of its problems out, each with file, line,
 * column, field, value and what is allowed. What the fields are, the schemas say.
 */
import { readFileSync } from 'node:fs';
import type * as Yaml from 'yaml';
import type * as zod from 'zod';
import { PreflexError } from '../errors.ts';

/** Where a value is in the file: keys and list positions from the top. */
export type ConfigPath = readonly (string | number)[];

/** Something wrong with a value, as a check finds it. */
export interface ConfigIssue {
  readonly path: ConfigPath;
  /** What the field takes, in words; completes "it takes ...". */
  readonly allowed: string;
  /** The value to show, where it is not the one at `path`. */
  readonly shown?: unknown;
}

/** One thing wrong with a configuration file. */
export interface ConfigProblem {
  /** From 1; 0 when the file could not be read at all. */
  readonly line: number;
  /** From 1. */
  readonly column: number;
  /** Dotted, for example `routes[1].pathId`; empty for the file as a whole. */
  readonly field: string;
  /** The value as the file has it; undefined when it is missing, or the file as a whole is meant. */
  readonly value?: unknown;
  /** What the field takes, in words; undefined for a file that cannot be read. */
  readonly allowed?: string;
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

/** Text of a file. @throws ConfigError when it cannot be read */
export function readConfigFile(file: string): string {
  try {
    return readFileSync(file, 'utf8');
  } catch (cause) {
    const errno = (cause as NodeJS.ErrnoException).code ?? 'unknown error';
    throw new ConfigError(file, [{ line: 0, column: 0, field: '', message: `cannot be read (${errno})` }]);
  }
}

/**
 * Parses text by a schema.
 *
 * @param file - its name, for messages
 * @param check - finds what depends on several fields, in the data as the file has it
 * @throws ConfigError with all problems at once
 */
export async function parseConfigText<Schema extends zod.ZodType>(
  text: string,
  file: string,
  schema: Schema,
  check: (data: unknown) => readonly ConfigIssue[],
): Promise<zod.output<Schema>> {
  const { yaml, document, at } = await readYaml(text, file);
  const data: unknown = document.toJS();
  const result = schema.safeParse(data);
  const issues: ConfigIssue[] = [...check(data)];
  for (const issue of result.error?.issues ?? []) {
    const path = issue.path as ConfigPath;
    if (issue.code === 'unrecognized_keys') {
      for (const key of issue.keys) issues.push({ path: [...path, key], allowed: issue.message });
    } else {
      issues.push({ path, allowed: issue.message });
    }
  }
  if (issues.length > 0 || !result.success) {
    const problems = issues.map((issue) => toProblem(yaml, document, data, issue, at));
    problems.sort((a, b) => a.line - b.line || a.column - b.column);
    throw new ConfigError(file, problems);
  }
  return result.data;
}

/** The top-level keys of a file, to tell what it configures. @throws ConfigError when it is not YAML */
export async function topLevelKeys(text: string, file: string): Promise<string[]> {
  const { document } = await readYaml(text, file);
  const data: unknown = document.toJS();
  return typeof data === 'object' && data !== null && !Array.isArray(data) ? Object.keys(data) : [];
}

type At = (offset: number) => { line: number; column: number };

async function readYaml(
  text: string,
  file: string,
): Promise<{ yaml: typeof Yaml; document: Yaml.Document; at: At }> {
  const yaml = await import('yaml');
  const lines = new yaml.LineCounter();
  const document = yaml.parseDocument(text, { lineCounter: lines, prettyErrors: false });
  const at: At = (offset) => {
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
  return { yaml, document, at };
}

function toProblem(
  yaml: typeof Yaml,
  document: Yaml.Document,
  data: unknown,
  issue: ConfigIssue,
  at: At,
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
    // It may be a secret that was meant for a file.
    value: isUnknownKey && path[0] === 'share' ? undefined : value,
    allowed,
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
