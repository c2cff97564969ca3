/**
 * The undo journal: a daemon's changes to the machine, each written down before it is made, so that they are taken
 * back on a clean exit, and on the next start after a crash.
 *
 * ```
 *   /run/preflex/host-4026531840-192.0.2.1.journal          one JSON object a line
 *     { "version": 1, "pid": 4711, "startTicks": 138214, "bootId": ..., "netnsInode": ..., "role": ..., "subject": ... }
 *     { "key": "sysctl net/ipv4/ip_early_demux", "shared": true, "undo": [...] }     before the change is made
 *     ...
 * ```
 *
 * Opening: every journal of this network namespace whose process is dead is undone, last change first, and removed; one
 * of a live process for the same role and subject is an error. Shared changes (see `change.ts`) are made by the first
 * agent of a namespace and undone by the last; a later agent copies the first one's undo into its own journal.
 *
 * A namespace is known by its inode, which the kernel gives to another one after it is gone: undos therefore put a
 * setting back only if it still has the value that was set, and tolerate what is gone.
 */
import {
  appendFileSync,
  closeSync,
  openSync,
  readFileSync,
  readdirSync,
  rmSync,
  unlinkSync,
  writeFileSync,
} from 'node:fs';
import { join } from 'node:path';
import { PreflexError, invalidOption } from '../errors.ts';
import { blockFor, bootId, isAlive, processInfo } from '../netns/index.ts';
import { nowNs } from '../sys/clock.ts';
import type { Change, Command, Execute } from './change.ts';
import { requireCommand, undoCommands } from './change.ts';
import { DEFAULT_STATE_DIRECTORY, prepareStateDirectory } from './state-directory.ts';

/** Where journals are kept by default. */
export const DEFAULT_JOURNAL_DIRECTORY = DEFAULT_STATE_DIRECTORY;

/** How long to wait for another process that holds the lock. */
const LOCK_NS = 10e9;
/** A lock that has been empty for so long was left by a process that died while it made it. */
const EMPTY_LOCK_NS = 2e9;

/** How to open a journal. */
export interface UndoJournalOptions {
  /** Folder of the journals, made with mode 0700 if missing. Default {@link DEFAULT_JOURNAL_DIRECTORY}. */
  readonly directory?: string | undefined;
  /** What kind of daemon, for example `host` or `gateway`. */
  readonly role: string;
  /** What it serves, for example its address; with the role and the namespace it names the file. */
  readonly subject: string;
  /** Inode of the network namespace that the changes are made in. */
  readonly netnsInode: number;
  /** Carries out changes and undos. */
  readonly execute: Execute;
}

/** A journal of a dead process that was found and undone. */
export interface RecoveredJournal {
  readonly path: string;
  readonly pid: number;
  /** How many changes were taken back. */
  readonly changes: number;
}

interface Header {
  readonly version: 1;
  readonly pid: number;
  readonly startTicks: number;
  readonly bootId: string;
  readonly netnsInode: number;
  readonly role: string;
  readonly subject: string;
}

interface Entry {
  readonly key: string;
  readonly shared: boolean;
  readonly undo: readonly Command[];
}

interface StoredJournal {
  readonly path: string;
  readonly header: Header | undefined;
  readonly entries: readonly Entry[];
}

/** An open journal of this process. */
export class UndoJournal {
  /** The file. */
  readonly path: string;
  /** What a crash had left and opening has undone. */
  readonly recovered: readonly RecoveredJournal[];
  readonly #directory: string;
  readonly #netnsInode: number;
  readonly #execute: Execute;
  #entries: Entry[] = [];
  #isClosed = false;

  /**
   * Opens the journal of (role, namespace, subject), after undoing what dead processes left in the namespace.
   *
   * @throws PreflexError ERR_SYSTEM "already running" when a live process holds it; when an undo fails for another
   *   reason than that its object is gone; when the folder cannot be used
   */
  static open(options: UndoJournalOptions): UndoJournal {
    return new UndoJournal(options);
  }

