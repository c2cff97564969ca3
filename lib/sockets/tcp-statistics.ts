/** What a pinned TCP connection's traffic came to. What the host rules and UDP sockets count too has the same name. */
import type { LexCounterReport } from '../lex/counters.ts';

/** Counters of a connection, or sums over many. The kernel counts from the SYN on. */
export interface TcpStatistics extends Pick<
  LexCounterReport,
  'assignments' | 'keptPaths' | 'lexPayloadBytes'
> {
  /** Whether it is marked and pinned; of sums, whether all are. */
  readonly isMarking: boolean;
  /** Path that the connection carries now, 0 for none; of sums, 0 unless all have the same. */
  readonly pathId: number;
  /** Segments sent, repeats and pure acknowledgements included. */
  readonly sentPackets: number;
  /** Payload bytes sent, repeats included. */
  readonly sentBytes: number;
  /** Segments sent again, SYNs included (tcpi_total_retrans). */
  readonly retransmittedPackets: number;
  /**
   * Payload bytes sent again (tcpi_bytes_retrans, Linux 4.19). An agent would have marked them LEx; here
   * `lexPayloadBytes` is always 0, because a socket cannot mark single segments.
   */
  readonly retransmittedBytes: number;
  /** Flowlets begun after the handshake: times the connection was told to send FNE. */
  readonly flowlets: number;
}

/** Statistics of a connection that did nothing yet. */
export const NO_STATISTICS: TcpStatistics = {
  isMarking: false,
  pathId: 0,
  sentPackets: 0,
  sentBytes: 0,
  retransmittedPackets: 0,
  retransmittedBytes: 0,
  lexPayloadBytes: 0,
  flowlets: 0,
  assignments: {},
  keptPaths: 0,
};

/** The sums over several; {@link NO_STATISTICS} for none. */
export function sumStatistics(all: readonly TcpStatistics[]): TcpStatistics {
  const sum = (value: (one: TcpStatistics) => number): number =>
    all.reduce((total, one) => total + value(one), 0);
  const assignments: Record<string, number> = {};
  for (const one of all) {
    for (const [pathId, count] of Object.entries(one.assignments)) {
      assignments[pathId] = (assignments[pathId] ?? 0) + count;
    }
  }
  const pathId = all[0]?.pathId ?? 0;
  return {
    isMarking: all.length > 0 && all.every((one) => one.isMarking),
    pathId: all.every((one) => one.pathId === pathId) ? pathId : 0,
    sentPackets: sum((one) => one.sentPackets),
    sentBytes: sum((one) => one.sentBytes),
    retransmittedPackets: sum((one) => one.retransmittedPackets),
    retransmittedBytes: sum((one) => one.retransmittedBytes),
    lexPayloadBytes: 0,
    flowlets: sum((one) => one.flowlets),
    assignments,
    keptPaths: sum((one) => one.keptPaths),
  };
}
