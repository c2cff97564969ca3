/** The undo journal with a pretended machine: a map of settings, and processes that are alive or dead. */
import { spawnSync } from 'node:child_process';
import {
  chmodSync,
  mkdirSync,
  mkdtempSync,
  readFileSync,
  readdirSync,
  rmSync,
  statSync,
  writeFileSync,
} from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import { CommandError, namespaceInode, processInfo } from '../../lib/netns/index.ts';
import type { Change, Command } from '../../lib/runtime/change.ts';
import { UndoJournal } from '../../lib/runtime/undo-journal.ts';

const NETNS = 4_026_531_840;

let folder = '';
let log: string[] = [];
let machine = new Map<string, string>();
let onCommand: ((command: Command) => void) | undefined;

beforeEach(() => {
  folder = mkdtempSync(join(tmpdir(), 'pfx-journal-'));
  log = [];
  machine = new Map([
    ['net/a', '0'],
    ['net/b', '0'],
  ]);
  onCommand = undefined;
});

afterEach(() => rmSync(folder, { recursive: true, force: true }));

function execute(command: Command): void {
  onCommand?.(command);
  if (command.kind !== 'sysctl') {
    log.push(command.kind === 'ip' ? command.args.join(' ') : 'batch');
    return;
  }
  if (command.onlyIf !== undefined && machine.get(command.name) !== command.onlyIf) return;
  machine.set(command.name, command.value);
  log.push(`${command.name}=${command.value}`);
}

const open = (subject = '10.0.0.1', netnsInode = NETNS): UndoJournal =>
  UndoJournal.open({ directory: folder, role: 'host', subject, netnsInode, execute });

const set = (name: string, shared = false): Change => ({
  key: `sysctl ${name}`,
  shared,
  run: [{ kind: 'sysctl', name, value: '1' }],
  undo: [{ kind: 'sysctl', name, value: '0', onlyIf: '1' }],
});

const journals = (): string[] => readdirSync(folder).filter((name) => name.endsWith('.journal'));

/** Rewrites a journal's header, as if another process had written it. */
function rewriteHeader(path: string, change: Record<string, unknown>): void {
  const [header = '', ...rest] = readFileSync(path, 'utf8').split('\n');
  writeFileSync(path, [JSON.stringify({ ...(JSON.parse(header) as object), ...change }), ...rest].join('\n'));
}

/** A pid that is certainly dead. */
const deadPid = (): number => spawnSync('true').pid;

describe('a journal of a clean run', () => {
  it('is named by role, namespace and subject, readable by its user alone', () => {
    const journal = open();
    expect(journals()).toEqual([`host-${NETNS}-10.0.0.1.journal`]);
    expect(statSync(journal.path).mode & 0o777).toBe(0o600);
  });

  it('is written before the change is made', () => {
    const journal = open();
    let atTheTime = '';
    onCommand = () => (atTheTime = readFileSync(journal.path, 'utf8'));
    journal.apply(set('net/a'));
    expect(atTheTime).toContain('"key":"sysctl net/a"');
  });

  it('undoes everything in reverse order, once, and removes its file', () => {
    const journal = open();
    journal.apply(set('net/a'));
    journal.apply(set('net/b'));
    journal.close();
    journal.close();
    expect(log).toEqual(['net/a=1', 'net/b=1', 'net/b=0', 'net/a=0']);
    expect(readdirSync(folder)).toEqual([]);
  });

  it('leaves alone what somebody else has changed since', () => {
    const journal = open();
    journal.apply(set('net/a'));
    machine.set('net/a', '7');
    journal.close();
    expect(machine.get('net/a')).toBe('7');
  });

  it('takes back a single change at once, and not again later', () => {
    const journal = open();
    journal.apply(set('net/a'));
    journal.apply(set('net/b'));
    journal.revert('sysctl net/a');
    journal.revert('never made');
    expect([machine.get('net/a'), machine.get('net/b')]).toEqual(['0', '1']);
    machine.set('net/a', '1');
    rewriteHeader(journal.path, { pid: deadPid() });
    open();
    expect([machine.get('net/a'), machine.get('net/b')]).toEqual(['1', '0']);
  });
});

