/**
 * Two PREFLEX domains that face each other over three routes, both with a marking host and a gateway: the laboratory's
 * topology `domains` in virtual time, and the traffic of its recovery experiment.
 *
 *                     +==== L1 ====+
 *      s ----- ps ----+==== L2 ====+---- pc ----- c
 *    (LEX)   (PREF)   +==== L3 ====+   (PREF)   (LEX)
 *
 * Clients at c ask; s answers, for as long as the run lasts at a steady pace (class `running`), or with so many bytes
 * (class `new`). So data goes one way, and what goes the other way is acknowledgements.
 */
import { balancerOf, BETAS } from '../../pref/balancers/strategies.ts';
import type { Strategy } from '../../pref/balancers/strategies.ts';
import type { PolicyOptions } from '../../pref/gateway-options.ts';
import type { LexHostOptions } from '../../lex/options.ts';
import type { TcpApp } from '../tcp/app.ts';
import type { LinkOptions } from '../link.ts';
import type { Network } from '../network.ts';
import type { TcpConnection } from '../tcp/connection.ts';
import type { TcpStack } from '../tcp/stack.ts';
import type { GatewaySpec, LinkSpec, Topology } from '../topology.ts';
import { LINUX_TCP } from './figure1-topology.ts';

/** Names of the links, which are also those of the routes over them, path IDs 1 to 3. */
export const TWO_DOMAINS_LINKS = ['L1', 'L2', 'L3'] as const;

/** What can be chosen. */
export interface TwoDomainsOptions {
  /** How both gateways divide their traffic; `equal` infers no failures. */
  readonly mode: Strategy;
  /** Update interval, s. */
  readonly intervalSeconds: number;
  /** Of each link, the same in both directions. */
  readonly link: Omit<LinkOptions, 'random'>;
  /** Of the direction from pc to ps, if it is another. */
  readonly back?: Omit<LinkOptions, 'random'>;
  /** Whether each gateway shows the other one the marks; default true. */
  readonly isExposed?: boolean;
  readonly host?: LexHostOptions;
  /** Of both gateways, beside what the mode says. */
  readonly policy?: PolicyOptions;
}

const NS_PER_S = 1e9;
/** How often a steady connection writes, as in the laboratory. */
const PACE_NS = 25e6;
const REQUEST_BYTES = 10;
const REQUEST_DELAY_NS = 1e6;
const RUNNING_PORT = 9000;
const NEW_PORT = 9001;

/** The network as data. */
export function twoDomainsTopology(options: TwoDomainsOptions): Topology {
  const tcp = LINUX_TCP;
  const { back, host: lex = {}, intervalSeconds, link, mode } = options;
  const gateway = (
    name: string,
    inside: string,
    outside: string,
    host: string,
    seed: number,
  ): GatewaySpec => ({
    name,
    egresses: TWO_DOMAINS_LINKS.map((route, i) => ({ pathId: i + 1, name: route, link: route })),
    destinations: [{ prefixes: [outside], pathIds: [1, 2, 3] }],
    routes: [
      { prefix: inside, link: host },
      { prefix: outside, link: TWO_DOMAINS_LINKS[0] },
    ],
    options: {
      balancer: balancerOf(mode, BETAS[mode]),
      updateIntervalNs: intervalSeconds * NS_PER_S,
      exposeTo: options.isExposed === false ? [] : [1, 2, 3],
      // `equal` is the gateway that learns nothing: it does not infer failures either.
      inferFailures: mode !== 'equal',
      ...options.policy,
      seed,
    },
  });
  return {
    routing: 'listed',
    hosts: [
      { name: 's', address: '10.76.1.2', tcp, lex, routes: [{ prefix: '0.0.0.0/0', link: 's-ps' }] },
      { name: 'c', address: '10.76.2.2', tcp, lex, routes: [{ prefix: '0.0.0.0/0', link: 'pc-c' }] },
    ],
    gateways: [
      gateway('ps', '10.76.1.0/24', '10.76.2.0/24', 's-ps', 1),
      gateway('pc', '10.76.2.0/24', '10.76.1.0/24', 'pc-c', 2),
    ],
    links: [
      { name: 's-ps', between: ['s', 'ps'] },
      { name: 'pc-c', between: ['pc', 'c'] },
      ...TWO_DOMAINS_LINKS.map((name): LinkSpec => ({
        name,
        between: ['ps', 'pc'],
        ...link,
        back: back ?? link,
      })),
    ],
  };
}

