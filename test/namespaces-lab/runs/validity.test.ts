/** A run that says of itself that it is not to be trusted. */
import { describe, expect, it } from 'vitest';
import { parseTicks, processorUse } from '../../../namespaces-lab/runs/processor-watch.ts';
import type { Evidence } from '../../../namespaces-lab/runs/validity.ts';
import { checkRun } from '../../../namespaces-lab/runs/validity.ts';

const PORT = {
  readPackets: 10,
  readBytes: 10_000,
  writtenPackets: 0,
  writtenBytes: 0,
  refusedPackets: 0,
  noPathPackets: 0,
};
const GOOD = {
  fabric: {
    lanes: [
      {
        link: 'L1',
        direction: 'forward',
        isDown: false,
        forwardedPackets: 8,
        forwardedBytes: 8000,
        droppedPackets: { queueFull: 2 },
        droppedBytes: { queueFull: 2000 },
        heldPackets: 0,
        ingress: { l1: { offeredPackets: 10, offeredBytes: 10_000, droppedPackets: 2, droppedBytes: 2000 } },
      },
    ],
    ports: { l1: PORT, e1: { ...PORT, readPackets: 0, readBytes: 0, writtenPackets: 8 } },
    lateness: { packets: 8, p50Ms: 0.1, p99Ms: 1, maxMs: 3 },
  },
  gateway: { routes: [{ name: 'l1', total: { bytes: 9_000 }, notLectBytes: 1_000 }] },
  agents: { p: {} },
  routes: [{ name: 'l1', port: 'l1', link: 'L1', rateBitsPerSec: 1 }],
  devices: { 'agent p lex0': { packetsRead: 1, packetsWritten: 1, refused: {}, kernelDropped: 0 } },
  queueDrops: { 'e1 n0': 0 },
  sources: { p: { congestion: { cubic: 3 } } },
  processor: { busy: 0.7, idle: 0.3, yielding: 0, stolen: 0 },
} as unknown as Evidence;

function failedChecks(change: (evidence: Evidence) => void): string[] {
  const evidence = structuredClone(GOOD);
  change(evidence);
  const { valid, checks } = checkRun(evidence);
  const failed = checks.filter((check) => !check.isOk).map((check) => check.name);
  expect(valid).toBe(failed.length === 0);
  return failed;
}

/** Sets what a path of keys leads to. */
function put(target: unknown, path: readonly string[], value: unknown): void {
  const [key, ...rest] = path;
  const record = target as Record<string, unknown>;
  if (rest.length === 0) record[key] = value;
  else put(record[key], rest, value);
}

describe('checkRun', () => {
  it('finds a good run valid', () => {
    expect(failedChecks(() => undefined)).toEqual([]);
  });

  it('says which check it left out without a PREFLEX gateway', () => {
    const { valid, checks, leftOut } = checkRun({ ...GOOD, gateway: null });
    expect(valid).toBe(true);
    expect(leftOut).toEqual(['bytes of the gateway = bytes offered to the links']);
    expect(checks.map(({ name }) => name)).not.toContain(leftOut[0]);
    expect(checkRun(GOOD).leftOut).toEqual([]);
  });

  it('finds a run invalid when the programs of an agent had no room for a flow', () => {
    const withRefused = (refused: number) =>
      checkRun({ ...GOOD, agents: { p: { datapath: 'ebpf', flows: { refused } } } } as unknown as Evidence);
    expect(withRefused(0).valid).toBe(true);
    const { valid, checks } = withRefused(2);
    expect(valid).toBe(false);
    expect(checks.find((check) => !check.isOk)?.detail).toBe('agent p refused 2 packets');
  });

  it('finds a run valid beside work of lower priority', () => {
    expect(
      failedChecks((evidence) => {
        put(evidence, ['processor'], { busy: 0.5, idle: 0.01, yielding: 0.49, stolen: 0 });
      }),
    ).toEqual([]);
  });

  it.each([
    [{ 0: 1, 3: 9 }, true],
    [{ 0: 9, 3: 1 }, false],
    [{}, false],
  ])('wants most connections of an MPTCP run to be MPTCP: %j subflows', (subflows, isOk) => {
    const sources = { s: { ...GOOD.sources['p'], subflows } };
    const { valid, checks } = checkRun({ ...GOOD, sources });
    expect(checks.find(({ name }) => /MPTCP/.test(name))?.isOk).toBe(isOk);
    expect(valid).toBe(isOk);
  });

  it.each<[string, string[], unknown, RegExp]>([
    ['a packet that went missing', ['fabric', 'ports', 'e1', 'writtenPackets'], 7, /conserved/],
    ['one that nobody wanted', ['fabric', 'ports', 'l1', 'noPathPackets'], 1, /without a path|conserved/],
    ['bytes never sent', ['gateway', 'routes', '0', 'notLectBytes'], 900, /bytes of the gateway/],
    ['a full TUN', ['devices', 'agent p lex0', 'kernelDropped'], 1, /no drops/],
    ['a refused packet', ['devices', 'agent p lex0', 'refused'], { EIO: 1 }, /no drops/],
    ['a full queue', ['queueDrops', 'e1 n0'], 1, /no drops/],
    ['another congestion control', ['sources', 'p', 'congestion'], { cubic: 2, bbr: 1 }, /cubic/],
    ['a late emulator', ['fabric', 'lateness', 'p99Ms'], 11, /emulator late/],
    ['a busy machine', ['processor', 'idle'], 0.01, /processor time/],
    ['a stolen processor', ['processor', 'stolen'], 0.2, /processor time/],
  ])('finds a run invalid for %s', (_, path, value, name) => {
    const failed = failedChecks((evidence) => {
      put(evidence, path, value);
    });
    expect(failed.length).toBeGreaterThan(0);
    for (const check of failed) expect(check).toMatch(name);
  });
});

describe('the use of processors', () => {
  it('is taken from the first line of /proc/stat', () => {
    const start = parseTicks('cpu  100 0 100 1000 0 0 0 0 0 0\ncpu0 1 2 3\n');
    const end = parseTicks('cpu  110 20 110 1030 10 0 10 10 0 0\n');
    const { busy, ...rest } = processorUse(start, end);
    expect(busy).toBeCloseTo(0.3, 12);
    expect(rest).toEqual({ idle: 0.4, yielding: 0.2, stolen: 0.1 });
  });
});
