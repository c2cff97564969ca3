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
 * A lasting journal is of a daemon whose programs go on in the kernel without it: it is not undone when its process is
 * dead, but taken over by the next start for the same role and subject, and undone when somebody asks for it.
 *
 * A namespace is known by its inode, which the kernel gives to another one after it is gone: undos therefore put a
 * setting back only if it still has the value that was set, and tolerate what is gone. A lasting journal holds the
 * namespace's cookie as well, and is forgotten when that namespace is gone.
 */
import { appendFileSync, readFileSync, readdirSync, renameSync, unlinkSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { PreflexError, invalidOption } from '../errors.ts';
import { CommandError, bootId, isAlive, namespaceInode, processInfo } from '../netns/index.ts';
import { networkNamespaceCookie } from '../sys/netns.ts';
import type { Change, Command, Execute } from './change.ts';
import { requireCommand, undoCommands } from './change.ts';
import { withLock } from './journal-lock.ts';
import { DEFAULT_STATE_DIRECTORY, prepareStateDirectory } from './state-directory.ts';

/** Where journals are kept by default. */
export const DEFAULT_JOURNAL_DIRECTORY = DEFAULT_STATE_DIRECTORY;

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
  /** Whether the changes outlive the process, and those of the process before are taken over. Default false. */
  readonly isLasting?: boolean | undefined;
}

/** A journal of a dead process that was found and undone. */
export interface RecoveredJournal {
  readonly path: string;
  readonly pid: number;
  /** How many changes were taken back. */
  readonly changes: number;
}

/** The process of a journal that was left in an orderly way. */
const NOBODY = 0;

interface Header {
  readonly version: 1;
  readonly pid: number;
  readonly startTicks: number;
  readonly bootId: string;
  readonly netnsInode: number;
  readonly role: string;
  readonly subject: string;
  /** Of a lasting journal: the namespace's cookie, where the kernel has one. */
  readonly lasting?: { readonly cookie: string | undefined } | undefined;
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
  readonly #header: Header;
  #entries: Entry[] = [];
  /** Keys of a lasting journal before this one that nobody has asked for again. */
  readonly #unclaimed = new Set<string>();
  readonly #cookie: string | undefined;
  #takenOver = 0;
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
    // That of another namespace than this process's own is not known.
    this.#cookie = options.netnsInode === namespaceInode() ? networkNamespaceCookie() : undefined;
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
      lasting: options.isLasting === true ? { cookie: this.#cookie } : undefined,
    };
    this.#header = header;
    this.recovered = withLock(this.#directory, () => {
      const recovered = this.#recover();
      const holder = readJournals(this.#directory).find((journal) => journal.path === this.path);
      if (holder?.header !== undefined && !isRunning(holder.header)) {
        if (options.isLasting === true) this.#takeOver(header, holder.entries);
        else throw leftInKernel(options.role, options.subject, this.path);
      } else if (holder !== undefined) {
        throw new PreflexError(
          'ERR_SYSTEM',
          `preflex ${options.role} for ${options.subject} is already running: pid ${holder.header?.pid} (${this.path}). ` +
            'End that process first, or serve another address.',
        );
      } else writeFileSync(this.path, `${JSON.stringify(header)}\n`, { mode: 0o600, flag: 'wx' });
      return recovered;
    });
  }

  /** Keys of the changes that this journal holds, in the order they were made. */
  get keys(): string[] {
    return this.#entries.map((entry) => entry.key);
  }

  /** Whether changes of an earlier process were taken over. */
  get isTakenOver(): boolean {
    return this.#takenOver > 0;
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
      if (this.#unclaimed.delete(change.key)) {
        // Made already, unless somebody took it away since; the way back is the one written down then.
        for (const command of change.run) ignoreExisting(() => { this.#execute(command); }); // prettier-ignore
        return;
      }
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

  /** Takes back what was taken over from an earlier process and not made again by this one. */
  dropUnclaimed(): void {
    for (const key of [...this.#unclaimed].reverse()) this.revert(key);
    this.#unclaimed.clear();
  }

  /** Ends this process's use of a lasting journal: everything stays, for the next one. */
  leave(): void {
    if (this.#isClosed) return;
    this.#isClosed = true;
    withLock(this.#directory, () => {
      this.#write({ ...this.#header, pid: NOBODY }, this.#entries);
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

  /** Puts another file in the place of this one, in one step. */
  #write(header: Header, entries: readonly Entry[]): void {
    const path = `${this.path}.new`;
    writeFileSync(path, [header, ...entries].map((line) => `${JSON.stringify(line)}\n`).join(''), {
      mode: 0o600,
    });
    renameSync(path, this.path);
  }

  #takeOver(header: Header, entries: readonly Entry[]): void {
    this.#write(header, entries);
    this.#entries = [...entries];
    this.#takenOver = entries.length;
    for (const { key } of entries) this.#unclaimed.add(key);
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
      if (header.netnsInode !== this.#netnsInode || isRunning(header)) continue;
      if (header.lasting !== undefined) {
        // Of a namespace that is gone, nothing is left.
        if (!this.#isHere(header.lasting)) unlinkSync(path);
        continue;
      }
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
        (isRunning(header) || (header.lasting !== undefined && this.#isHere(header.lasting))),
    );
  }

  /** Whether a lasting journal of this inode may be of this namespace. */
  #isHere({ cookie }: { readonly cookie: string | undefined }): boolean {
    return cookie === undefined || this.#cookie === undefined || cookie === this.#cookie;
  }

  #heldByPeer(key: string): Entry | undefined {
    for (const peer of this.#peers()) {
      const entry = peer.entries.find((candidate) => candidate.key === key && candidate.shared);
      if (entry !== undefined) return entry;
    }
    return undefined;
  }
}

function isRunning({ pid, startTicks }: Header): boolean {
  return isAlive(pid, startTicks);
}

function ignoreExisting(body: () => void): void {
  try {
    body();
  } catch (error) {
    if (!(error instanceof CommandError && error.isExistingObject)) throw error;
  }
}

function leftInKernel(role: string, subject: string, path: string): PreflexError {
  return new PreflexError(
    'ERR_SYSTEM',
    `preflex ${role} for ${subject} goes on in the kernel (${path}). Start it with the eBPF datapath again, or take it ` +
      `off first: preflex ${role} --detach --device ${subject}`,
  );
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

function undoError(path: string, failures: readonly Error[]): PreflexError {
  const error = new PreflexError(
    'ERR_SYSTEM',
    `${path}: ${failures.length} change(s) could not be taken back:\n${failures.map((failure) => failure.message).join('\n')}`,
  );
  error.cause = failures[0];
  return error;
}
