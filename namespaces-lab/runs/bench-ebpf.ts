/**
 * The benchmark `ebpf`, of hosts: TCP and small UDP datagrams of a host.
 *
 * - With the programs attached against without: one run of traffic, during which they are attached and taken off again
 *   every fifth of a second, so that what else the machine does meets both alike. A pair is two windows next to each other.
 * - With the TUN agent against without: two pairs of namespaces side by side, in turn.
 */
import { setTimeout as delay } from 'node:timers/promises';
import type { BenchResult } from '../../lib/bench/measure.ts';
import { benchResult, median } from '../../lib/bench/measure.ts';
import { linkHeaderBytes } from '../../lib/ebpf/attachment.ts';
import { HostPrograms } from '../../lib/ebpf/host-programs.ts';
import { PreflexError } from '../../lib/errors.ts';
import { lexSettings } from '../../lib/lex/options.ts';
import type { LabScope } from '../../lib/netns/lab-scope.ts';
import { ownLinkCounters } from '../../lib/netns/links.ts';
import { createTcxLink } from '../../lib/sys/bpf.ts';
import { nowNs } from '../../lib/sys/clock.ts';
import { Fd } from '../../lib/sys/fd.ts';
import { interfaceIndex } from '../../lib/sys/interface.ts';
import { withinNetworkNamespace } from '../../lib/sys/netns.ts';
import { PreflexProcess } from '../processes/preflex-process.ts';
import type { PairTopology } from '../topologies/pair.ts';
import { buildPair, PAIR } from '../topologies/pair.ts';
import { runIperf3 } from '../traffic/iperf3.ts';
import type { BenchArm, BenchTraffic } from './bench-arms.ts';
import { armPairs, BENCH_TRAFFIC, measureArms } from './bench-arms.ts';

/** Options of the benchmarks of datapaths. */
export interface BenchDatapathOptions {
  /** Rounds with each arm; default 5. */
  readonly pairs?: number;
  /** Pairs of windows with and without the programs of a host; default 60. */
  readonly windows?: number;
  /** Seconds a run; default 3. */
  readonly seconds?: number;
  readonly onProgress?: (line: string) => void;
}

const WITHOUT = 'without';
/** A window, and what is left out before it. */
const WINDOW_MS = 200;
const SETTLE_MS = 40;
/** Connections are made, and slow start is over. */
const START_MS = 1000;

/** Runs all measurements. */
export async function benchEbpf(scope: LabScope, options: BenchDatapathOptions = {}): Promise<BenchResult[]> {
  const pair = buildPair(scope);
  const results: BenchResult[] = [];
  for (const traffic of BENCH_TRAFFIC) results.push(await benchAttached(scope, pair, traffic, options));
  const withAgent = buildPair(scope, '-tun');
  const args = ['host', '--address', PAIR.hostAddress, '--device', PAIR.device];
  const agent = await PreflexProcess.start(scope, withAgent.host, args);
  const { pairs: rounds = 5, seconds = 3, onProgress } = options;
  const arms = [armOf('tun', withAgent), armOf(WITHOUT, pair)];
  const rates = await measureArms(scope, 'host', arms, BENCH_TRAFFIC, { rounds, seconds, onProgress });
  await agent.stop();
  for (const { name, unit } of BENCH_TRAFFIC) {
    const pairs = armPairs(rates, name, 'tun', WITHOUT);
    results.push(benchResult(`tun host: ${name}`, unit, 'the same namespaces without agent', pairs));
  }
  return results;
}

function armOf(name: string, { host, far }: PairTopology): BenchArm {
  const counted = { netns: host, device: PAIR.device };
  return { name, clientNetns: host, serverNetns: far, address: PAIR.farAddress, counted };
}

async function benchAttached(
  scope: LabScope,
  { host, far }: PairTopology,
  { name, unit, flows, datagramBytes }: BenchTraffic,
  { windows = 60, onProgress }: BenchDatapathOptions,
): Promise<BenchResult> {
  const seconds = Math.ceil((START_MS + 2 * windows * (WINDOW_MS + SETTLE_MS) * SLACK) / 1000);
  const place = { clientNetns: host, serverNetns: far, address: PAIR.farAddress, seconds, flows };
  const isOver = new AbortController();
  const traffic = runIperf3(scope, {
    ...place,
    ...(datagramBytes === undefined ? {} : { udpBitsPerSec: 0, datagramBytes }),
  }).finally(() => {
    isOver.abort();
  });
  const pairs = await withinNetworkNamespace(`/run/netns/${host}`, () =>
    toggle(windows, isOver.signal, datagramBytes === undefined ? 'bytes' : 'packets'),
  );
  await traffic;
  const result = benchResult(`ebpf host: ${name}`, unit, 'the same traffic without the programs', pairs);
  onProgress?.(
    `${result.name}: ${median(pairs.map(([attached]) => attached)).toFixed(2)} of ` +
      `${result.baseline.toFixed(2)} ${unit}, ratio ${result.ratio.toFixed(3)} of ${pairs.length} pairs`,
  );
  return result;
}

/** The traffic lasts longer than the windows, whose timers may be late; it is not waited for with less than all of them. */
const SLACK = 1.3;

/** Rates of the device, with the programs and without, until there are enough or the traffic is over. */
async function toggle(
  windows: number,
  isOver: AbortSignal,
  figure: 'bytes' | 'packets',
): Promise<[number, number][]> {
  const programs = new HostPrograms({
    purpose: 'datapath',
    lex: lexSettings({}),
    served: { addresses: [PAIR.hostAddress], linkHeaderBytes: linkHeaderBytes(PAIR.device) },
  });
  const pairs: [number, number][] = [];
  const rateWith = async (isAttached: boolean): Promise<number> => {
    const links = isAttached ? attach(programs) : [];
    try {
      await delay(SETTLE_MS);
      const before = reading();
      await delay(WINDOW_MS);
      const after = reading();
      const seconds = (after.ns - before.ns) / 1e9;
      return figure === 'bytes'
        ? ((after.bytes - before.bytes) * 8) / seconds / 1e9
        : (after.packets - before.packets) / seconds / 1e3;
    } finally {
      for (const link of links) link.close();
    }
  };
  try {
    await delay(START_MS);
    while (pairs.length < windows) {
      const isFirst = pairs.length % 2 === 0;
      const first = await rateWith(isFirst);
      const second = await rateWith(!isFirst);
      // A window that the end of the traffic falls into says nothing.
      if (isOver.aborted) break;
      pairs.push(isFirst ? [first, second] : [second, first]);
    }
    return pairs;
  } finally {
    programs.close();
  }
}

function attach(programs: HostPrograms): Fd[] {
  return (['egress', 'ingress'] as const).map((direction) => {
    const link = createTcxLink(programs.programFd(direction), interfaceIndex(PAIR.device), direction);
    if (link instanceof Fd) return link;
    throw new PreflexError(
      'ERR_MISSING_REQUIREMENT',
      'preflex bench ebpf needs TCX links: Linux 6.6, or --only programs',
    );
  });
}

function reading(): { readonly ns: number; readonly bytes: number; readonly packets: number } {
  const counters = ownLinkCounters().get(PAIR.device);
  return { ns: nowNs(), bytes: counters?.txBytes ?? NaN, packets: counters?.txPackets ?? NaN };
}
