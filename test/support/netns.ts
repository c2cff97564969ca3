/**
 * Helpers for tests in network namespaces: a scope for each test, snapshots, the question where a packet would go.
 */
import { afterAll, afterEach, beforeAll, beforeEach, describe } from 'vitest';
import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import type { Family } from '../../lib/netns/index.ts';
import {
  LabScope,
  addAddressesAndUp,
  createPersistentTun,
  createVethPair,
  inNamespace,
  ip,
  ipJson,
  run,
  setLink,
  writeSysctl,
} from '../../lib/netns/index.ts';

/** Whether this process may make network namespaces. */
export const isRoot = process.geteuid?.() === 0;

/** `describe` for tests that need root; without it they are skipped and say so. */
export function describeNetns(title: string, body: () => void): void {
  if (isRoot) {
    describe(title, body);
    return;
  }
  console.warn(
    `SKIPPED "${title}": it makes network namespaces and needs root (CAP_NET_ADMIN and CAP_SYS_ADMIN).`,
  );
  describe.skip(`${title} (skipped: needs root)`, body);
}

/** What {@link useLab} hands to the tests of a block. */
export interface TestLab {
  /** The scope of the running test. */
  readonly scope: LabScope;
  /** A folder of the running test. */
  readonly folder: string;
}

/** Gives every test of the block a fresh lab scope and folder, and removes both after it. */
export function useLab(): TestLab {
  return makeLab(beforeEach, afterEach);
}

/** Gives the tests of the block one lab scope and folder for all of them; `setUp` builds what they share. */
export function useSharedLab(setUp: (lab: TestLab) => Promise<void>): TestLab {
  const lab = makeLab(beforeAll, afterAll);
  beforeAll(() => setUp(lab));
  return lab;
}

type Hook = (body: () => void | Promise<void>) => void;

function makeLab(before: Hook, after: Hook): TestLab {
  let scope: LabScope | undefined;
  let folder = '';
  before(() => {
    scope = new LabScope();
    folder = mkdtempSync(join(tmpdir(), 'pfx-test-'));
  });
  after(async () => {
    await scope?.close();
    rmSync(folder, { recursive: true, force: true });
  });
  return {
    get scope() {
      if (scope === undefined) throw new Error('no test is running');
      return scope;
    },
    get folder() {
      return folder;
    },
  };
}

/**
 * Two devices joined by a veth pair, addressed and up. Without IPv6 link-local addresses: those appear by themselves a
 * second later, in the middle of a test that compares snapshots.
 */
export function connect(
  a: { netns: string; name: string; addresses?: readonly string[] },
  b: { netns: string; name: string; addresses?: readonly string[] },
): void {
  createVethPair(a, b);
  for (const end of [a, b]) {
    writeSysctl(`net/ipv6/conf/${end.name}/addr_gen_mode`, 1, end);
    addAddressesAndUp(end.name, end.addresses ?? [], end);
  }
}

/** TUNs that no process holds, up, without IPv6 link-local addresses. */
export function makeTuns(netns: string, names: readonly string[]): void {
  for (const name of names) {
    createPersistentTun(name, { netns });
    writeSysctl(`net/ipv6/conf/${name}/addr_gen_mode`, 1, { netns });
    setLink(name, { up: true }, { netns });
  }
}

/** Rules, routes of all tables and settings of a namespace, one fact a line, without those of TUNs that will vanish. */
export function snapshot(netns: string, tuns: readonly string[]): string[] {
  const lines = ([4, 6] as const).flatMap((family) => [
    ...ip([`-${family}`, '-d', 'rule', 'show'], { netns }).split('\n'),
    ...ip([`-${family}`, 'route', 'show', 'table', 'all'], { netns }).split('\n'),
  ]);
  const settings = run(
    inNamespace(
      [
        'grep',
        '-rs',
        '',
        '/proc/sys/net/ipv4/conf',
        '/proc/sys/net/ipv6/conf',
        '/proc/sys/net/ipv4/ip_forward',
        '/proc/sys/net/ipv4/ip_early_demux',
        '/proc/sys/net/ipv4/ip_forward_update_priority',
      ],
      { netns },
    ),
    { okCodes: [0, 1, 2] },
  ).split('\n');
  const isOfTun = (line: string): boolean => tuns.some((tun) => line.includes(`/conf/${tun}/`));
  return [...lines, ...settings.filter((line) => !isOfTun(line))]
    .map((line) => line.trim())
    .filter((line) => line !== '');
}

/** The device by which the kernel would send a packet, by its fields in the words of `ip route get`. */
export function deviceOfRoute(netns: string, family: Family, words: readonly string[]): string | undefined {
  return ipJson<{ dev?: string }>([`-${family}`, 'route', 'get', ...words], { netns })[0]?.dev;
}
