/**
 * How the benchmarks of datapaths measure: the same traffic through several things that stand side by side, in turn, round
 * after round, every other round in the opposite order.
 */
import { readFileSync } from 'node:fs';
import { inNamespace, run } from '../../lib/netns/command.ts';
import type { LabScope } from '../../lib/netns/lab-scope.ts';
import { linkCounters } from '../../lib/netns/links.ts';
import type { EndProcessors } from '../traffic/iperf3.ts';
import { runIperf3 } from '../traffic/iperf3.ts';

/** Traffic to measure with. */
export interface BenchTraffic {
  readonly name: string;
  readonly unit: 'Gbit/s' | 'thousand packets/s';
  readonly flows: number;
  /** UDP datagrams of this payload, as fast as they can be sent; default TCP. */
  readonly datagramBytes?: number;
}

/** Something in the way of the traffic, or nothing, and the way. */
export interface BenchArm {
  readonly name: string;
  readonly clientNetns: string;
  readonly serverNetns: string;
  /** Of the server. */
  readonly address: string;
  /** Device behind everything that is measured: it counts the datagrams that got through. */
  readonly counted: { readonly netns: string; readonly device: string };
  /** DSCP of what the client sends; default 0. */
  readonly dscp?: number;
  /** A router between the two ends, and the devices by which packets come to it. */
  readonly router?: { readonly netns: string; readonly devices: readonly string[] };
}

/** The traffic of all of them. */
export const BENCH_TRAFFIC: readonly BenchTraffic[] = [
  { name: 'one TCP flow', unit: 'Gbit/s', flows: 1 },
  { name: 'eight TCP flows', unit: 'Gbit/s', flows: 8 },
  { name: 'UDP, 64 bytes', unit: 'thousand packets/s', flows: 1, datagramBytes: 64 },
];

/** Options of {@link measureArms}. */
export interface ArmOptions {
  readonly rounds: number;
  readonly seconds: number;
  /**
   * Where the two ends are kept; default nowhere. Routers handle packets of TCP on the processor of the server then.
   * Otherwise they do so where the packets are sent, which of TCP is also where acknowledgments come in: on both, with
   * segments that overtake each other.
   */
  readonly processors?: EndProcessors | undefined;
  /** Told of each round, in words. */
  readonly onProgress?: ((line: string) => void) | undefined;
}

/** Rates by the names of arm and traffic, one a round. */
export type ArmRates = ReadonlyMap<string, ReadonlyMap<string, readonly number[]>>;

/** Measures all traffic through each of the arms, so many rounds, after one to warm up. */
export async function measureArms(
  scope: LabScope,
  title: string,
  arms: readonly BenchArm[],
  all: readonly BenchTraffic[],
  { rounds, seconds, processors, onProgress }: ArmOptions,
): Promise<ArmRates> {
  for (const arm of arms) await measureRate(scope, arm, all[0], 1, processors);
  const rates = new Map(
    arms.map(({ name }) => [name, new Map(all.map((one) => [one.name, [] as number[]]))]),
  );
  for (const traffic of all) {
    for (const { router } of arms) {
      if (router && processors)
        steer(router, traffic.datagramBytes === undefined ? processors.server : undefined);
    }
    for (let round = 0; round < rounds; round++) {
      for (const arm of round % 2 === 0 ? arms : [...arms].reverse()) {
        const rate = await measureRate(scope, arm, traffic, seconds, processors);
        rates.get(arm.name)!.get(traffic.name)!.push(rate);
      }
      const found = arms.map(
        ({ name }) => `${name} ${rates.get(name)!.get(traffic.name)![round].toFixed(2)}`,
      );
      onProgress?.(`${title}, ${traffic.name}, round ${round + 1} of ${rounds}: ${found.join(', ')}`);
    }
  }
  return rates;
}

/** Has a processor handle what comes in by these devices, or whichever it comes to. @see scaling.rst of Linux: RPS */
function steer({ netns, devices }: NonNullable<BenchArm['router']>, processor: number | undefined): void {
  // Groups of 32 processors, the highest first.
  const mask =
    processor === undefined
      ? '0'
      : [2 ** (processor % 32), ...Array.from({ length: processor >> 5 }, () => 0)]
          .map((word) => word.toString(16).padStart(8, '0'))
          .join(',');
  for (const device of devices) {
    run(inNamespace(['tee', `/sys/class/net/${device}/queues/rx-0/rps_cpus`], { netns }), { input: mask });
  }
}

async function measureRate(
  scope: LabScope,
  { counted, clientNetns, serverNetns, address, dscp }: BenchArm,
  { flows, datagramBytes }: BenchTraffic,
  seconds: number,
  processors: EndProcessors | undefined,
): Promise<number> {
  const place = {
    clientNetns,
    serverNetns,
    address,
    seconds,
    flows,
    processors,
    ...(dscp === undefined ? {} : { dscp }),
  };
  if (datagramBytes === undefined) return (await runIperf3(scope, place)).bitsPerSec / 1e9;
  const packets = (): number => linkCounters(counted.device, { netns: counted.netns }).txPackets;
  const before = packets();
  await runIperf3(scope, { ...place, udpBitsPerSec: 0, datagramBytes });
  return (packets() - before) / seconds / 1e3;
}

/** Two processors that this process may use, one for each end; undefined where it may use one only. */
export function endProcessors(
  status: string = readFileSync('/proc/self/status', 'utf8'),
): EndProcessors | undefined {
  const list = /^Cpus_allowed_list:\s*(\S+)$/m.exec(status)?.[1] ?? '';
  const [client, server] = list.split(',').flatMap((range) => {
    const [first, last = first] = range.split('-').map(Number);
    return Array.from({ length: Math.min(last - first + 1, 2) }, (_, i) => first + i);
  });
  return server === undefined ? undefined : { client, server };
}

/** The pairs of two arms for a kind of traffic. */
export function armPairs(
  rates: ArmRates,
  traffic: string,
  arm: string,
  baseline: string,
): [number, number][] {
  const ofBaseline = rates.get(baseline)!.get(traffic)!;
  return rates
    .get(arm)!
    .get(traffic)!
    .map((rate, round) => [rate, ofBaseline[round]]);
}
