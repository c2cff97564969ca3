/**
 * The benchmark `ebpf`, of gateways: what P forwards from inside to outside, every packet marked with a path (topology
 * open-pair), with the eBPF gateway, with the TUN gateway and by the kernel alone; with few prefixes and with many, each a
 * destination of its own.
 */
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import type { BenchResult } from '../../lib/bench/measure.ts';
import { benchResult } from '../../lib/bench/measure.ts';
import { addAddress } from '../../lib/netns/addresses.ts';
import { inNamespace, run } from '../../lib/netns/command.ts';
import type { LabScope } from '../../lib/netns/lab-scope.ts';
import { CODEPOINT_LECT, encodeMark, markingScheme } from '../../lib/wire/marking/scheme.ts';
import { removeProgramsAtEnd } from '../processes/datapath.ts';
import { preflexArgv, PreflexProcess } from '../processes/preflex-process.ts';
import { buildOpenPair, OPEN_PAIR } from '../topologies/open-pair.ts';
import type { BenchArm } from './bench-arms.ts';
import { armPairs, BENCH_TRAFFIC, measureArms, measureTraffic, trafficMeasures } from './bench-arms.ts';
import type { BenchDatapathOptions } from './bench-ebpf.ts';

/** Options of the benchmark. */
export interface BenchGatewayOptions extends BenchDatapathOptions {
  /** Numbers of prefixes; default 1, 1,000 and 100,000. */
  readonly prefixes?: readonly number[];
}

const KERNEL = 'kernel';
/** An address of the outside that the main table reaches by the default route only. */
const FAR = '20.0.0.1';
const TRAFFIC = BENCH_TRAFFIC.filter(({ name }) => name !== 'eight TCP flows');

/** Runs all measurements. */
export async function benchGateway(
  scope: LabScope,
  options: BenchGatewayOptions = {},
): Promise<BenchResult[]> {
  const { host, gateway, outside } = buildOpenPair(scope);
  removeProgramsAtEnd(scope, gateway);
  addAddress('lo', `${FAR}/32`, { netns: outside });
  const folder = mkdtempSync(join(tmpdir(), 'preflex-bench-'));
  scope.defer(`folder ${folder}`, () => {
    rmSync(folder, { recursive: true, force: true });
  });
  const { pairs: rounds = 5, seconds = 3, onProgress } = options;
  const place = {
    clientNetns: host,
    serverNetns: outside,
    address: FAR,
    counted: { netns: gateway, device: 'wan0' },
    dscp: encodeMark(markingScheme('pool2'), CODEPOINT_LECT, 1),
  };
  const measure = () => measureTraffic(scope, place, TRAFFIC, seconds);
  // To warm up.
  await measureTraffic(scope, place, TRAFFIC, 1);
  const results: BenchResult[] = [];
  for (const count of options.prefixes ?? [1, 1000, 100_000]) {
    const file = join(folder, `gateway-${count}.yaml`);
    writeFileSync(file, gatewayConfig(count));
    const arms = ['ebpf', KERNEL, 'tun'].map((name) => arm(scope, name, gateway, file));
    const label = `${count.toLocaleString('en-US')} prefixes`;
    const values = await measureArms(`gateway, ${label}`, arms, measure, { rounds, onProgress });
    for (const { name, unit } of trafficMeasures(TRAFFIC)) {
      const add = (subject: string, against: string, baseline: string): void => {
        const pairs = armPairs(values, name, subject, baseline);
        results.push(benchResult(`${subject} gateway, ${label}: ${name}`, unit, against, pairs));
      };
      add('ebpf', 'forwarding by the kernel alone', KERNEL);
      add('tun', 'forwarding by the kernel alone', KERNEL);
      add('ebpf', 'the TUN gateway', 'tun');
    }
  }
  return results;
}

function gatewayConfig(prefixes: number): string {
  const destinations = Array.from({ length: prefixes }, (_, i) => ({
    prefixes: [`${20 + (i >> 16)}.${(i >> 8) & 255}.${i & 255}.0/24`],
  }));
  return JSON.stringify({
    inside: { device: 'p0', prefixes: OPEN_PAIR.insidePrefixes },
    routes: OPEN_PAIR.routes,
    destinations,
  });
}

function arm(scope: LabScope, name: string, netns: string, file: string): BenchArm {
  let gateway: PreflexProcess | undefined;
  const config = ['gateway', '--config', file];
  return {
    name,
    begin: async () => {
      if (name !== KERNEL) {
        gateway = await PreflexProcess.start(scope, netns, [...config, '--datapath', name]);
      }
    },
    end: async () => {
      await gateway?.stop();
      if (name === 'ebpf') run(inNamespace(preflexArgv([...config, '--detach']), { netns }));
    },
  };
}
