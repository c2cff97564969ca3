/**
 * Names and addresses of the paper's Figure 1, as the laboratory and the simulator both use them; figure1-topology.ts and
 * the laboratory's figure1.ts draw the network.
 */

/** A source of traffic of Figure 1 and its domain. */
export interface Ingress {
  /** `i1`, `i2` or `p`. */
  readonly name: string;
  /** Role of the namespace with the source. */
  readonly host: string;
  readonly address: string;
}

/** Names, addresses and links of the topology. */
export const FIGURE1 = {
  ingresses: [
    { name: 'i1', host: 'i1', address: '10.74.1.1' },
    { name: 'i2', host: 'i2', address: '10.74.2.1' },
    { name: 'p', host: 'src', address: '10.74.3.2' },
  ],
  egresses: [
    { name: 'e1', address: '10.74.101.1', prefix: '10.74.101.0/24' },
    { name: 'e2', address: '10.74.102.1', prefix: '10.74.102.0/24' },
  ],
  /** Routes of gateway P, each over the link of the same number. */
  routes: [
    { name: 'l1', link: 'L1' },
    { name: 'l2', link: 'L2' },
    { name: 'l3', link: 'L3' },
  ],
  insidePrefix: '10.74.3.0/24',
} as const;
