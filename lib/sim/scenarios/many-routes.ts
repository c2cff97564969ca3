/**
 * One point of a sweep: a PREFLEX host behind a gateway with 2 to 15 routes to one destination, and nothing else on them.
 *
 *                         +==== r1 ====+
 *      src --- p ---------+==== r2 ====+-------- x --- e
 *     (LEX)  (PREF)       +==== ... ===+
 *
 * Each route has its own rate, drop-tail queue and round trip; the whole round trip is on the way out, and what comes
 * back takes the reverse of r1 in no time. The host keeps a number of transfers going, each followed by another; or, with
 * a pause, that many connections that send one burst after the other with silence between them.
 */
import type { Betas } from '../../pref/balancers/strategies.ts';
import { invalidOption, requireInteger, requireNumber } from '../../errors.ts';
import { mixed } from '../../pref/balancers/mixed.ts';
import { ClosedLoop } from '../apps/closed-loop.ts';
import { OnOff } from '../apps/on-off.ts';
import { sink } from '../apps/transfer.ts';
import type { Carrier } from '../carrier.ts';
import type { GatewayNode } from '../gateway-node.ts';
import { Network } from '../network.ts';
import type { LinkSpec, Topology } from '../topology.ts';
import { LINUX_TCP } from './figure1-topology.ts';

/** Options of {@link runManyRoutes}. */
export interface ManyRoutesOptions {
  readonly betas: Betas;
  /** Update interval, s. */
  readonly intervalSeconds: number;
  /** Of each route, bit/s: 2 to 15 of them. */
  readonly ratesBitsPerSec: readonly number[];
  /** Base round trip over each route, s. */
  readonly rttSeconds: readonly number[];
  /** Queue of each route in bandwidth-delay products; at least three packets. */
  readonly queueBdp: number;
  /** Transfers, or connections, at the same time. */
  readonly flows: number;
  /** Mean silence between the bursts of a connection, s, exponential; 0: a connection for each transfer. */
  readonly pauseSeconds: number;
  /** Shape of the Weibull distribution of the sizes. */
  readonly sizeShape: number;
  /** Mean of the sizes in bytes. */
  readonly meanBytes: number;
  /** Idle gap that begins a flowlet, s. */
  readonly flowletGapSeconds: number;
  /** Simulated seconds. */
  readonly seconds: number;
  /** Seconds at the start that no figure counts. */
  readonly warmUpSeconds: number;
  /** An int32. */
  readonly seed: number;
}

/** A route after the warm-up; ratios 0..1. */
export interface RouteRecord {
  /** Bytes exposed as lost, of bytes sent. */
  readonly lossRatio: number;
  /** Bytes dropped by the link, of bytes offered. */
  readonly dropRatio: number;
  readonly utilisation: number;
  /** Mean over the update intervals. */
  readonly flowletRatio: number;
}

/** What came of it. */
export interface ManyRoutesRecord {
  readonly routes: readonly RouteRecord[];
  /** (max - min) / mean of the routes' loss ratios; null without loss. */
  readonly spread: number | null;
  /** Bytes exposed as lost, of all bytes sent. */
  readonly lossRatio: number;
  /** Share of the sum of all rates that was used. */
  readonly utilisation: number;
  /** Mean over intervals and routes of how much a flowlet ratio changed. */
  readonly ratioChange: number;
  /** Median completion time of transfers, s, over the whole run; null with pauses. */
  readonly completionSeconds: number | null;
}

const NS_PER_S = 1e9;
const PACKET_BYTES = 1500;
const MIN_QUEUE_PACKETS = 3;
const PREFIX = '10.9.0.0/16';
/** Most path IDs of scheme pool2; with more routes it is `full`. */
const MAX_POOL2 = 6;

