/** Descriptors, memory, polling, errors and the clock. */
import { execFileSync } from 'node:child_process';
import { mkdtempSync, readlinkSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterEach, describe, expect, it } from 'vitest';
import { PreflexError } from '../../lib/errors.ts';
import { clockEpochMs, clockOriginNs, nowNs } from '../../lib/sys/clock.ts';
import { EAGAIN, errnoName, SystemError } from '../../lib/sys/errno.ts';
import { Fd } from '../../lib/sys/fd.ts';
import {
  IFF_UP,
  interfaceFlags,
  interfaceIndex,
  interfaceMtu,
  requireInterfaceName,
} from '../../lib/sys/interface.ts';
import {
  O_NONBLOCK,
  O_RDONLY,
  O_RDWR,
  openFile,
  readBytes,
  setNonBlocking,
  writeBytes,
} from '../../lib/sys/libc.ts';
import { Poll } from '../../lib/sys/poll.ts';
import { PoolMemory } from '../../lib/sys/pool-memory.ts';
import { bytesAllocatedPerCall } from '../support/allocation.ts';

const folder = mkdtempSync(join(tmpdir(), 'preflex-sys-'));
const cleanUps: (() => void)[] = [];
afterEach(() => {
  for (const cleanUp of cleanUps.splice(0).reverse()) cleanUp();
});
process.on('exit', () => rmSync(folder, { recursive: true, force: true }));

/** A named pipe, open for both ends and not blocking. */
function openPipe(): Fd {
  const path = join(folder, `pipe${Math.random()}`);
  execFileSync('mkfifo', [path]);
  const fd = new Fd(openFile(path, O_RDWR | O_NONBLOCK), path);
  cleanUps.push(() => fd.close());
  return fd;
}

const turn = (): Promise<void> => new Promise((resolve) => setImmediate(resolve));

describe('PoolMemory', () => {
  it('reads and writes anywhere inside the pool, and nowhere else', () => {
    const pipe = openPipe();
    const pool = new Uint8Array(new ArrayBuffer(1000)).fill(0xee);
    pool.set([1, 2, 3], 500);
    const memory = new PoolMemory(pool.buffer);
    expect(memory.write(pipe.number, 500, 3)).toBe(3);
    expect(memory.read(pipe.number, 700, 10)).toBe(3);
    expect([...pool.subarray(699, 704)]).toEqual([0xee, 1, 2, 3, 0xee]);
  });

  it('gives minus the errno when nothing can be read', () => {
    expect(new PoolMemory(new ArrayBuffer(100)).read(openPipe().number, 0, 1)).toBe(-EAGAIN);
  });

  it.each([
    [-1, 10],
    [95, 6],
    [0, -1],
    [Number.NaN, 1],
  ])('touches no memory outside the pool: offset %d, length %d', (at, length) => {
    const memory = new PoolMemory(new ArrayBuffer(100));
    const pipe = openPipe();
    writeBytes(pipe.number, new Uint8Array(50));
    expect(memory.read(pipe.number, at, length)).toBe(-14);
    expect(memory.write(pipe.number, at, length)).toBe(-14);
  });

  it('allocates nothing for a call', () => {
    const memory = new PoolMemory(new ArrayBuffer(5_000_000));
    const pipe = openPipe();
    const fd = pipe.number;
    const bytes = bytesAllocatedPerCall(
      (call) => memory.write(fd, call & 0xfffff, 1) + memory.read(fd, 4_000_000, 1),
      100_000,
    );
    expect(bytes).toBeLessThan(1);
  });
});

describe('libc', () => {
  it('reads and writes typed arrays, with minus the errno for a failure', () => {
    const pipe = openPipe();
    expect(writeBytes(pipe.number, Uint8Array.of(9, 8))).toBe(2);
    const bytes = new Uint8Array(4);
    expect(readBytes(pipe.number, bytes)).toBe(2);
    expect([...bytes]).toEqual([9, 8, 0, 0]);
    expect(readBytes(pipe.number, bytes)).toBe(-EAGAIN);
  });

  it('opens close-on-exec and names the path that cannot be opened', () => {
    const path = join(folder, 'file');
    writeFileSync(path, 'x');
    const fd = new Fd(openFile(path, O_RDONLY), path);
    cleanUps.push(() => fd.close());
    expect(readlinkSync(`/proc/self/fd/${fd.number}`)).toBe(path);
    const seen = execFileSync('sh', [
      '-c',
      `test -e /proc/self/fd/${fd.number} && readlink /proc/self/fd/${fd.number} || true`,
    ]);
    expect(seen.toString()).not.toContain(path);
    expect(() => openFile('/no/such/file', O_RDONLY, () => 'make it')).toThrow(
      'open failed for /no/such/file: ENOENT; make it',
    );
  });

  it('switches blocking on and off', () => {
    const pipe = openPipe();
    setNonBlocking(pipe.number, false);
    expect(flagsOf(pipe)).toBe(0);
    setNonBlocking(pipe.number);
    expect(flagsOf(pipe)).toBe(O_NONBLOCK);
  });
});

function flagsOf(fd: Fd): number {
  const info = execFileSync('cat', [`/proc/${process.pid}/fdinfo/${fd.number}`], { encoding: 'utf8' });
  return Number.parseInt(/flags:\s*(\d+)/.exec(info)![1]!, 8) & O_NONBLOCK;
}