describe('a journal after a crash', () => {
  it('is found by the next start, undone in reverse, and begun anew', () => {
    const crashed = open();
    crashed.apply(set('net/a'));
    crashed.apply(set('net/b'));
    const pid = deadPid();
    rewriteHeader(crashed.path, { pid });
    const next = open();
    expect(next.recovered).toEqual([{ path: crashed.path, pid, changes: 2 }]);
    expect(log.slice(2)).toEqual(['net/b=0', 'net/a=0']);
    expect(next.keys).toEqual([]);
    expect(journals()).toHaveLength(1);
  });

  it('is not taken for a live one when its pid belongs to another process now', () => {
    const crashed = open();
    crashed.apply(set('net/a'));
    rewriteHeader(crashed.path, { startTicks: (processInfo(process.pid)?.startTicks ?? 0) - 1 });
    expect(open().recovered).toHaveLength(1);
    expect(machine.get('net/a')).toBe('0');
  });

  it('of another subject in the same namespace is undone too, of another namespace not', () => {
    for (const [subject, netns] of [
      ['10.0.0.2', NETNS],
      ['10.0.0.3', NETNS + 1],
    ] as const) {
      rewriteHeader(open(subject, netns).path, { pid: deadPid() });
    }
    expect(open().recovered.map((journal) => journal.path)).toEqual([
      join(folder, `host-${NETNS}-10.0.0.2.journal`),
    ]);
    expect(journals()).toHaveLength(2);
  });

  it('tolerates what is gone already, and what was cut in the middle of a line', () => {
    const crashed = open();
    crashed.apply({ key: 'rule', run: [], undo: [{ kind: 'ip', args: ['rule', 'del', 'priority', '20'] }] });
    crashed.apply(set('net/a'));
    rewriteHeader(crashed.path, { pid: deadPid() });
    writeFileSync(crashed.path, '{"key":"half a li', { flag: 'a' });
    onCommand = (command) => {
      if (command.kind === 'ip')
        throw new CommandError(['ip'], 2, 'RTNETLINK answers: No such file or directory');
    };
    expect(open().recovered[0]?.changes).toBe(2);
    expect(machine.get('net/a')).toBe('0');
  });

  it('of an earlier boot is dropped without undoing anything', () => {
    const crashed = open();
    crashed.apply(set('net/a'));
    rewriteHeader(crashed.path, { bootId: 'another', pid: deadPid() });
    expect(open().recovered).toEqual([]);
    expect(machine.get('net/a')).toBe('1');
  });

  it('that cannot be undone for another reason stays, and the error says what failed', () => {
    const crashed = open();
    crashed.apply(set('net/a'));
    crashed.apply(set('net/b'));
    rewriteHeader(crashed.path, { pid: deadPid() });
    onCommand = (command) => {
      if (command.kind === 'sysctl' && command.name === 'net/b') throw new Error('the kernel refuses');
    };
    expect(() => open()).toThrow(/1 change\(s\) could not be taken back:\nthe kernel refuses/);
    expect(machine.get('net/a')).toBe('0');
    expect(journals()).toHaveLength(1);
    onCommand = undefined;
    expect(open().recovered).toHaveLength(1);
    expect(machine.get('net/b')).toBe('0');
  });

  it('that is damaged is refused with file and line, and nothing of it is run', () => {
    const crashed = open();
    crashed.apply(set('net/a'));
    rewriteHeader(crashed.path, { pid: deadPid() });
    writeFileSync(crashed.path, '{"key":"x","undo":[{"kind":"shell","args":["reboot"]}]}\n', { flag: 'a' });
    expect(() => open()).toThrow(/\.journal:3: this line of the undo journal cannot be read/);
    expect(log).toEqual(['net/a=1']);
  });

  it('a lock of a dead process does not hold up the next start', () => {
    writeFileSync(join(folder, 'lock'), String(deadPid()));
    expect(open().recovered).toEqual([]);
  });
});

describe('several agents', () => {
  it('a second one for the same subject is refused, naming the pid', () => {
    open();
    expect(() => open()).toThrow(new RegExp(`already running: pid ${process.pid} `));
    expect(journals()).toHaveLength(1);
  });

  it('a shared change is made by the first and undone by the last', () => {
    const first = open('10.0.0.1');
    const second = open('10.0.0.2');
    first.apply(set('net/a', true));
    second.apply(set('net/a', true));
    expect([...second.peerKeys()]).toEqual(['sysctl net/a']);
    expect(log).toEqual(['net/a=1']);
    first.close();
    expect(machine.get('net/a')).toBe('1');
    second.close();
    expect(log).toEqual(['net/a=1', 'net/a=0']);
  });

  it('a later one undoes to what was before the first, whatever it found itself', () => {
    machine.set('net/a', '5');
    const change = (before: string): Change => ({
      ...set('net/a', true),
      undo: [{ kind: 'sysctl', name: 'net/a', value: before, onlyIf: '1' }],
    });
    const first = open('10.0.0.1');
    first.apply(change('5'));
    const second = open('10.0.0.2');
    second.apply(change('1'));
    first.close();
    second.close();
    expect(machine.get('net/a')).toBe('5');
  });

  it('recovery leaves in place what a live one shares with the dead', () => {
    const crashed = open('10.0.0.1');
    crashed.apply(set('net/a', true));
    crashed.apply(set('net/b'));
    const live = open('10.0.0.2');
    live.apply(set('net/a', true));
    rewriteHeader(crashed.path, { pid: deadPid() });
    open('10.0.0.1');
    expect([machine.get('net/a'), machine.get('net/b')]).toEqual(['1', '0']);
    live.close();
    expect(machine.get('net/a')).toBe('0');
  });
});

