/**
 * A route fails, and flows of a host that chooses among the paths that it has learnt recover; the gateway's own inference
 * of failures is off.
 *
 *      a (LEX) --- p (PREF) ==== L1, L2, L3 of 20 Mbit/s ==== r --- b
 */
import { describe, expect, it } from 'vitest';
import { equal } from '../../lib/pref/balancers/equal.ts';
import { REASON_FNE_TIMEOUTS, REASON_LECT_MOVED } from '../../lib/lex/reasons.ts';
import { sink, startTransfer } from '../../lib/sim/apps/transfer.ts';
import { Network } from '../../lib/sim/network.ts';
import type { Topology } from '../../lib/sim/topology.ts';

const PATHS = [1, 2, 3];
const FLOWS = 18;

function topology(hostDriven: boolean): Topology {
  return {
    hosts: [
      { name: 'a', address: '10.0.0.1', lex: { hostDriven }, tcp: { hystart: 'linux' } },
      { name: 'b', address: '10.9.0.1' },
    ],
    routers: [{ name: 'r' }],
    gateways: [
      {
        name: 'p',
        egresses: PATHS.map((pathId) => ({ pathId, name: `L${pathId}`, link: `L${pathId}` })),
        destinations: [{ prefixes: ['10.9.0.0/16'], pathIds: PATHS }],
        // A long interval: the ratios do not help either.
        options: { balancer: equal(), inferFailures: false, updateIntervalNs: 600e9 },
      },
    ],
    links: [
      { name: 'a-p', between: ['a', 'p'], delayNs: 5e6 },
      ...PATHS.map((pathId) => ({
        name: `L${pathId}`,
        between: ['p', 'r'] as const,
        delayNs: 40e6,
        rateBitsPerSec: 20e6,
        queuePackets: 100,
        back: { delayNs: (40 + pathId) * 1e6 },
      })),
      { name: 'r-b', between: ['r', 'b'], delayNs: 5e6 },
    ],
  };
}

interface Outcome {
  readonly stallsS: readonly number[];
  readonly moved: number;
  readonly asked: number;
}

const outcomes = new Map<string, Outcome>();

/** Fails L2 for 30 s; longest stall of the flows, and how they changed their path. Each is run once. */
function fail(hostDriven: boolean, atNs = 10e9): Outcome {
  const key = `${hostDriven} ${atNs}`;
  const outcome = outcomes.get(key) ?? runFailure(hostDriven, atNs);
  outcomes.set(key, outcome);
  return outcome;
}

function runFailure(hostDriven: boolean, atNs: number): Outcome {
  const network = new Network(topology(hostDriven), 5);
  const b = network.host('b');
  const a = network.host('a');
  b.stack.listen(80, () => sink);
  const flows = Array.from({ length: FLOWS }, () => startTransfer(a.stack, b.addr, 80, Infinity));
  network.run(atNs);
  network.link('L2')[0].link.isBlackhole = true;
  network.run(atNs + 30e9);
  const counters = a.lex!.counters.outPackets;
  return {
    stallsS: flows.map((c) => Math.max(c.longestStallNs, network.nowNs - c.progressNs) / 1e9),
    moved: counters[REASON_LECT_MOVED],
    asked: counters[REASON_FNE_TIMEOUTS],
  };
}

describe('a route that fails under a host-driven host', () => {
  const driven = fail(true);

  it('is left by its flows when two timeouts have passed, without asking the gateway', () => {
    expect(driven.moved).toBeGreaterThanOrEqual(FLOWS / PATHS.length);
    expect(driven.asked).toBe(0);
    expect(Math.max(...driven.stallsS)).toBeLessThan(3);
  });

  it('costs no more than where the host asks', () => {
    const asking = fail(false);
    expect(asking.moved).toBe(0);
    expect(asking.asked).toBeGreaterThanOrEqual(FLOWS / PATHS.length);
    // The longest stall of a run is one flow's chance.
    const meanLongest = (hostDriven: boolean): number => {
      const longest = [8e9, 9e9, 10e9, 11e9, 12e9].map((atNs) => Math.max(...fail(hostDriven, atNs).stallsS));
      return longest.reduce((sum, stall) => sum + stall) / longest.length;
    };
    expect(meanLongest(true)).toBeLessThan(meanLongest(false));
  });
});
