/** The benchmark `tun`: one TCP flow through the host agent, against the same two namespaces without it. */
import type { BenchResult } from '../../lib/bench/measure.ts';
import { benchResult } from '../../lib/bench/measure.ts';
import type { LabScope } from '../../lib/netns/lab-scope.ts';
import { PreflexProcess } from '../processes/preflex-process.ts';
import { buildPair, PAIR } from '../topologies/pair.ts';
import { runIperf3 } from '../traffic/iperf3.ts';

/** Options of the benchmark. */
export interface BenchTunOptions {
  /** Pairs of runs; default 5. */
  readonly pairs?: number;
  /** Seconds a run; default 3. */
  readonly seconds?: number;
  readonly onProgress?: (line: string) => void;
}

/** Measures sending and receiving hosts, in alternating pairs. */
export async function benchTun(scope: LabScope, options: BenchTunOptions = {}): Promise<BenchResult[]> {
  const { host, far } = buildPair(scope);
  const seconds = options.seconds ?? 3;
  const results: BenchResult[] = [];
  for (const reverse of [false, true]) {
    const name = reverse ? 'tun: agent at the receiver' : 'tun: agent at the sender';
    const measure = async (): Promise<number> =>
      (
        await runIperf3(scope, {
          clientNetns: host,
          serverNetns: far,
          address: PAIR.farAddress,
          seconds,
          reverse,
        })
      ).bitsPerSec / 1e9;
    const pairs: [number, number][] = [];
    for (let i = 0; i < (options.pairs ?? 5); i++) {
      const agent = await PreflexProcess.start(scope, host, [
        'host',
        '--address',
        PAIR.hostAddress,
        '--device',
        PAIR.device,
      ]);
      const through = await measure();
      await agent.stop();
      const without = await measure();
      pairs.push([through, without]);
      options.onProgress?.(
        `${name}, pair ${i + 1}: ${through.toFixed(2)} of ${without.toFixed(2)} Gbit/s, ratio ${(through / without).toFixed(3)}`,
      );
    }
    results.push(benchResult(name, 'Gbit/s', 'the same namespaces without the agent', pairs));
  }
  return results;
}