/** A connection as its client sees it. Times in ns of the run. */
export interface ClientRecord {
  readonly name: 'running' | 'new';
  readonly startNs: number;
  /** When it had all its bytes, or broke; Infinity while it runs. */
  endNs: number;
  isLost: boolean;
  receivedBytes: number;
  /** When bytes came last. */
  lastNs: number;
  /** The longest time without bytes that begins at {@link TwoDomainsTraffic.watchFromNs} or later, or spans it. */
  gapNs: number;
}

/** Running connections and new ones. */
export class TwoDomainsTraffic {
  readonly records: ClientRecord[] = [];
  /** Gaps that end before this are not looked at, and none that begin at {@link watchToNs} or later. */
  watchFromNs = Infinity;
  watchToNs = Infinity;
  readonly #network: Network;
  readonly #client: TcpStack;
  readonly #serverAddr: number;
  readonly #newBytes: number;

  /** @param bytesPerSec - of each running connection. @param newBytes - of each new one */
  constructor(network: Network, bytesPerSec: number, newBytes: number) {
    this.#network = network;
    const server = network.host('s');
    this.#client = network.host('c').stack;
    this.#serverAddr = server.addr;
    this.#newBytes = newBytes;
    const chunk = (bytesPerSec * PACE_NS) / NS_PER_S;
    const pacer: TcpApp = {
      onData(stack, c) {
        if (bytesPerSec === Infinity) stack.write(c, Infinity);
        else stack.setTimer(c, stack.queue.nowNs + PACE_NS);
      },
      onTimer(stack, c) {
        stack.setTimer(c, stack.queue.nowNs + PACE_NS);
        stack.write(c, chunk);
      },
    };
    const answerer: TcpApp = {
      onData(stack, c) {
        stack.write(c, newBytes);
        stack.close(c);
      },
      onPeerClosed: (stack, c) => {
        stack.close(c);
      },
    };
    server.stack.listen(RUNNING_PORT, () => pacer);
    server.stack.listen(NEW_PORT, () => answerer);
  }

  /** Opens running connections within the first second, and new ones, so many a second, until that time. */
  start(running: number, newPerSec: number, untilNs: number): void {
    const random = this.#network.randomStream();
    for (let i = 0; i < running; i++) {
      this.#network.at(random.uniform() * NS_PER_S, () => {
        this.#open('running');
      });
    }
    const openNext = (): void => {
      this.#open('new');
      const atNs = this.#network.nowNs + random.exponential(NS_PER_S / newPerSec);
      if (atNs < untilNs) this.#network.at(atNs, openNext);
    };
    if (newPerSec > 0) this.#network.at(random.exponential(NS_PER_S / newPerSec), openNext);
  }

  /** Gaps that are not over yet count up to now. */
  closeGaps(): void {
    for (const record of this.records) if (record.endNs === Infinity) this.#noteGap(record);
  }

  #open(name: ClientRecord['name']): void {
    const { nowNs } = this.#network;
    const record: ClientRecord = {
      name,
      startNs: nowNs,
      endNs: Infinity,
      isLost: false,
      receivedBytes: 0,
      lastNs: nowNs,
      gapNs: 0,
    };
    this.records.push(record);
    const wanted = name === 'new' ? this.#newBytes : Infinity;
    const app: TcpApp = {
      // The acknowledgement of the handshake goes out by itself, as that of a kernel does.
      onEstablished(stack, c) {
        stack.setTimer(c, stack.queue.nowNs + REQUEST_DELAY_NS);
      },
      onTimer(stack, c) {
        stack.write(c, REQUEST_BYTES);
      },
      onData: (stack, c, bytes) => {
        this.#noteGap(record);
        record.lastNs = this.#network.nowNs;
        record.receivedBytes += bytes;
        if (record.receivedBytes < wanted) return;
        if (record.endNs === Infinity) record.endNs = this.#network.nowNs;
        stack.close(c);
      },
      onEnd: (_stack: TcpStack, _c: TcpConnection) => {
        if (record.endNs !== Infinity) return;
        record.endNs = this.#network.nowNs;
        record.isLost = true;
      },
    };
    this.#client.connect(this.#serverAddr, name === 'running' ? RUNNING_PORT : NEW_PORT, app);
  }

  #noteGap(record: ClientRecord): void {
    const { nowNs } = this.#network;
    if (nowNs < this.watchFromNs || record.lastNs >= this.watchToNs) return;
    record.gapNs = Math.max(record.gapNs, nowNs - record.lastNs);
  }
}
