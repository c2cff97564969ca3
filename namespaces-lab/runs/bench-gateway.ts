/**
 * The benchmark `ebpf`, of gateways: what P forwards from inside to outside, every packet marked with a path (topology
 * open-pair), with the eBPF gateway as it is by default, with one behind whose programs the kernel forwards, with the TUN
 * gateway and by the kernel alone; with few prefixes and with many, each a destination of its own.
 */
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import type { BenchResult } from '../../lib/bench/measure.ts';
import { benchResult } from '../../lib/bench/measure.ts';
import { addAddress } from '../../lib/netns/addresses.ts';
import { inNamespace, run } from '../../lib/netns/command.ts';
import type { LabScope } from '../../lib/netns/lab-scope.ts';
import { waitFor } from '../../lib/netns/wait.ts';
import type { GatewayDaemonStatus } from '../../lib/runtime/gateway-daemon.ts';
import { CODEPOINT_LECT, encodeMark, markingScheme } from '../../lib/wire/marking/scheme.ts';
import { removeProgramsAtEnd } from '../processes/datapath.ts';
import { preflexArgv, PreflexProcess, statusOf } from '../processes/preflex-process.ts';
import type { OpenPairTopology } from '../topologies/open-pair.ts';
import { buildOpenPair, OPEN_PAIR } from '../topologies/open-pair.ts';
import type { BenchArm } from './bench-arms.ts';
import { armPairs, BENCH_TRAFFIC, endProcessors, measureArms } from './bench-arms.ts';
import type { BenchDatapathOptions } from './bench-ebpf.ts';

/** Options of the benchmark. */
export interface BenchGatewayOptions extends BenchDatapathOptions {
  /** Numbers of prefixes; default 1, 1,000 and 100,000. */
  readonly prefixes?: readonly number[];
}

const KERNEL = 'kernel';
const GATEWAYS = ['ebpf', 'ebpf-kernel', 'tun'] as const;
type GatewayArm = (typeof GATEWAYS)[number];
const ARMS = ['ebpf', KERNEL, 'ebpf-kernel', 'tun'] as const;
/** How the results call them. */
const NAMES: Record<GatewayArm, string> = {
  ebpf: 'ebpf gateway',
  'ebpf-kernel': 'ebpf gateway with forwarding: kernel',
  tun: 'tun gateway',
};
/** An address of the outside that the main table reaches by the default route only. */
const FAR = '20.0.0.1';
const TRAFFIC = BENCH_TRAFFIC.filter(
  ({ flows, datagramBytes }) => flows === 1 || datagramBytes !== undefined,
);

/** Runs all measurements; the gateways stand side by side. */
export async function benchGateway(
  scope: LabScope,
  options: BenchGatewayOptions = {},
): Promise<BenchResult[]> {
  const { pairs: rounds = 5, seconds = 3, onProgress } = options;
  const folder = mkdtempSync(join(tmpdir(), 'preflex-bench-'));
  scope.defer(`folder ${folder}`, () => {
    rmSync(folder, { recursive: true, force: true });
  });
  const topologies = new Map(ARMS.map((name) => [name, buildArm(scope, name)]));
  const arms = ARMS.map((name) => armOf(name, topologies.get(name)!));
  const processors = endProcessors();
  onProgress?.(
    processors
      ? `sender on processor ${processors.client}; receiver, and gateways of TCP, on processor ${processors.server}`
      : 'sender and receiver share the only processor: their rates swing with the scheduler',
  );
  const results: BenchResult[] = [];
  for (const count of options.prefixes ?? [1, 1000, 100_000]) {
    const label = `${count.toLocaleString('en-US')} ${count === 1 ? 'prefix' : 'prefixes'}`;
    onProgress?.(`starting three gateways with ${label}`);
    const fileOf = (name: GatewayArm) => join(folder, `${name}-${count}.yaml`);
    const start = (name: GatewayArm) => {
      writeFileSync(fileOf(name), gatewayConfig(name, count));
      const args = ['gateway', '--config', fileOf(name)];
      return PreflexProcess.start(scope, topologies.get(name)!.gateway, args);
    };
    const gateways = await Promise.all(GATEWAYS.map(start));
    await requireRedirect(gateways[0]);
    const rates = await measureArms(scope, `gateway, ${label}`, arms, TRAFFIC, {
      rounds,
      seconds,
      processors,
      onProgress,
    });
    await Promise.all(gateways.map((gateway) => gateway.stop()));
    for (const name of ['ebpf', 'ebpf-kernel'] as const) detach(fileOf(name), topologies.get(name)!);
    for (const { name, unit } of TRAFFIC) {
      const add = (subject: GatewayArm, against: string, baseline: string): void => {
        const pairs = armPairs(rates, name, subject, baseline);
        results.push(benchResult(`${NAMES[subject]}, ${label}: ${name}`, unit, against, pairs));
      };
      for (const gateway of GATEWAYS) add(gateway, 'forwarding by the kernel alone', KERNEL);
      add('ebpf', 'the TUN gateway', 'tun');
      add('ebpf-kernel', 'the TUN gateway', 'tun');
    }
  }
  return results;
}

/** Waits until the gateway sends packets itself, as it does by default where nobody wants to see them. */
async function requireRedirect(gateway: PreflexProcess): Promise<void> {
  await waitFor('a gateway that redirects', async () => {
    const { kernel } = statusOf<GatewayDaemonStatus>(await gateway.counters());
    return kernel?.forwardingBy === 'redirect' ? true : undefined;
  });
}

function buildArm(scope: LabScope, name: string): OpenPairTopology {
  const topology = buildOpenPair(scope, `-${name}`);
  addAddress('lo', `${FAR}/32`, { netns: topology.outside });
  removeProgramsAtEnd(scope, topology.gateway);
  return topology;
}

function armOf(name: string, { host, gateway, outside }: OpenPairTopology): BenchArm {
  return {
    name,
    clientNetns: host,
    serverNetns: outside,
    address: FAR,
    counted: { netns: gateway, device: 'wan0' },
    router: { netns: gateway, devices: ['p0', 'wan0'] },
    dscp: encodeMark(markingScheme('pool2'), CODEPOINT_LECT, 1),
  };
}

function detach(file: string, { gateway: netns }: OpenPairTopology): void {
  run(inNamespace(preflexArgv(['gateway', '--config', file, '--detach']), { netns }));
}

function gatewayConfig(arm: GatewayArm, prefixes: number): string {
  const destinations = Array.from({ length: prefixes }, (_, i) => ({
    prefixes: [`${20 + (i >> 16)}.${(i >> 8) & 255}.${i & 255}.0/24`],
  }));
  return JSON.stringify({
    inside: { device: 'p0', prefixes: OPEN_PAIR.insidePrefixes },
    routes: OPEN_PAIR.routes,
    destinations,
    ...(arm === 'tun'
      ? { datapath: 'tun' }
      : {
          datapath: 'ebpf',
          maxDestinations: prefixes,
          ...(arm === 'ebpf' ? {} : { forwarding: 'kernel' }),
        }),
  });
}
