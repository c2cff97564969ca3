/** What a UDP socket counts beside what every socket counts, as plain data. */
import type { LexCounterReport } from '../lex/counters.ts';
import { reportLexCounters } from '../lex/counters.ts';
import type { DatagramFlows, PeerReport } from '../lex/datagram-flows.ts';
import { CODEPOINT_FNE, CODEPOINT_LEX } from '../wire/marking/scheme.ts';

/** What is counted and known of one peer. */
export type UdpPeerStatistics = PeerReport;

/**
 * Counters of one UDP socket. Datagrams that the kernel refused are taken out again. Bytes are those of the
 * payload, unless said otherwise.
 */
export interface UdpStatistics extends Pick<
  LexCounterReport,
  'out' | 'in' | 'codepoints' | 'pathPackets' | 'assignments' | 'lexPayloadBytes' | 'keptPaths'
> {
  /** Whether the socket marks; false for a plain one, all of whose counters stay zero. */
  readonly isMarking: boolean;
  /** Path ID that datagrams to the connected peer carry now, 0 for none. */
  readonly pathId: number;
  /** Peers remembered now. */
  readonly peers: number;
  /** Datagrams sent, and bytes of their payload. */
  readonly sentPackets: number;
  readonly sentBytes: number;
  /** Datagrams of which the program said that it sends them again, those that had to be FNE included. */
  readonly retransmittedPackets: number;
  /** Bytes of payload in them. */
  readonly retransmittedBytes: number;
  /** Bytes of the IP packets marked LEx, headers included: what the gateway adds to L_i. */
  readonly lexPacketBytes: number;
  /** Flowlets begun: datagrams marked FNE. */
  readonly flowlets: number;
  /** Datagrams that the kernel refused. */
  readonly sendErrors: number;
  /** Datagrams that wait for room in the kernel, and bytes of their payload. */
  readonly waiting: { readonly count: number; readonly bytes: number };
  /** System calls for sending and for receiving. */
  readonly systemCalls: { readonly send: number; readonly receive: number };
}

/** The parts of a datapath that are reported. */
export interface DatapathCounts {
  readonly sender: {
    readonly errors: number;
    readonly calls: number;
    readonly queue: { readonly count: number; readonly bytes: number };
  };
  readonly receiver: { readonly calls: number };
}

/**
 * Reads the counters of a socket.
 *
 * @param path - undefined for a plain socket
 * @param pathId - of the connected peer, else 0
 */
export function reportUdp(
  flows: DatagramFlows,
  path: DatapathCounts | undefined,
  pathId: number,
): UdpStatistics {
  const { counters } = flows;
  const report = reportLexCounters(counters);
  return {
    isMarking: path !== undefined,
    pathId,
    peers: flows.size,
    sentPackets: counters.codepointPackets.reduce((total, packets) => total + packets, 0),
    sentBytes: flows.sentBytes,
    retransmittedPackets: flows.retransmittedPackets,
    retransmittedBytes: flows.retransmittedBytes,
    lexPayloadBytes: report.lexPayloadBytes,
    lexPacketBytes: counters.codepointBytes[CODEPOINT_LEX],
    flowlets: counters.codepointPackets[CODEPOINT_FNE],
    codepoints: report.codepoints,
    pathPackets: report.pathPackets,
    assignments: report.assignments,
    keptPaths: report.keptPaths,
    out: report.out,
    in: report.in,
    sendErrors: path?.sender.errors ?? 0,
    waiting: path?.sender.queue ?? { count: 0, bytes: 0 },
    systemCalls: { send: path?.sender.calls ?? 0, receive: path?.receiver.calls ?? 0 },
  };
}
