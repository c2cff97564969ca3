/**
 * The benchmark `ebpf`, of hosts: TCP and small UDP datagrams of a host with the programs attached, and with the TUN
 * agent, against the same two namespaces without either.
 */
import type { BenchResult } from '../../lib/bench/measure.ts';
import { benchResult } from '../../lib/bench/measure.ts';
import { inNamespace, run } from '../../lib/netns/command.ts';
import type { LabScope } from '../../lib/netns/lab-scope.ts';
import { removeProgramsAtEnd } from '../processes/datapath.ts';
import { preflexArgv, PreflexProcess } from '../processes/preflex-process.ts';
import { buildPair, PAIR } from '../topologies/pair.ts';
import type { BenchArm } from './bench-arms.ts';
import { armPairs, BENCH_TRAFFIC, measureArms, measureTraffic, trafficMeasures } from './bench-arms.ts';

/** Options of the benchmarks of datapaths. */
export interface BenchDatapathOptions {
  /** Rounds; default 5. */
  readonly pairs?: number;
  /** Seconds a run; default 3. */
  readonly seconds?: number;
  readonly onProgress?: (line: string) => void;
}

const NOTHING = 'nothing';
const PLACE = ['--device', PAIR.device];

/** Runs all measurements. */
export async function benchEbpf(scope: LabScope, options: BenchDatapathOptions = {}): Promise<BenchResult[]> {
  const { host, far } = buildPair(scope);
  removeProgramsAtEnd(scope, host);
  const { pairs: rounds = 5, seconds = 3, onProgress } = options;
  const place = {
    clientNetns: host,
    serverNetns: far,
    address: PAIR.farAddress,
    counted: { netns: host, device: PAIR.device },
  };
  const arms = [attached(scope, host), nothing(), tunAgent(scope, host)];
  // To warm up.
  await measureTraffic(scope, place, BENCH_TRAFFIC, 1);
  const measure = () => measureTraffic(scope, place, BENCH_TRAFFIC, seconds);
  const values = await measureArms('host', arms, measure, { rounds, onProgress });
  return ['ebpf', 'tun'].flatMap((arm) =>
    trafficMeasures(BENCH_TRAFFIC).map(({ name, unit }) =>
      benchResult(
        `${arm} host: ${name}`,
        unit,
        'the same namespaces without agent',
        armPairs(values, name, arm, NOTHING),
      ),
    ),
  );
}

function nothing(): BenchArm {
  return { name: NOTHING, begin: () => Promise.resolve(), end: () => Promise.resolve() };
}

/** The programs, without their agent: that is how they go on. */
function attached(scope: LabScope, netns: string): BenchArm {
  return {
    name: 'ebpf',
    begin: async () => {
      const words = ['host', '--datapath', 'ebpf', '--address', PAIR.hostAddress, ...PLACE];
      await (await PreflexProcess.start(scope, netns, words)).stop();
    },
    end: () => {
      run(inNamespace(preflexArgv(['host', '--detach', ...PLACE]), { netns }));
      return Promise.resolve();
    },
  };
}

function tunAgent(scope: LabScope, netns: string): BenchArm {
  let agent: PreflexProcess | undefined;
  return {
    name: 'tun',
    begin: async () => {
      agent = await PreflexProcess.start(scope, netns, ['host', '--address', PAIR.hostAddress, ...PLACE]);
    },
    end: async () => {
      await agent?.stop();
    },
  };
}
