/** Log lines where there is no room for them, and where nobody reads. */
import { execFileSync } from 'node:child_process';
import {
  closeSync,
  mkdtempSync,
  openSync,
  readFileSync,
  readSync,
  renameSync,
  rmSync,
  symlinkSync,
  unlinkSync,
} from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import { makeDaemonLog, requireLogLevel } from '../../lib/runtime/daemon-log.ts';
import { LogSink } from '../../lib/runtime/log-sink.ts';

let folder = '';
let path = '';
beforeEach(() => {
  folder = mkdtempSync(join(tmpdir(), 'preflex-log-'));
  path = join(folder, 'log');
});
afterEach(() => {
  rmSync(folder, { recursive: true });
});
const openSink = (): LogSink => {
  const sink = new LogSink(path, (lost) => `lost ${lost}\n`);
  sink.open();
  return sink;
};

describe('the log sink', () => {
  it('counts what a full disk does not take, and says it in front of the next line that fits', () => {
    symlinkSync('/dev/full', path);
    const sink = openSink();
    for (let i = 0; i < 1000; i++) sink.write(`line ${i}\n`);
    expect(sink.lost).toBe(1000);
    unlinkSync(path);
    sink.open();
    sink.write('room again\n');
    sink.write('and on\n');
    expect(readFileSync(path, 'utf8')).toBe('lost 1000\nroom again\nand on\n');
    expect(sink.lost).toBe(1000);
  });

  it('does not wait for a reader that is stuck', () => {
    execFileSync('mkfifo', [path]);
    const reader = openSync(path, 'r+');
    const sink = openSink();
    const line = `${'x'.repeat(999)}\n`;
    let written = 0;
    while (sink.lost === 0) {
      sink.write(line);
      written++;
    }
    // A pipe holds 64 KiB; that the loop ended is the point.
    expect(written).toBeGreaterThan(1);
    const bytes = Buffer.alloc(1 << 20);
    expect(readSync(reader, bytes)).toBe((written - 1) * line.length);
    sink.write('after\n');
    expect(bytes.toString('utf8', 0, readSync(reader, bytes))).toBe('lost 1\nafter\n');
    closeSync(reader);
  });

  it('writes of a line as much as a reader that is stuck leaves room for, and begins the next one anew', () => {
    execFileSync('mkfifo', [path]);
    const reader = openSync(path, 'r+');
    const sink = openSink();
    // More than a pipe holds.
    sink.write(`${'x'.repeat(200_000)}\n`);
    expect(sink.lost).toBe(1);
    const bytes = Buffer.alloc(1 << 20);
    const first = readSync(reader, bytes);
    expect(bytes.toString('utf8', 0, first)).toBe('x'.repeat(first));
    sink.write('after\n');
    expect(bytes.toString('utf8', 0, readSync(reader, bytes))).toBe('\nlost 1\nafter\n');
    closeSync(reader);
  });

  it('waits as long as it may for a reader that is only slow, once', () => {
    execFileSync('mkfifo', [path]);
    const reader = openSync(path, 'r+');
    const sink = new LogSink(path, (lost) => `lost ${lost}\n`, { patienceMs: 30 });
    sink.open();
    const elapsedMs = (body: () => void): number => {
      const startMs = performance.now();
      body();
      return performance.now() - startMs;
    };
    const line = `${'x'.repeat(200_000)}\n`;
    expect(elapsedMs(() => sink.write(line))).toBeGreaterThanOrEqual(30);
    // Not again before it has read: a hundred lines would be three seconds.
    const manyMs = elapsedMs(() => {
      for (let i = 0; i < 100; i++) sink.write(line);
    });
    expect(manyMs).toBeLessThan(1500);
    expect(sink.lost).toBe(101);
    closeSync(reader);
  });

  it('goes on in a new file after the old one was moved away', () => {
    const sink = openSink();
    sink.write('old\n');
    renameSync(path, `${path}.1`);
    sink.write('still old\n');
    sink.open();
    sink.write('new\n');
    expect([readFileSync(`${path}.1`, 'utf8'), readFileSync(path, 'utf8')]).toEqual([
      'old\nstill old\n',
      'new\n',
    ]);
  });

  it('names a file that cannot be opened', () => {
    path = join(folder, 'none', 'log');
    expect(openSink).toThrow(/logFile: .*none\/log cannot be opened \(ENOENT\)/);
  });
});

describe('the log of a daemon', () => {
  const lines = (): Record<string, unknown>[] =>
    readFileSync(path, 'utf8')
      .trimEnd()
      .split('\n')
      .map((line) => JSON.parse(line) as Record<string, unknown>);

  it('writes lines of its level and graver ones, a JSON object each; the level can change', async () => {
    const log = await makeDaemonLog({ logFile: path });
    log.open();
    log.debug('not at the default level of a file');
    log.info('ready', { name: 'x' });
    log.level = 'debug';
    log.debug('now');
    log.level = 'error';
    log.warn('not any more');
    log.error('broken');
    expect(lines().map(({ level, msg }) => [level, msg])).toEqual([
      ['info', 'ready'],
      ['debug', 'now'],
      ['error', 'broken'],
    ]);
    expect(lines()[0]).toMatchObject({
      pid: process.pid,
      name: 'x',
      time: expect.stringMatching(/^\d{4}-.*Z$/),
    });
  });

  it('says in the old file that the new one cannot be opened', async () => {
    const log = await makeDaemonLog({ logFile: path });
    log.open();
    renameSync(path, join(folder, 'moved'));
    symlinkSync(join(folder, 'none', 'x'), path);
    log.reopen();
    path = join(folder, 'moved');
    expect(lines().at(-1)).toMatchObject({
      level: 'error',
      msg: expect.stringContaining('cannot be opened'),
    });
  });

  it('is silent on standard error up to errors', async () => {
    expect((await makeDaemonLog({})).level).toBe('error');
    expect((await makeDaemonLog({ logLevel: 'debug' })).level).toBe('debug');
    expect(() => requireLogLevel('loud')).toThrow(/logLevel: "loud" .* one of error, warn, info, debug/);
  });
});
