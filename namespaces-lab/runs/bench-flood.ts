/**
 * The benchmark `flood`: a TCP flow of a given rate through a gateway (topology open-pair) while FNE packets from many sources
 * come in by one of its routes, against the same flow without them.
 */
import { mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import type { BenchResult } from '../../lib/bench/measure.ts';
import { benchResult } from '../../lib/bench/measure.ts';
import type { LabScope } from '../../lib/netns/lab-scope.ts';
import type { GatewayDaemonStatus } from '../../lib/runtime/gateway-daemon.ts';
import { PreflexProcess, statusOf } from '../processes/preflex-process.ts';
import type { OpenPairTopology } from '../topologies/open-pair.ts';
import { buildOpenPair, OPEN_PAIR } from '../topologies/open-pair.ts';
import { runIperf3 } from '../traffic/iperf3.ts';

/** Options of the benchmark. */
export interface BenchFloodOptions {
  /** Pairs of runs; default 3. */
  readonly pairs?: number;
  /** Seconds a run; default 5. */
  readonly seconds?: number;
  /** FNE packets a second; default 100,000. */
  readonly rate?: number;
  /** Rate that the TCP flow wants, Mbit/s; default 100. */
  readonly megabits?: number;
  readonly onProgress?: (line: string) => void;
}

/** What became of the packets of one flood. */
export interface FloodCount {
  /** Packets that the generator sent, a second and in all. */
  readonly perSecond: number;
  readonly sent: number;
  /** Packets that the gateway counted, by what it did. */
  readonly assigned: number;
  readonly limited: number;
  /** Packets that the flooded route's TUN had no room for; a few are the flow's own acknowledgements. */
  readonly kernelDropped: number;
  /** Most that the limits allow to be assigned between the two looks at the counters. */
  readonly allowed: number;
  /** Processor time of the gateway for each packet that it counted, microseconds: in its own code, and in the kernel. */
  readonly userMicros: number;
  readonly systemMicros: number;
  /** Growth of the gateway's resident memory, bytes. */
  readonly memoryGrowth: number;
}

/** The measurements, and an account of each flood. */
export interface FloodReport {
  readonly results: readonly BenchResult[];
  readonly floods: readonly FloodCount[];
}

/** Choices a second for each destination entry, and at once. */
const LIMIT = 10_000;
/** The unit of /proc/PID/stat. @see proc_pid_stat(5), sysconf(_SC_CLK_TCK) is 100 on every Linux */
const MICROS_PER_TICK = 10_000;

/** Measures alternating pairs of runs. */
export async function benchFlood(scope: LabScope, options: BenchFloodOptions = {}): Promise<FloodReport> {
  const { pairs = 3, seconds = 5, rate = 100_000, megabits = 100 } = options;
  const topology = buildOpenPair(scope);
  const gateway = await startGateway(scope, topology);
  const flood = await PreflexProcess.startModule(scope, topology.outside, 'processes/flood', [
    'pool2',
    OPEN_PAIR.voidAddress,
  ]);
  const send = async (): Promise<number> =>
    (
      await runIperf3(scope, {
        clientNetns: topology.host,
        serverNetns: topology.outside,
        address: OPEN_PAIR.farAddress,
        seconds,
        tcpBitsPerSec: megabits * 1e6,
      })
    ).bitsPerSec / 1e6;
  await send(); // to warm up
  const measured: [number, number][] = [];
  const floods: FloodCount[] = [];
  for (let i = 0; i < pairs; i++) {
    const before = await readGateway(gateway);
    // A little longer than the flow, which takes a moment to begin and to end.
    const flooded = flood.ask(
      { command: 'flood', rate, seconds: seconds + 1 },
      'flooded',
      (seconds + 60) * 1000,
    );
    const under = await send();
    const { sent, seconds: took } = (await flooded) as unknown as { sent: number; seconds: number };
    const after = await readGateway(gateway);
    const without = await send();
    measured.push([under, without]);
    const grown = (name: string): number => after.reasons[name]! - before.reasons[name]!;
    const packets = after.packets - before.packets;
    const count: FloodCount = {
      perSecond: Math.round(sent / took),
      sent,
      assigned: grown('inAssignedFne'),
      limited: grown('inDestinationLimit') + grown('inTotalLimit'),
      kernelDropped: after.kernelDropped - before.kernelDropped,
      allowed: Math.ceil(((after.timeMs - before.timeMs) / 1000) * LIMIT) + LIMIT,
      userMicros: ((after.userTicks - before.userTicks) * MICROS_PER_TICK) / packets,
      systemMicros: ((after.systemTicks - before.systemTicks) * MICROS_PER_TICK) / packets,
      memoryGrowth: after.resident - before.resident,
    };
    floods.push(count);
    options.onProgress?.(
      `pair ${i + 1}: ${under.toFixed(1)} of ${without.toFixed(1)} Mbit/s under ${count.perSecond} packets/s; ` +
        `${count.assigned} assigned, ${count.limited} over the limit, ${count.kernelDropped} dropped by the kernel, ` +
        `${(count.memoryGrowth / 1e6).toFixed(1)} MB more memory, ${count.userMicros.toFixed(1)} + ` +
        `${count.systemMicros.toFixed(1)} us of processor a packet`,
    );
  }
  const name = `flood: TCP flow of ${megabits} Mbit/s under ${rate} FNE packets/s`;
  return { results: [benchResult(name, 'Mbit/s', 'the same flow without the flood', measured)], floods };
}

async function startGateway(scope: LabScope, topology: OpenPairTopology): Promise<PreflexProcess> {
  const folder = mkdtempSync(join(tmpdir(), 'preflex-flood-'));
  scope.defer(`folder ${folder}`, () => {
    rmSync(folder, { recursive: true, force: true });
  });
  const file = join(folder, 'gateway.yaml');
  const config = {
    inside: { device: 'p0', prefixes: OPEN_PAIR.insidePrefixes },
    routes: OPEN_PAIR.routes,
    strategy: 'equal',
    fne: { perPrefixPerSecond: LIMIT },
  };
  writeFileSync(file, JSON.stringify(config));
  return PreflexProcess.start(scope, topology.gateway, ['gateway', '--config', file]);
}

/** The gateway's counters and what the process has used, now. */
interface GatewayReading {
  readonly timeMs: number;
  readonly reasons: Readonly<Record<string, number>>;
  readonly packets: number;
  readonly kernelDropped: number;
  readonly resident: number;
  readonly userTicks: number;
  readonly systemTicks: number;
}

async function readGateway(gateway: PreflexProcess): Promise<GatewayReading> {
  const { reasons, devices, loop } = statusOf<GatewayDaemonStatus>(await gateway.counters());
  const status = readFileSync(`/proc/${gateway.child.pid}/status`, 'utf8');
  const stat = readFileSync(`/proc/${gateway.child.pid}/stat`, 'utf8');
  const fields = stat.slice(stat.lastIndexOf(')') + 2).split(' ');
  return {
    timeMs: performance.now(),
    reasons,
    packets: loop.packets,
    kernelDropped: devices['pref-a']!.kernelDropped,
    resident: Number(/^VmRSS:\s+(\d+) kB$/m.exec(status)?.[1]) * 1024,
    userTicks: Number(fields[11]),
    systemTicks: Number(fields[12]),
  };
}