describe('the folder of the journals', () => {
  it('is made when it is missing, for its user alone', () => {
    const directory = join(folder, 'new', 'deep');
    UndoJournal.open({ directory, role: 'host', subject: 'x', netnsInode: NETNS, execute });
    expect(statSync(directory).mode & 0o777).toBe(0o700);
  });

  it('is refused when others can write to it', () => {
    const directory = join(folder, 'open');
    mkdirSync(directory);
    chmodSync(directory, 0o777);
    expect(() =>
      UndoJournal.open({ directory, role: 'host', subject: 'x', netnsInode: NETNS, execute }),
    ).toThrow(/nobody else can write to/);
  });

  it('a subject cannot lead out of it', () => {
    expect(() => open('../../etc/passwd')).toThrow(/subject/);
  });
});

describe('a lasting journal', () => {
  const openLasting = (subject = 'lan', netnsInode = namespaceInode()): UndoJournal =>
    UndoJournal.open({ directory: folder, role: 'gateway', subject, netnsInode, execute, isLasting: true });
  const leaveBehind = (changes: readonly Change[]): string => {
    const journal = openLasting();
    for (const change of changes) journal.apply(change);
    journal.leave();
    rewriteHeader(journal.path, { pid: deadPid() });
    log = [];
    return journal.path;
  };

  it('is not undone when its process is dead, but taken over, with the ways back that it had', () => {
    leaveBehind([set('net/a')]);
    const other = UndoJournal.open({
      directory: folder,
      role: 'host',
      subject: 'x',
      netnsInode: namespaceInode(),
      execute,
    });
    expect(other.recovered).toEqual([]);
    expect(other.peerKeys()).toEqual(new Set(['sysctl net/a']));
    other.close();
    const next = openLasting();
    expect([next.isTakenOver, next.keys]).toEqual([true, ['sysctl net/a']]);
    // It finds the setting as it is now, and would put that back.
    next.apply({ ...set('net/a'), undo: [] });
    next.dropUnclaimed();
    expect(machine.get('net/a')).toBe('1');
    next.close();
    expect(machine.get('net/a')).toBe('0');
    expect(journals()).toEqual([]);
  });

  it('takes back what the next process does not make again', () => {
    leaveBehind([set('net/a'), set('net/b')]);
    const next = openLasting();
    next.apply(set('net/b'));
    next.dropUnclaimed();
    expect([...machine.values()]).toEqual(['0', '1']);
    expect(next.keys).toEqual(['sysctl net/b']);
  });

  it('makes over what somebody took away, and is content with what is there', () => {
    const rule: Change = {
      key: 'rule',
      run: [{ kind: 'ip', args: ['rule', 'add'] }],
      undo: [{ kind: 'ip', args: ['rule', 'del'] }],
    };
    leaveBehind([rule]);
    onCommand = () => {
      throw new CommandError(['ip', 'rule', 'add'], 2, 'RTNETLINK answers: File exists');
    };
    expect(() => openLasting().apply(rule)).not.toThrow();
    onCommand = undefined;
  });

  it('keeps a daemon out that does not know how to go on with it', () => {
    const path = leaveBehind([set('net/a')]);
    expect(() =>
      UndoJournal.open({
        directory: folder,
        role: 'gateway',
        subject: 'lan',
        netnsInode: namespaceInode(),
        execute,
      }),
    ).toThrow(/goes on in the kernel .*--detach --device lan/);
    expect(readFileSync(path, 'utf8')).toContain('net/a');
  });

  it('is forgotten when its namespace is gone, whose number another has now', () => {
    const path = leaveBehind([set('net/a')]);
    rewriteHeader(path, { lasting: { cookie: '1' } });
    const next = openLasting();
    expect([next.isTakenOver, next.keys, log]).toEqual([false, [], []]);
  });
});
