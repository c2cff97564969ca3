/**
 * Loss ratio against the number of flows on one bottleneck: flows that never end, drop-tail with a queue of one
 * bandwidth-delay product.
 *
 *      a ==== rate, queue, half a round trip ====> b
 *        <--- half a round trip ------------------
 */
import { requireInteger, requireNumber } from '../../errors.ts';
import { sink, startTransfer } from '../apps/transfer.ts';
import { LINK_DROP_QUEUE_FULL } from '../link.ts';
import { Network } from '../network.ts';
import type { TcpOptions } from '../tcp/options.ts';

/** Options of {@link runBulkFlows}. */
export interface BulkFlowsOptions {
  /** 1 to 10,000. */
  readonly flows: number;
  readonly tcp: TcpOptions;
  /** Simulated seconds, 20 to 1e6; the first fifth is not counted. */
  readonly seconds: number;
  /** An int32. */
  readonly seed: number;
  /** Default 25 Mbit/s. */
  readonly rateBitsPerSec?: number;
  /** Base round trip in s; default 0.1. */
  readonly rttSeconds?: number;
}

/** What came of it; ratios 0..1. */
export interface BulkFlowsRecord {
  readonly flows: number;
  /** Packets dropped at the queue, of those offered. */
  readonly lossRatio: number;
  /** Segments sent again, of packets offered. */
  readonly retransmittedRatio: number;
  /** Loss ratio at which a flow of this rate and round trip would be by p = (1.22 MSS / (RTT rate))^2. */
  readonly mathisRatio: number;
  readonly utilisation: number;
  readonly meanQueueSeconds: number;
  readonly timeouts: number;
  /** Jain's index of the flows' shares, 1 / flows to 1. */
  readonly fairness: number;
}

const NS_PER_S = 1e9;
const WARM_UP = 0.2;
/** Flows begin within so many seconds. */
const SPREAD_SECONDS = 5;
/** Time between two looks at the queue; no round number, so that it does not march in step with anything. */
const SAMPLE_NS = 17e6;
const PACKET_BYTES = 1500;
/** C of the square root formula with an acknowledgement for each segment. @see Mathis et al. 1997 */
const MATHIS_C = 1.22;

/** Runs so many flows. @throws PreflexError naming what is wrong */
export function runBulkFlows(options: BulkFlowsOptions): BulkFlowsRecord {
  const flows = requireInteger('flows', options.flows, 1, 10_000);
  const seconds = requireNumber('seconds', options.seconds, 20, 1e6);
  const rate = options.rateBitsPerSec ?? 25e6;
  const rtt = options.rttSeconds ?? 0.1;
  const delayNs = (rtt / 2) * NS_PER_S;
  const network = new Network(
    {
      hosts: [
        { name: 'a', address: '10.0.0.1', tcp: options.tcp },
        { name: 'b', address: '10.0.1.1', tcp: options.tcp },
      ],
      links: [
        {
          name: 'l',
          between: ['a', 'b'],
          delayNs,
          rateBitsPerSec: rate,
          queueBytes: Math.round((rate * rtt) / 8),
          back: { delayNs },
        },
      ],
    },
    options.seed,
  );
  const [a, b] = [network.host('a'), network.host('b')];
  b.stack.listen(80, () => sink);
  const random = network.randomStream();
  const connections: { sentBytes: number }[] = [];
  for (let i = 0; i < flows; i++) {
    network.at(random.uniform() * SPREAD_SECONDS * NS_PER_S, () => {
      connections.push(startTransfer(a.stack, b.addr, 80, Infinity));
    });
  }
  const [{ link }] = network.link('l');
  const warmUpNs = Math.max(seconds * WARM_UP, SPREAD_SECONDS) * NS_PER_S;
  network.run(warmUpNs);
  const count = () => ({
    dropped: link.droppedPackets[LINK_DROP_QUEUE_FULL],
    packets: link.forwardedPackets,
    bytes: link.forwardedBytes,
    retransmitted: a.stack.totals.retransmittedSegments,
    timeouts: a.stack.totals.timeouts,
    sent: connections.map((c) => c.sentBytes),
  });
  const before = count();
  let queued = 0;
  let samples = 0;
  for (let t = warmUpNs; t < seconds * NS_PER_S; t += SAMPLE_NS) {
    network.run(t);
    queued += link.queuedBytes(t);
    samples++;
  }
  network.run(seconds * NS_PER_S);
  const after = count();
  const counted = seconds - warmUpNs / NS_PER_S;
  const dropped = after.dropped - before.dropped;
  const offered = dropped + after.packets - before.packets;
  const bytes = after.bytes - before.bytes;
  const meanQueueSeconds = ((queued / samples) * 8) / rate;
  const shares = after.sent.map((sent, i) => sent - before.sent[i]);
  const total = shares.reduce((sum, share) => sum + share, 0);
  const bytesPerSec = bytes / counted / flows;
  return {
    flows,
    lossRatio: dropped / offered,
    retransmittedRatio: (after.retransmitted - before.retransmitted) / offered,
    mathisRatio: ((MATHIS_C * PACKET_BYTES) / ((rtt + meanQueueSeconds) * bytesPerSec)) ** 2,
    utilisation: (bytes * 8) / counted / rate,
    meanQueueSeconds,
    timeouts: after.timeouts - before.timeouts,
    fairness: total ** 2 / (flows * shares.reduce((sum, share) => sum + share * share, 0)),
  };
}
