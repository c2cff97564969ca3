/**
 * The paper's Figure 1 as the laboratory emulates it, links in series folded into one:
 *
 *      sources                                                  clients
 *
 *      i1 ---------------------+
 *                              |
 *                      l1 --- a1 ==== L1 ====+
 *                      |                     |          +--- e1
 *      src --- p ----- l2 --- a2 ==== L2 ==== x --------+
 *     (LEX)   (PREF)   |                     |          +--- e2
 *                      l3 --- a3 ==== L3 ====+
 *                              |
 *      i2 ---------------------+
 *
 * L1, L2, L3 toward the clients: rate, drop-tail queue, 50 ms. Back: 50 ms without a rate. All other links take no time.
 * What goes back to src takes the reverse of L1, whichever route its data took.
 */
import type { LexHostOptions } from '../../lex/options.ts';
import type { GatewayOptions } from '../../pref/gateway-options.ts';
import type { TcpOptions } from '../tcp/options.ts';
import type { LinkSpec, RouterSpec, Topology } from '../topology.ts';
import { FIGURE1 } from './figure1-places.ts';

/** What can be chosen. */
export interface Figure1NetworkOptions {
  /** bit/s of L1, L2 and L3. */
  readonly ratesBitsPerSec: readonly [number, number, number];
  /** Queue of each bottleneck, packets; default 100. */
  readonly queuePackets?: number;
  /** One-way delay, ns; default 50e6: five links of 10 ms. */
  readonly delayNs?: number;
  /** Of the source behind P; default true: the host's own defaults, but a table of 4,096 flows. */
  readonly lex?: boolean | LexHostOptions;
  /** Of all hosts; default `LINUX_TCP` of this file. */
  readonly tcp?: TcpOptions;
  /** Of gateway P; its memory of FNE packets has 1,024 entries unless told otherwise. */
  readonly gateway?: Omit<GatewayOptions, 'routes'>;
}

/**
 * Flows that the source's table has room for: 2.5 times as many as `fig4-fast` ever has in it, those that are closed
 * included. The host's default is 65,536: as few flows would lie so far apart that each has a page of memory of its own,
 * and a packet's time would be the time of finding that.
 */
const FLOWS = 4096;
/** Likewise. FNE packets wait for their answers there; tens do. */
const FNE_ENTRIES = 1024;

/**
 * CUBIC as Linux's behaves in the laboratory: there a twentieth of the acknowledgements come 2 ms later than the others, so
 * that HyStart hardly ever sees a train of half a round trip; docs/simulator.md, "Against the laboratory".
 */
export const LINUX_TCP: TcpOptions = { congestionControl: 'cubic', hystart: 'linux-delay' };

const [I1, I2, P] = FIGURE1.ingresses;
const [I1_PREFIX, I2_PREFIX] = ['10.74.1.0/24', '10.74.2.0/24'];

/** The network as data. */
export function figure1Topology(options: Figure1NetworkOptions): Topology {
  const tcp = options.tcp ?? LINUX_TCP;
  const { egresses, insidePrefix, routes } = FIGURE1;
  const toClients = (link: string) => egresses.map(({ prefix }) => ({ prefix, link }));
  const junction = (i: number, sources: readonly { prefix: string; link: string }[]): RouterSpec => ({
    name: `a${i}`,
    routes: [...toClients(`L${i}`), { prefix: insidePrefix, link: `l${i}` }, ...sources],
  });
  return {
    routing: 'listed',
    hosts: [
      { name: I1.host, address: I1.address, tcp },
      { name: I2.host, address: I2.address, tcp },
      { name: P.host, address: P.address, tcp, lex: lexOf(options.lex ?? true) },
      ...egresses.map(({ name, address }) => ({ name, address, tcp })),
    ],
    gateways: [
      {
        name: P.name,
        egresses: routes.map(({ name }, i) => ({ pathId: i + 1, name, link: name })),
        destinations: egresses.map(({ prefix }) => ({ prefixes: [prefix], pathIds: [1, 2, 3] })),
        routes: [{ prefix: insidePrefix, link: 'src-p' }, ...toClients(routes[0].name)],
        options: { fneMemoryEntries: FNE_ENTRIES, ...options.gateway },
      },
    ],
    routers: [
      junction(1, [{ prefix: I1_PREFIX, link: 'i1-a1' }]),
      junction(2, []),
      junction(3, [{ prefix: I2_PREFIX, link: 'i2-a3' }]),
      {
        name: 'x',
        routes: [
          ...egresses.map(({ name, prefix }) => ({ prefix, link: `x-${name}` })),
          { prefix: I1_PREFIX, link: 'L1' },
          { prefix: I2_PREFIX, link: 'L3' },
          { prefix: insidePrefix, link: 'L1' },
        ],
      },
    ],
    links: [
      { name: 'src-p', between: ['src', 'p'] },
      { name: 'i1-a1', between: ['i1', 'a1'] },
      { name: 'i2-a3', between: ['i2', 'a3'] },
      ...routes.map(({ name }, i): LinkSpec => ({ name, between: ['p', `a${i + 1}`] })),
      ...routes.map(({ link }, i) => bottleneck(link, `a${i + 1}`, options.ratesBitsPerSec[i], options)),
      ...egresses.map(({ name }): LinkSpec => ({ name: `x-${name}`, between: ['x', name] })),
    ],
  };
}

function lexOf(lex: boolean | LexHostOptions): boolean | LexHostOptions {
  if (lex === false) return false;
  return lex === true ? { flowCapacity: FLOWS } : { flowCapacity: FLOWS, ...lex };
}

function bottleneck(
  name: string,
  from: string,
  rateBitsPerSec: number,
  { delayNs = 50e6, queuePackets = 100 }: Figure1NetworkOptions,
): LinkSpec {
  return { name, between: [from, 'x'], rateBitsPerSec, queuePackets, delayNs, back: { delayNs } };
}
