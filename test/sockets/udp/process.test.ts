/** What only a process of its own can show: no descriptors left, an end by itself, another platform, no leaks. */
import { execFile } from 'node:child_process';
import { fileURLToPath } from 'node:url';
import { promisify } from 'node:util';
import { describe, expect, it } from 'vitest';

const script = fileURLToPath(new URL('./in-child.ts', import.meta.url));
const tsx = import.meta.resolve('tsx');

/** Runs a case of in-child.ts; returns what it printed. */
async function inChild(
  name: string,
  module: 'node' | 'preflex',
  options: { env?: Record<string, string>; maxFds?: number } = {},
): Promise<unknown> {
  const { env, maxFds } = options;
  const argv = [process.execPath, '--expose-gc', '--import', tsx, script, name, module];
  const limit = maxFds === undefined ? '' : `ulimit -n ${maxFds}; `;
  const { stdout } = await promisify(execFile)('sh', ['-c', `${limit}exec "$@"`, 'sh', ...argv], {
    env: { ...process.env, ...env },
    timeout: 60_000,
  });
  return JSON.parse(stdout) as unknown;
}

interface NoDescriptors {
  readonly log: unknown[];
}

describe('a process', () => {
  it('without descriptors sees the errors that node:dgram gives, and its open sockets go on', async () => {
    const maxFds = 64;
    const [expected, actual] = (await Promise.all([
      inChild('noDescriptors', 'node', { maxFds }),
      inChild('noDescriptors', 'preflex', { maxFds }),
    ])) as [NoDescriptors, NoDescriptors];
    expect(JSON.stringify(expected.log)).toContain('EMFILE');
    expect(actual.log).toEqual(expected.log);
  });

  it.each(['node', 'preflex'] as const)('ends when no socket is referenced: %s', async (module) => {
    expect(await inChild('unref', module)).toBe('ended by itself');
  });

  it.each(['node', 'preflex'] as const)('lives as long as a socket is open: %s', async (module) => {
    expect(await inChild('closed', module)).toBe(true);
  });

  it('delivers messages as node:dgram does where Node does not expose its ticks', async () => {
    const { count, different } = (await inChild('withoutTicks', 'preflex')) as {
      count: number;
      different: unknown[];
    };
    expect(count).toBeGreaterThan(6);
    expect(different).toEqual([]);
  });

  it('marks in a worker thread when told so, and ends with it', async () => {
    expect(await inChild('worker', 'preflex')).toEqual([
      ['auto', 'terminate', false, 1],
      ['marked', 'exit', true, 3],
      ['marked', 'unref', true, 0],
      ['marked', 'close', true, 0],
    ]);
  });

  it('opens and closes ten thousand sockets and keeps nothing of them', async () => {
    const { before, after } = (await inChild('tenThousand', 'preflex')) as Record<
      'before' | 'after',
      { fds: number; resources: string[]; heap: number; external: number }
    >;
    expect(after.fds).toBe(before.fds);
    expect(after.resources).toEqual([]);
    // Less than 100 bytes a socket, which is what the heap moves by itself.
    expect(after.heap - before.heap).toBeLessThan(1e6);
    expect(after.external - before.external).toBeLessThan(1e6);
  });
});

describe('where the platform lacks it', () => {
  const works = {
    received: ['a 127.0.0.1 0', 'b 127.0.0.1 0', 'c 127.0.0.1 0', 'd 127.0.0.1 0', 'e 127.0.0.1 0'],
    callbacks: expect.arrayContaining([
      [null, 1],
      [null, 2],
    ]),
    atOnce: 0,
    isMarking: false,
    sentPackets: 0,
    rest: [0, false, null],
    afterClose: 'ERR_SOCKET_DGRAM_NOT_RUNNING',
  };

  it('a socket is a plain one, and one warning says why: PREFLEX_UDP=plain', async () => {
    const result = await inChild('plain', 'preflex', { env: { PREFLEX_UDP: 'plain' } });
    expect(result).toMatchObject(works);
    expect(result).toMatchObject({
      warnings: [expect.stringMatching(/^PreflexWarning: preflex\/udp.*PREFLEX_UDP=plain/)],
    });
  });

  it('a socket is a plain one, and one warning says why: another operating system', async () => {
    const result = await inChild('otherPlatform', 'preflex');
    expect(result).toMatchObject(works);
    expect(result).toMatchObject({
      warnings: [expect.stringMatching(/^PreflexWarning: preflex\/udp.*sunos/)],
    });
  });
});