  private constructor(options: UndoJournalOptions) {
    if (!/^[a-z][a-z0-9-]*$/.test(options.role)) {
      throw invalidOption('role', options.role, 'lower-case letters, digits and dashes');
    }
    if (!/^[\w.:,@%+-]{1,150}$/.test(options.subject)) {
      throw invalidOption('subject', options.subject, '1 to 150 letters, digits and . : , @ % + -');
    }
    this.#directory = options.directory ?? DEFAULT_JOURNAL_DIRECTORY;
    this.#netnsInode = options.netnsInode;
    this.#execute = options.execute;
    this.path = join(this.#directory, `${options.role}-${options.netnsInode}-${options.subject}.journal`);
    prepareStateDirectory(this.#directory, 'undo journals');
    const self = processInfo(process.pid);
    const header: Header = {
      version: 1,
      pid: process.pid,
      startTicks: self?.startTicks ?? 0,
      bootId: bootId(),
      netnsInode: options.netnsInode,
      role: options.role,
      subject: options.subject,
    };
    this.recovered = withLock(this.#directory, () => {
      const recovered = this.#recover();
      const holder = readJournals(this.#directory).find((journal) => journal.path === this.path);
      if (holder !== undefined) {
        throw new PreflexError(
          'ERR_SYSTEM',
          `preflex ${options.role} for ${options.subject} is already running: pid ${holder.header?.pid} (${this.path}). ` +
            'End that process first, or serve another address.',
        );
      }
      writeFileSync(this.path, `${JSON.stringify(header)}\n`, { mode: 0o600, flag: 'wx' });
      return recovered;
    });
  }

  /** Keys of the changes that this journal holds, in the order they were made. */
  get keys(): string[] {
    return this.#entries.map((entry) => entry.key);
  }

  /** Keys that other live agents of this namespace hold: what they have set up is not foreign. */
  peerKeys(): Set<string> {
    return new Set(this.#peers().flatMap((peer) => peer.entries.map((entry) => entry.key)));
  }

  /**
   * Makes a change, after writing its undo down. If the change fails, its undo stays recorded, because part of it may
   * have been made.
   */
  apply(change: Change): void {
    if (this.#isClosed) throw new PreflexError('ERR_INVALID_OPTION', 'this journal is closed already');
    const shared = change.shared ?? false;
    withLock(this.#directory, () => {
      const held = shared ? this.#heldByPeer(change.key) : undefined;
      const entry: Entry = { key: change.key, shared, undo: held?.undo ?? change.undo };
      appendFileSync(this.path, `${JSON.stringify(entry)}\n`);
      this.#entries.push(entry);
      if (held === undefined) for (const command of change.run) this.#execute(command);
    });
  }

  /** Takes back one change now, by its key; nothing happens when the journal does not hold it. */
  revert(key: string): void {
    const index = this.#entries.findLastIndex((entry) => entry.key === key);
    const entry = this.#entries[index];
    if (this.#isClosed || entry === undefined) return;
    withLock(this.#directory, () => {
      const failures = this.#undo(entry);
      if (failures.length > 0) throw undoError(this.path, failures);
      this.#entries.splice(index, 1);
      // Said by a later line, so that the file is only ever appended to.
      appendFileSync(this.path, `${JSON.stringify({ reverted: key })}\n`);
    });
  }

  /**
   * Takes everything back, last change first, and removes the file. The second call does nothing.
   *
   * @throws PreflexError ERR_SYSTEM when an undo fails; all others are run, and the file stays for the next start
   */
  close(): void {
    if (this.#isClosed) return;
    this.#isClosed = true;
    withLock(this.#directory, () => {
      const failures: Error[] = [];
      for (const entry of [...this.#entries].reverse()) failures.push(...this.#undo(entry));
      this.#entries = [];
      if (failures.length > 0) throw undoError(this.path, failures);
      unlinkSync(this.path);
    });
  }

  #undo(entry: Entry): Error[] {
    // A peer that holds the same shared change takes over the duty to undo it.
    if (entry.shared && this.#heldByPeer(entry.key) !== undefined) return [];
    return undoCommands(entry.undo, this.#execute);
  }

  #recover(): RecoveredJournal[] {
    const recovered: RecoveredJournal[] = [];
    for (const journal of readJournals(this.#directory)) {
      const { header, entries, path } = journal;
      if (header !== undefined && header.bootId !== bootId()) {
        unlinkSync(path); // of an earlier boot: nothing of it is left
        continue;
      }
      if (header === undefined) {
        unlinkSync(path); // died before its first line was written, so before its first change
        continue;
      }
      if (header.netnsInode !== this.#netnsInode || isAlive(header.pid, header.startTicks)) continue;
      const failures: Error[] = [];
      for (const entry of [...entries].reverse()) failures.push(...this.#undo(entry));
      if (failures.length > 0) throw undoError(path, failures);
      unlinkSync(path);
      recovered.push({ path, pid: header.pid, changes: entries.length });
    }
    return recovered;
  }

  #peers(): StoredJournal[] {
    return readJournals(this.#directory).filter(
      ({ path, header }) =>
        path !== this.path &&
        header?.netnsInode === this.#netnsInode &&
        header.bootId === bootId() &&
        isAlive(header.pid, header.startTicks),
    );
  }

  #heldByPeer(key: string): Entry | undefined {
    for (const peer of this.#peers()) {
      const entry = peer.entries.find((candidate) => candidate.key === key && candidate.shared);
      if (entry !== undefined) return entry;
    }
    return undefined;
  }
}

/** Takes everything back after `error`, which keeps its place as the error to report; a second one is added to it. */
export function closeAfterFailure(journal: UndoJournal, error: unknown): void {
  try {
    journal.close();
  } catch (second) {
    if (error instanceof Error && second instanceof Error) error.message += `\n${second.message}`;
  }
}

function readJournals(directory: string): StoredJournal[] {
  return readdirSync(directory)
    .filter((name) => name.endsWith('.journal'))
    .sort()
    .map((name) => readJournal(join(directory, name)));
}

function readJournal(path: string): StoredJournal {
  const lines = readFileSync(path, 'utf8').split('\n');
  // A line without its end was cut by a crash while it was written, so its change was never begun.
  lines.pop();
  let header: Header | undefined;
  const entries: Entry[] = [];
  for (const [index, line] of lines.entries()) {
    try {
      const value = JSON.parse(line) as Header & Entry & { reverted?: string };
      if (index === 0) {
        header = value;
      } else if (value.reverted !== undefined) {
        const reverted = value.reverted;
        entries.splice(
          entries.findLastIndex((entry) => entry.key === reverted),
          1,
        );
      } else {
        entries.push({
          key: String(value.key),
          shared: value.shared === true,
          undo: value.undo.map(requireCommand),
        });
      }
    } catch (cause) {
      throw new PreflexError(
        'ERR_SYSTEM',
        `${path}:${index + 1}: this line of the undo journal cannot be read. Undo by hand what it lists, then remove the file.`,
        { cause },
      );
    }
  }
  return { path, header, entries };
}

/** Serialises journals of one folder between processes; held for milliseconds. Not reentrant. */
function withLock<T>(directory: string, body: () => T): T {
  const path = join(directory, 'lock');
  const startNs = nowNs();
  let emptySinceNs = startNs;
  for (;;) {
    try {
      const fd = openSync(path, 'wx', 0o600);
      try {
        writeFileSync(fd, String(process.pid));
      } finally {
        closeSync(fd);
      }
      break;
    } catch (error) {
      if ((error as NodeJS.ErrnoException).code !== 'EEXIST') throw error;
    }
    const holder = readHolder(path);
    if (holder !== '') emptySinceNs = nowNs();
    // Empty: made a moment ago and not written yet, unless its maker died just then.
    const isDead = holder === '' ? nowNs() - emptySinceNs > EMPTY_LOCK_NS : !isAlive(Number(holder));
    if (isDead) rmSync(path, { force: true });
    if (nowNs() - startNs > LOCK_NS) {
      throw new PreflexError(
        'ERR_SYSTEM',
        `${path}: another process has held the lock for 10 s. Remove the file if none is running.`,
      );
    }
    blockFor(5);
  }
  try {
    return body();
  } finally {
    unlinkSync(path);
  }
}

/** What a lock says; the own process id, which lives, when it has been released meanwhile. */
function readHolder(path: string): string {
  try {
    return readFileSync(path, 'utf8');
  } catch {
    return String(process.pid);
  }
}

function undoError(path: string, failures: readonly Error[]): PreflexError {
  const error = new PreflexError(
    'ERR_SYSTEM',
    `${path}: ${failures.length} change(s) could not be taken back:\n${failures.map((failure) => failure.message).join('\n')}`,
  );
  error.cause = failures[0];
  return error;
}
