/**
 * The configuration of a running daemon: which one is in force, and how another takes its place.
 *
 * The text in force is kept, so that a change by hand (`preflex set`) is an edit of it and passes the same checks as a
 * file. Either all of a new configuration comes into force, or nothing of it.
 */
import { PreflexError } from '../errors.ts';
import { configDifferences, requireLiveDifferences } from './config-difference.ts';
import { ConfigError, readConfigFile } from './config-file.ts';
import type { EventLog } from './events.ts';

/** A new value for a field of the file, by its path; undefined takes the field out. */
export type ConfigEdit = readonly [path: readonly string[], value: unknown];

/** What a {@link LiveConfig} keeps, and how it is read and taken over. */
export interface LiveConfigOptions<Config, File extends string | undefined> {
  /** The file that a reload reads; undefined for a daemon that was started with options. */
  readonly file: File;
  /** What `config` was read from. */
  readonly text: string;
  readonly config: Config;
  /** Fields that can change at run time, dotted; all that is below one can. */
  readonly fields: readonly string[];
  /** Reads a text. @param name - of the text, for messages */
  readonly parse: (text: string, name: string) => Promise<Config>;
  /** Puts a configuration into force that differs in live fields only; throws when it cannot. */
  readonly apply: (next: Config, before: Config) => void;
  /** Where changes are noted. */
  readonly events: EventLog;
}

/** Fields, and characters of a message, that an event names at most. */
const TOLD_FIELDS = 20;
const TOLD_CHARACTERS = 1000;

/** Keeps the configuration in force. */
export class LiveConfig<Config extends object, File extends string | undefined = string> {
  readonly #options: LiveConfigOptions<Config, File>;
  #text: string;
  #config: Config;
  /** Changes wait for each other: reading a file takes several turns of the event loop. */
  #queue: Promise<unknown> = Promise.resolve();

  constructor(options: LiveConfigOptions<Config, File>) {
    this.#options = options;
    this.#text = options.text;
    this.#config = options.config;
  }

  /** The file that {@link reload} reads. */
  get file(): File {
    return this.#options.file;
  }

  /** What is in force. */
  get config(): Config {
    return this.#config;
  }

  /**
   * Reads the file again. What was set by hand meanwhile is given up for what the file says.
   *
   * @returns fields that changed
   * @throws PreflexError with everything that is wrong or cannot change; then the configuration before stays in force
   */
  async reload(): Promise<string[]> {
    const { events, file } = this.#options;
    try {
      if (file === undefined)
        throw new PreflexError('ERR_INVALID_OPTION', 'this daemon was started with options, not with a file');
      const changed = await this.#inTurn(() => this.#take(readConfigFile(file), file));
      events.add({ kind: 'reload', ok: true, changed: changed.slice(0, TOLD_FIELDS) });
      return changed;
    } catch (error) {
      events.add({ kind: 'reload', ok: false, message: (error as Error).message.slice(0, TOLD_CHARACTERS) });
      throw error;
    }
  }

  /**
   * Changes fields until the next reload or restart.
   *
   * @returns fields that changed
   * @throws PreflexError as for {@link reload}
   */
  async edit(edits: readonly ConfigEdit[]): Promise<string[]> {
    const changed = await this.#inTurn(async () => {
      const { parseDocument } = await import('yaml');
      const document = parseDocument(this.#text);
      for (const [path, value] of edits) {
        if (value === undefined) document.deleteIn(path);
        else document.setIn(path, document.createNode(value));
      }
      try {
        return await this.#take(String(document), 'set');
      } catch (error) {
        throw error instanceof ConfigError ? withoutPlaces(error) : error;
      }
    });
    this.#options.events.add({ kind: 'set', changed: changed.slice(0, TOLD_FIELDS) });
    return changed;
  }

  #inTurn<T>(body: () => Promise<T>): Promise<T> {
    const turn = this.#queue.then(body);
    this.#queue = turn.catch(() => undefined);
    return turn;
  }

  async #take(text: string, name: string): Promise<string[]> {
    const { apply, fields, parse } = this.#options;
    const next = await parse(text, name);
    const differences = configDifferences(this.#config, next);
    requireLiveDifferences(differences, fields);
    if (differences.length > 0) apply(next, this.#config);
    this.#text = text;
    this.#config = next;
    return differences.map(({ field }) => field);
  }
}

/** Nobody has seen the text that was edited: lines and columns of it say nothing. */
function withoutPlaces({ problems }: ConfigError): PreflexError {
  const lines = problems.map(({ field, message }) => (field === '' ? message : `${field}: ${message}`));
  return new PreflexError('ERR_INVALID_CONFIG', lines.join('\n'));
}
