/**
 * How the benchmarks of datapaths measure: the same traffic with each of several things in its way, in turn, round after
 * round, every other round in the opposite order.
 */
import { cpus } from 'node:os';
import type { LabScope } from '../../lib/netns/lab-scope.ts';
import { linkCounters } from '../../lib/netns/links.ts';
import { runIperf3 } from '../traffic/iperf3.ts';
import { ProcessorWatch } from './processor-watch.ts';

/** Traffic to measure with. */
export interface BenchTraffic {
  readonly name: string;
  readonly unit: 'Gbit/s' | 'thousand packets/s';
  readonly flows: number;
  /** UDP datagrams of this payload, as fast as they can be sent; default TCP. */
  readonly datagramBytes?: number;
}

/** Where it goes. */
export interface BenchPlace {
  readonly clientNetns: string;
  readonly serverNetns: string;
  readonly address: string;
  /** Device behind everything that is measured: it counts the datagrams that got through. */
  readonly counted: { readonly netns: string; readonly device: string };
  /** DSCP of what the client sends; default 0. */
  readonly dscp?: number;
}

/** The traffic of all of them. */
export const BENCH_TRAFFIC: readonly BenchTraffic[] = [
  { name: 'one TCP flow', unit: 'Gbit/s', flows: 1 },
  { name: 'eight TCP flows', unit: 'Gbit/s', flows: 8 },
  { name: 'UDP, 64 bytes', unit: 'thousand packets/s', flows: 1, datagramBytes: 64 },
];

/** Something in the way of the traffic, or nothing. */
export interface BenchArm {
  readonly name: string;
  /** Puts it there. */
  readonly begin: () => Promise<void>;
  /** Takes it away. */
  readonly end: () => Promise<void>;
}

/** What traffic is like, by the names of {@link trafficMeasures}. */
export type TrafficRates = Readonly<Record<string, number>>;

/** What is measured with each kind of traffic: its rate, and what of it a processor carries in a second of its time. */
export interface TrafficMeasure {
  readonly name: string;
  readonly unit: string;
}

/** The measures of {@link measureTraffic}, in its order. */
export function trafficMeasures(all: readonly BenchTraffic[]): TrafficMeasure[] {
  return all.flatMap(({ name, unit }) => [
    { name, unit },
    { name: byProcessor(name), unit: `${unit} a processor` },
  ]);
}

/** Rates of the traffic now, one kind after the other. */
export async function measureTraffic(
  scope: LabScope,
  place: BenchPlace,
  all: readonly BenchTraffic[],
  seconds: number,
): Promise<TrafficRates> {
  const rates: Record<string, number> = {};
  for (const traffic of all) {
    const processor = new ProcessorWatch();
    const rate = await measureRate(scope, place, traffic, seconds);
    // Of time that was not idle and not spent in programs of lower priority.
    const processors = processor.use().busy * cpus().length;
    rates[traffic.name] = rate;
    rates[byProcessor(traffic.name)] = rate / processors;
  }
  return rates;
}

function byProcessor(name: string): string {
  return `${name}, by processor time`;
}

async function measureRate(
  scope: LabScope,
  { counted, ...place }: BenchPlace,
  { flows, datagramBytes }: BenchTraffic,
  seconds: number,
): Promise<number> {
  if (datagramBytes === undefined) {
    return (await runIperf3(scope, { ...place, seconds, flows })).bitsPerSec / 1e9;
  }
  const packets = (): number => linkCounters(counted.device, { netns: counted.netns }).txPackets;
  const before = packets();
  await runIperf3(scope, { ...place, seconds, flows, udpBitsPerSec: 0, datagramBytes });
  return (packets() - before) / seconds / 1e3;
}

/** Options of {@link measureArms}. */
export interface ArmOptions {
  readonly rounds: number;
  /** Told of each round, in words. */
  readonly onProgress?: ((line: string) => void) | undefined;
}

/** Values by the names of arm and measure, one a round. */
export type ArmValues = ReadonlyMap<string, ReadonlyMap<string, readonly number[]>>;

/** Measures with each of the arms in place, so many rounds. */
export async function measureArms(
  title: string,
  arms: readonly BenchArm[],
  measure: () => Promise<TrafficRates>,
  { rounds, onProgress }: ArmOptions,
): Promise<ArmValues> {
  const values = new Map(arms.map((arm) => [arm.name, new Map<string, number[]>()]));
  for (let round = 0; round < rounds; round++) {
    for (const arm of round % 2 === 0 ? arms : [...arms].reverse()) {
      const ofArm = values.get(arm.name)!;
      await arm.begin();
      try {
        for (const [name, value] of Object.entries(await measure())) {
          ofArm.set(name, [...(ofArm.get(name) ?? []), value]);
        }
      } finally {
        await arm.end();
      }
    }
    for (const name of values.get(arms[0].name)!.keys()) {
      const found = arms.map((arm) => `${arm.name} ${values.get(arm.name)!.get(name)![round].toFixed(2)}`);
      onProgress?.(`${title}, round ${round + 1} of ${rounds}: ${name}: ${found.join(', ')}`);
    }
  }
  return values;
}

/** The pairs of two arms for a measure. */
export function armPairs(
  values: ArmValues,
  measure: string,
  arm: string,
  baseline: string,
): [number, number][] {
  const ofBaseline = values.get(baseline)!.get(measure)!;
  return values
    .get(arm)!
    .get(measure)!
    .map((value, round) => [value, ofBaseline[round]]);
}
