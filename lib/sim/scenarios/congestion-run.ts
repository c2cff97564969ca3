/**
 * Nothing fails, but much is lost: two PREFLEX domains over three congested links, in both of whose directions packets
 * are lost at random, in bursts, or in full queues. A gateway that suspends a route here was mistaken.
 */
import { requireInteger, requireNumber } from '../../errors.ts';
import type { EvidenceKind, EvidenceSum } from '../../pref/failure-events.ts';
import type { GilbertElliott } from '../link.ts';
import { Network } from '../network.ts';
import { TWO_DOMAINS_LINKS, TwoDomainsTraffic, twoDomainsTopology } from './two-domains.ts';
import type { GatewayDecision } from './recovery-run.ts';

/** What the links do, and what they carry. */
export interface CongestionRegime {
  readonly name: string;
  /** Of each direction of each link; default none. */
  readonly loss?: number | GilbertElliott;
  /** bit/s; default 25 Mbit/s. */
  readonly rateBitsPerSec?: number;
  /** Default 300. */
  readonly queuePackets?: number;
  /** One-way delay, s; default 0.05. */
  readonly delaySeconds?: number;
  /** Running connections; default 60. */
  readonly connections?: number;
  /** Of each running connection; Infinity fills the links. Default 50,000. */
  readonly bytesPerSec?: number;
}

const random = (percent: number): CongestionRegime => ({
  name: `${percent} % at random`,
  loss: percent / 100,
});

/** Bursts of `packets` on average in which all are lost. */
const bursts = (percent: number, packets: number): CongestionRegime => {
  const badToGood = 1 / packets;
  const loss = percent / 100;
  return {
    name: `${percent} % in bursts of ${packets}`,
    loss: { goodToBad: (loss * badToGood) / (1 - loss), badToGood },
  };
};

/** The losses asked for, at random and in bursts; and links that are full. */
export const CONGESTION_REGIMES: readonly CongestionRegime[] = [
  ...[0.1, 0.5, 1, 2, 5, 8].map(random),
  ...[0.1, 0.5, 1, 2, 5, 8].map((percent) => bursts(percent, 5)),
  {
    name: '5 % in bad times with 50 %',
    loss: { goodToBad: 0.01, badToGood: 0.1, lossInGood: 0.005, lossInBad: 0.5 },
  },
  { ...random(8), name: '8 % at random, RTT 10 ms', delaySeconds: 0.005 },
  { ...random(8), name: '8 % at random, RTT 300 ms', delaySeconds: 0.15 },
  { ...bursts(8, 5), name: '8 % in bursts of 5, 12 connections', connections: 12 },
  { name: 'full queues of 300 packets', rateBitsPerSec: 5e6, bytesPerSec: Infinity },
  { name: 'full queues of 50 packets', rateBitsPerSec: 5e6, bytesPerSec: Infinity, queuePackets: 50 },
  { name: 'full queues of 15 packets', rateBitsPerSec: 2e6, bytesPerSec: Infinity, queuePackets: 15 },
];

/** Options of {@link runCongestion}. */
export interface CongestionOptions {
  readonly regime: CongestionRegime;
  /** Simulated seconds, 10 to 1e6. */
  readonly seconds: number;
  /** An int32. */
  readonly seed: number;
}

/** A gateway's evidence. */
export interface GatewayEvidence {
  /** `ps`, behind which data is sent, or `pc`, behind which it is received. */
  readonly gateway: 'ps' | 'pc';
  readonly evidence: Readonly<Record<EvidenceKind, EvidenceSum>>;
}

/** What came of it; ratios 0..1. */
export interface CongestionRecord {
  readonly regime: string;
  readonly seconds: number;
  readonly seed: number;
  /** Packets dropped on the links, of those offered: of the direction of the data, and of that of acknowledgements. */
  readonly dropRatio: number;
  readonly dropRatioBack: number;
  readonly packets: number;
  readonly gateways: readonly GatewayEvidence[];
  /** Suspended routes: none of them had failed. */
  readonly suspensions: readonly GatewayDecision[];
}

const NS_PER_S = 1e9;
const NEW_PER_SECOND = 5;
const GATEWAYS = ['ps', 'pc'] as const;
/** A run is cut into so many parts at most, between which its progress is told. */
const PARTS = 100;

/**
 * Runs a regime.
 *
 * @param onShare - told how much of it is done, 0..1
 * @throws PreflexError naming what is wrong
 */
export function runCongestion(
  options: CongestionOptions,
  onShare?: (share: number) => void,
): CongestionRecord {
  const { regime } = options;
  const seconds = requireNumber('seconds', options.seconds, 10, 1e6);
  const seed = requireInteger('seed', options.seed, -(2 ** 31), 2 ** 31 - 1);
  const network = new Network(
    twoDomainsTopology({
      mode: 'loss',
      intervalSeconds: 10,
      link: {
        rateBitsPerSec: regime.rateBitsPerSec ?? 25e6,
        queuePackets: regime.queuePackets ?? 300,
        delayNs: (regime.delaySeconds ?? 0.05) * NS_PER_S,
        loss: regime.loss ?? 0,
      },
    }),
    seed,
  );
  const traffic = new TwoDomainsTraffic(network, regime.bytesPerSec ?? 50_000, 20_000);
  traffic.start(regime.connections ?? 60, NEW_PER_SECOND, seconds * NS_PER_S);
  const suspensions: GatewayDecision[] = [];
  const seen = { ps: 0, pc: 0 };
  for (let part = 1; part <= PARTS; part++) {
    network.run((part / PARTS) * seconds * NS_PER_S);
    // The list of a gateway is bounded.
    for (const gateway of GATEWAYS) {
      for (const event of network.gateway(gateway).gateway.failureEvents(seen[gateway])) {
        seen[gateway] = event.number + 1;
        if (event.decision === 'suspended') suspensions.push({ ...event, gateway });
      }
    }
    onShare?.(part / PARTS);
  }
  const directions = [0, 1].map((direction) => {
    const links = TWO_DOMAINS_LINKS.map((name) => network.link(name)[direction]);
    const dropped = links.reduce((sum, carrier) => sum + carrier.droppedPackets, 0);
    const forwarded = links.reduce((sum, carrier) => sum + carrier.link.forwardedPackets, 0);
    return { dropped, packets: dropped + forwarded };
  });
  const [forward, back] = directions;
  return {
    regime: regime.name,
    seconds,
    seed,
    dropRatio: forward.dropped / Math.max(1, forward.packets),
    dropRatioBack: back.dropped / Math.max(1, back.packets),
    packets: forward.packets + back.packets,
    gateways: GATEWAYS.map((gateway) => ({
      gateway,
      evidence: network.gateway(gateway).gateway.failureEvidence(),
    })),
    suspensions,
  };
}
