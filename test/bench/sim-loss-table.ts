/**
 * Loss ratio against the number of flows on one bottleneck: 25 Mbit/s, 100 ms round trip, drop-tail with a queue of
 * one bandwidth-delay product. Run with `npx tsx test/bench/sim-loss-table.ts [seconds]`.
 */
import { startTransfer, sink } from '../../lib/sim/apps/transfer.ts';
import { LINK_DROP_QUEUE_FULL } from '../../lib/sim/link.ts';
import { Network } from '../../lib/sim/network.ts';
import type { TcpOptions } from '../../lib/sim/tcp/options.ts';

const RATE = 25e6;
const RTT_S = 0.1;
const QUEUE_BYTES = (RATE * RTT_S) / 8;

export interface Row {
  readonly algorithm: string;
  readonly flows: number;
  readonly lossRatio: number;
  readonly retransmittedRatio: number;
  readonly utilisation: number;
  readonly meanQueueMs: number;
  readonly mathis: number;
  readonly timeouts: number;
  readonly fairness: number;
  readonly eventsPerS: number;
}

/** One run; figures are taken after a warm-up of a fifth. */
export function lossRow(flows: number, tcp: TcpOptions, seconds: number, seed: number): Row {
  const network = new Network(
    {
      hosts: [
        { name: 'a', address: '10.0.0.1', tcp },
        { name: 'b', address: '10.0.1.1', tcp },
      ],
      links: [
        {
          name: 'l',
          between: ['a', 'b'],
          delayNs: (RTT_S / 2) * 1e9,
          rateBitsPerSec: RATE,
          queueBytes: QUEUE_BYTES,
          back: { delayNs: (RTT_S / 2) * 1e9 },
        },
      ],
    },
    seed,
  );
  const a = network.host('a');
  const b = network.host('b');
  b.stack.listen(80, () => sink);
  const random = network.randomStream();
  const connections: { sentBytes: number }[] = [];
  for (let i = 0; i < flows; i++) {
    network.at(random.uniform() * 5e9, () => connections.push(startTransfer(a.stack, b.addr, 80, Infinity)));
  }
  const warmUpNs = seconds * 0.2e9;
  const [forward] = network.link('l');
  const began = performance.now();
  network.run(warmUpNs);
  const before = {
    dropped: forward.link.droppedPackets[LINK_DROP_QUEUE_FULL],
    packets: forward.link.forwardedPackets,
    bytes: forward.link.forwardedBytes,
    retransmitted: a.stack.totals.retransmittedSegments,
    timeouts: a.stack.totals.timeouts,
    sent: connections.map((c) => c.sentBytes),
  };
  let queued = 0;
  let samples = 0;
  for (let t = warmUpNs; t < seconds * 1e9; t += 17e6) {
    network.run(t);
    queued += forward.link.queuedBytes(t);
    samples++;
  }
  network.run(seconds * 1e9);
  const dropped = forward.link.droppedPackets[LINK_DROP_QUEUE_FULL] - before.dropped;
  const packets = forward.link.forwardedPackets - before.packets;
  const bytes = forward.link.forwardedBytes - before.bytes;
  const shares = connections.map((c, i) => c.sentBytes - before.sent[i]);
  const total = shares.reduce((x, y) => x + y, 0);
  const meanQueueS = ((queued / samples) * 8) / RATE;
  const rtt = RTT_S + meanQueueS;
  const ratePerFlow = bytes / (seconds * 0.8) / flows;
  return {
    algorithm: tcp.congestionControl ?? 'cubic',
    flows,
    lossRatio: dropped / (dropped + packets),
    retransmittedRatio: (a.stack.totals.retransmittedSegments - before.retransmitted) / (dropped + packets),
    utilisation: (bytes * 8) / (seconds * 0.8) / RATE,
    meanQueueMs: meanQueueS * 1000,
    mathis: ((1.22 * 1500) / (rtt * ratePerFlow)) ** 2,
    timeouts: a.stack.totals.timeouts - before.timeouts,
    fairness: total ** 2 / (flows * shares.reduce((x, y) => x + y * y, 0)),
    eventsPerS: network.queue.taken / ((performance.now() - began) / 1000),
  };
}

if (process.argv[1]?.endsWith('sim-loss-table.ts')) {
  const seconds = Number(process.argv[2] ?? 200);
  console.log('algorithm flows   loss %  retr %  mathis %  util %  queue ms  timeouts  Jain   Mevents/s');
  for (const congestionControl of ['newreno', 'cubic'] as const) {
    for (const flows of [1, 2, 5, 10, 20, 50, 100]) {
      const row = lossRow(flows, { congestionControl }, seconds, 1);
      console.log(
        `${row.algorithm.padEnd(9)} ${String(flows).padStart(5)} ${(row.lossRatio * 100).toFixed(3).padStart(8)} ${(row.retransmittedRatio * 100).toFixed(3).padStart(7)} ${(row.mathis * 100).toFixed(3).padStart(9)} ${(row.utilisation * 100).toFixed(1).padStart(7)} ${row.meanQueueMs.toFixed(1).padStart(9)} ${String(row.timeouts).padStart(9)} ${row.fairness.toFixed(3)} ${(row.eventsPerS / 1e6).toFixed(2).padStart(9)}`,
      );
    }
  }
}