describe('Fd', () => {
  it('closes its descriptor once, even when the number has become another file', () => {
    const first = openPipe();
    const number = first.number;
    first.close();
    const second = openPipe();
    expect(second.number).toBe(number);
    first.close();
    expect(writeBytes(second.number, Uint8Array.of(1))).toBe(1);
  });

  it('does not tell the number after close', () => {
    const fd = openPipe();
    fd.close();
    expect(fd.isOpen).toBe(false);
    expect(() => fd.number).toThrow(/is closed/);
  });

  it('leaves the descriptor open for the one it was released to', () => {
    const fd = openPipe();
    const heir = new Fd(fd.release(), 'heir');
    cleanUps.push(() => heir.close());
    fd.close();
    expect(writeBytes(heir.number, Uint8Array.of(1))).toBe(1);
  });
});

describe('Poll', () => {
  it('calls back in every turn while the descriptor is readable', async () => {
    const pipe = openPipe();
    let calls = 0;
    const poll = new Poll(pipe.number, 'readable', () => void calls++);
    cleanUps.push(() => poll.close());
    await turn();
    expect(calls).toBe(0);
    writeBytes(pipe.number, Uint8Array.of(1));
    while (calls < 3) await turn();
    readBytes(pipe.number, new Uint8Array(1));
    await turn();
    const before = calls;
    for (let i = 0; i < 5; i++) await turn();
    expect(calls).toBe(before);
  });

  it('goes on although nobody keeps a reference and memory is collected', async () => {
    const pipe = openPipe();
    let calls = 0;
    const stop = { now: (): void => undefined };
    (() => {
      const weak = new WeakRef(
        new Poll(pipe.number, 'readable', () => {
          calls++;
          readBytes(pipe.number, new Uint8Array(1));
        }),
      );
      stop.now = () => weak.deref()?.close();
    })();
    cleanUps.push(() => stop.now());
    for (let i = 0; i < 3; i++) {
      globalThis.gc!();
      await turn();
    }
    writeBytes(pipe.number, Uint8Array.of(1));
    while (calls < 1) await turn();
    expect(calls).toBe(1);
  });

  it('refuses a descriptor that is polled already, and files', () => {
    const pipe = openPipe();
    const poll = new Poll(pipe.number, 'readable', () => undefined);
    cleanUps.push(() => poll.close());
    expect(() => new Poll(pipe.number, 'writable', () => undefined)).toThrow(/uv_poll failed.*EEXIST/);
    const file = new Fd(openFile('/etc/passwd', O_RDONLY), 'file');
    cleanUps.push(() => file.close());
    expect(() => new Poll(file.number, 'readable', () => undefined)).toThrow(/EPERM; files and folders/);
  });

  it('does not call back after close, not even from within', async () => {
    const pipe = openPipe();
    let calls = 0;
    const poll = new Poll(pipe.number, 'readable', () => {
      calls++;
      poll.close();
    });
    writeBytes(pipe.number, Uint8Array.of(1));
    while (calls < 1) await turn();
    for (let i = 0; i < 5; i++) await turn();
    expect(calls).toBe(1);
    poll.close();
  });
});

describe('errors', () => {
  it('carry operation, errno and subject, and are ERR_SYSTEM', () => {
    const error = new SystemError('ioctl TUNSETIFF', 1, 'lex0', 'run as root');
    expect(error).toBeInstanceOf(PreflexError);
    expect(error).toMatchObject({
      code: 'ERR_SYSTEM',
      operation: 'ioctl TUNSETIFF',
      errno: 1,
      errnoName: 'EPERM',
    });
    expect(error.message).toBe('ioctl TUNSETIFF failed for lex0: EPERM; run as root');
  });

  it.each([
    [11, 'EAGAIN'],
    [77, 'EBADFD'],
    [95, 'EOPNOTSUPP'],
    [250, 'errno 250'],
  ])('call %i %s', (errno, name) => {
    expect(errnoName(errno)).toBe(name);
  });
});

describe('interfaces', () => {
  it('are asked for their properties by name', () => {
    expect(interfaceIndex('lo')).toBe(1);
    expect(interfaceMtu('lo')).toBe(65_536);
    expect(interfaceFlags('lo') & 0x8).toBe(0x8);
    expect(IFF_UP).toBe(1);
  });

  it('have index 0 when they do not exist, and an error for anything else asked', () => {
    expect(interfaceIndex('nonesuch')).toBe(0);
    expect(() => interfaceMtu('nonesuch')).toThrow(
      /ioctl SIOCGIFMTU failed for nonesuch: ENODEV; no interface of that name/,
    );
  });

  it.each(['', 'sixteen-letters-', 'a/b', 'a b', 'tun%d', '.', '..', 'a:1', 'ü'])(
    'are not called %j',
    (name) => {
      expect(() => requireInterfaceName('tun.name', name)).toThrow(/tun\.name/);
    },
  );
});

describe('the clock', () => {
  it('never goes back', () => {
    const times = Array.from({ length: 1000 }, nowNs);
    expect(times.every((time, i) => i === 0 || time >= times[i - 1]!)).toBe(true);
  });

  it('is CLOCK_MONOTONIC less its origin', () => {
    const before = Number(process.hrtime.bigint());
    const now = nowNs() + clockOriginNs;
    const after = Number(process.hrtime.bigint());
    // The origin was found by two readings that a busy machine may have torn apart.
    expect(now).toBeGreaterThan(before - 50e6);
    expect(now).toBeLessThan(after + 50e6);
  });

  it('counts from an epoch of the wall clock', () => {
    expect(Math.abs(clockEpochMs + nowNs() / 1e6 - Date.now())).toBeLessThan(5000);
  });
});
