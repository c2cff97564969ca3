/** iperf3 flows beside the transfers of an experiment in Figure 1's network. */
import { PreflexError } from '../../lib/errors.ts';
import type { LabScope } from '../../lib/netns/lab-scope.ts';
import { FIGURE1 } from '../../lib/sim/scenarios/figure1-places.ts';
import { runIperf3 } from '../traffic/iperf3.ts';

/** Flows of iperf3 from an ingress to an egress, throughout the run. */
export interface Iperf3Source {
  /** `INGRESS>EGRESS`, such as `p>e1`. */
  readonly pair: string;
  /** Parallel TCP flows, 1 to 64. */
  readonly flows: number;
}

/** What one of them measured. */
export interface Iperf3Report extends Iperf3Source {
  readonly bitsPerSec: number;
  readonly receivedBytes: number;
  /** TCP segments sent again. */
  readonly retransmits: number;
}

const FIRST_PORT = 5201;

/** The pairs that a source can have. */
export const IPERF3_PAIRS: readonly string[] = FIGURE1.ingresses.flatMap((ingress) =>
  FIGURE1.egresses.map((egress) => `${ingress.name}>${egress.name}`),
);

/** Looks at sources before anything is built for them. @throws PreflexError ERR_INVALID_OPTION for a pair that is none */
export function requireIperf3Pairs(sources: readonly Pick<Iperf3Source, 'pair'>[]): void {
  const wrong = sources.find(({ pair }) => !IPERF3_PAIRS.includes(pair));
  if (wrong === undefined) return;
  throw new PreflexError(
    'ERR_INVALID_OPTION',
    `iperf3: there is no pair "${wrong.pair}" here; it takes one of ${IPERF3_PAIRS.join(', ')} in Figure 1's network`,
  );
}

/** Whether iperf3 adds to what P's host sends: its kernel's account of retransmissions is then not complete. */
export function isFromP({ pair }: Iperf3Source): boolean {
  return pair.startsWith('p>');
}

/**
 * Starts the sources; all have ended when the promise is fulfilled. The sender is at the ingress, and uses cubic.
 *
 * @param netnsOf - namespaces of ingresses and egresses by name
 * @throws PreflexError, as a rejection too, when iperf3 is missing or reports an error
 */
export async function runIperf3Sources(
  scope: LabScope,
  sources: readonly Iperf3Source[],
  netnsOf: Readonly<Record<string, string>>,
  seconds: number,
): Promise<Iperf3Report[]> {
  requireIperf3Pairs(sources);
  return Promise.all(
    sources.map(async ({ pair, flows }, i) => {
      const [ingress, egress] = pair.split('>');
      const place = FIGURE1.egresses.find(({ name }) => name === egress)!;
      const { bitsPerSec, receivedBytes, retransmits } = await runIperf3(scope, {
        clientNetns: netnsOf[ingress],
        serverNetns: netnsOf[egress],
        address: place.address,
        port: FIRST_PORT + i,
        flows,
        seconds,
      });
      return { pair, flows, bitsPerSec, receivedBytes, retransmits };
    }),
  );
}