/** Runs a point. @throws PreflexError naming what is wrong */
export function runManyRoutes(options: ManyRoutesOptions): ManyRoutesRecord {
  const seconds = requireNumber('seconds', options.seconds, 1, 1e6);
  const warmUp = requireNumber('warmUpSeconds', options.warmUpSeconds, 0, seconds);
  const interval = requireNumber('intervalSeconds', options.intervalSeconds, 0.001, seconds);
  const network = new Network(manyRoutesTopology(options), options.seed);
  const log = startTraffic(network, options);
  const routes = options.ratesBitsPerSec.map((_, i) => network.link(`r${i + 1}`)[0]);
  const p = network.gateway('p');
  network.run(warmUp * NS_PER_S);
  const before = count(p, routes);
  const ratioSums = routes.map(() => 0);
  let ratios = routes.map((_, i) => p.gateway.flowletRatio(0, i + 1));
  let changes = 0;
  let intervals = 0;
  for (let t = (Math.floor(warmUp / interval) + 1) * interval; t <= seconds; t += interval) {
    network.run(t * NS_PER_S);
    const next = routes.map((_, i) => p.gateway.flowletRatio(0, i + 1));
    next.forEach((ratio, i) => {
      ratioSums[i] += ratio;
      changes += Math.abs(ratio - ratios[i]);
    });
    ratios = next;
    intervals++;
  }
  network.run(seconds * NS_PER_S);
  const after = count(p, routes);
  const sums = after.map((now, i) => ({
    bytes: now.bytes - before[i].bytes,
    lost: now.lost - before[i].lost,
    forwarded: now.forwarded - before[i].forwarded,
    dropped: now.dropped - before[i].dropped,
  }));
  const capacities = options.ratesBitsPerSec.map((rate) => ((seconds - warmUp) * rate) / 8);
  const records = sums.map(({ bytes, lost, forwarded, dropped }, i): RouteRecord => ({
    lossRatio: ratio(lost, bytes),
    dropRatio: ratio(dropped, dropped + forwarded),
    utilisation: ratio(forwarded, capacities[i]),
    flowletRatio: ratio(ratioSums[i], intervals),
  }));
  const total = (value: (sum: (typeof sums)[number]) => number): number =>
    sums.reduce((all, sum) => all + value(sum), 0);
  return {
    routes: records,
    spread: spreadOf(records.map(({ lossRatio }) => lossRatio)),
    lossRatio: ratio(
      total(({ lost }) => lost),
      total(({ bytes }) => bytes),
    ),
    utilisation: ratio(
      total(({ forwarded }) => forwarded),
      capacities.reduce((sum, bytes) => sum + bytes, 0),
    ),
    ratioChange: ratio(changes, intervals * routes.length),
    completionSeconds: log === undefined ? null : log.report().completionTime.p50,
  };
}

/** The network as data. @throws PreflexError for a number of routes out of range */
export function manyRoutesTopology(options: ManyRoutesOptions): Topology {
  const { betas, intervalSeconds, queueBdp, ratesBitsPerSec, rttSeconds } = options;
  requireInteger('routes', ratesBitsPerSec.length, 2, 15);
  if (rttSeconds.length !== ratesBitsPerSec.length) {
    throw invalidOption('rttSeconds', rttSeconds, `a list of ${ratesBitsPerSec.length} round trips`);
  }
  const scheme = ratesBitsPerSec.length > MAX_POOL2 ? 'full' : 'pool2';
  const links = ratesBitsPerSec.map((rate, i): LinkSpec => {
    const bdpBytes = (rate * rttSeconds[i]) / 8;
    const queueBytes = Math.max(MIN_QUEUE_PACKETS * PACKET_BYTES, Math.round(queueBdp * bdpBytes));
    const delayNs = rttSeconds[i] * NS_PER_S;
    return { name: `r${i + 1}`, between: ['p', 'x'], rateBitsPerSec: rate, queueBytes, delayNs, back: {} };
  });
  return {
    routing: 'listed',
    hosts: [
      {
        name: 'src',
        address: '10.0.0.1',
        tcp: LINUX_TCP,
        lex: { scheme, flowletGapNs: options.flowletGapSeconds * NS_PER_S },
      },
      { name: 'e', address: '10.9.0.1', tcp: LINUX_TCP },
    ],
    gateways: [
      {
        name: 'p',
        egresses: links.map(({ name }, i) => ({ pathId: i + 1, name, link: name })),
        destinations: [{ prefixes: [PREFIX], pathIds: links.map((_, i) => i + 1) }],
        routes: [
          { prefix: '10.0.0.0/24', link: 'src-p' },
          { prefix: PREFIX, link: 'r1' },
        ],
        options: {
          scheme,
          balancer: mixed({ betaE: betas.equal, betaC: betas.conservative, betaL: betas.loss }),
          updateIntervalNs: intervalSeconds * NS_PER_S,
        },
      },
    ],
    routers: [
      {
        name: 'x',
        routes: [
          { prefix: PREFIX, link: 'x-e' },
          { prefix: '10.0.0.0/24', link: 'r1' },
        ],
      },
    ],
    links: [{ name: 'src-p', between: ['src', 'p'] }, ...links, { name: 'x-e', between: ['x', 'e'] }],
  };
}

function startTraffic(network: Network, options: ManyRoutesOptions): ClosedLoop['log'] | undefined {
  const flows = requireInteger('flows', options.flows, 1, 10_000);
  const { sizeShape: shape, pauseSeconds } = options;
  requireNumber('sizeShape', shape, 0.2, 10);
  const scaleBytes = requireNumber('meanBytes', options.meanBytes, 100, 1e12) / gamma(1 + 1 / shape);
  const { stack } = network.host('src');
  const e = network.host('e');
  e.stack.listen(80, () => sink);
  const random = network.randomStream();
  const at = (timeNs: number, action: () => void): void => network.at(timeNs, action);
  if (requireNumber('pauseSeconds', pauseSeconds, 0, 3600) === 0) {
    const loop = new ClosedLoop(stack, e.addr, 80, random, at, { shape, scaleBytes });
    loop.setConcurrency(flows);
    return loop.log;
  }
  const app = new OnOff({
    burstBytes: () => Math.max(1, Math.round(random.weibull(shape, scaleBytes))),
    gapNs: () => random.exponential(pauseSeconds * NS_PER_S),
    count: Infinity,
  });
  for (let i = 0; i < flows; i++) {
    at(random.uniform() * NS_PER_S, () => stack.connect(e.addr, 80, app));
  }
  return undefined;
}

function count(p: GatewayNode, carriers: readonly Carrier[]) {
  const status = p.gateway.destinationStatus(0);
  return carriers.map(({ link }, i) => {
    const { bytes, lexBytes, fneRepeatBytes } = status.routes[i].total;
    return {
      bytes,
      lost: lexBytes + fneRepeatBytes,
      forwarded: link.forwardedBytes,
      dropped: link.droppedBytes.reduce((sum, dropped) => sum + dropped, 0),
    };
  });
}

function ratio(part: number, whole: number): number {
  return whole === 0 ? 0 : part / whole;
}

function spreadOf(ratios: readonly number[]): number | null {
  const mean = ratios.reduce((sum, value) => sum + value, 0) / ratios.length;
  return mean > 0 ? (Math.max(...ratios) - Math.min(...ratios)) / mean : null;
}

/** The gamma function for arguments of 1 and above, by Lanczos' approximation (g = 7), exact to 13 digits. */
export function gamma(x: number): number {
  const coefficients = [
    676.5203681218851, -1259.1392167224028, 771.3234287776531, -176.6150291621406, 12.507343278686905,
    -0.13857109526572012, 9.984369578019572e-6, 1.5056327351493116e-7,
  ];
  const z = x - 1;
  const t = z + 7.5;
  const sum = coefficients.reduce((total, c, i) => total + c / (z + i + 1), 0.9999999999998099);
  return Math.sqrt(2 * Math.PI) * t ** (z + 0.5) * Math.exp(-t) * sum;
}
