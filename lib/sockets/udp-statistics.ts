/** What a UDP socket counts beside what every socket counts, as plain data. */
import type { LexCounterReport } from '../lex/counters.ts';
import { reportLexCounters } from '../lex/counters.ts';
import type { DatagramFlows, PeerReport } from '../lex/datagram-flows.ts';
import { CODEPOINT_FNE, CODEPOINT_LEX } from '../wire/marking/scheme.ts';
import type { SocketStatistics } from './statistics.ts';

/** What is counted and known of one peer. */
export type UdpPeerStatistics = SocketStatistics & PeerReport;

/**
 * Counters of one UDP socket. Datagrams that the kernel refused are taken out again. `pathId` is that of the connected
 * peer; 0 on an unconnected socket, where each peer has its own.
 */
export interface UdpStatistics extends SocketStatistics {
  /** Whether the socket marks; false for a plain one, all of whose counters stay zero. */
  readonly isMarking: boolean;
  /** Peers remembered now. */
  readonly peers: number;
  /** Bytes of the IP packets marked LEx, headers included: what the gateway adds to L_i. */
  readonly lexPacketBytes: number;
  /** Datagrams sent by codepoint; bytes are those of the IP packets, headers included. */
  readonly codepoints: LexCounterReport['codepoints'];
  /** Datagrams sent by the path ID that they carry; 0 stands for none. */
  readonly pathPackets: LexCounterReport['pathPackets'];
  /** Assignments taken, by path ID. */
  readonly assignmentsByPath: LexCounterReport['assignments'];
  /** Datagrams sent by the reason of their mark, as LEX_REASON_NAMES names it. */
  readonly out: LexCounterReport['out'];
  /** Datagrams received by what they taught. */
  readonly in: LexCounterReport['in'];
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
    pathId,
    sentPackets: sum(counters.codepointPackets),
    sentBytes: flows.sentBytes,
    retransmittedPackets: flows.retransmittedPackets,
    retransmittedBytes: flows.retransmittedBytes,
    lexBytes: counters.lexPayloadBytes,
    flowlets: counters.codepointPackets[CODEPOINT_FNE]!,
    assignments: sum(counters.assignments),
    isMarking: path !== undefined,
    peers: flows.size,
    lexPacketBytes: counters.codepointBytes[CODEPOINT_LEX]!,
    codepoints: report.codepoints,
    pathPackets: report.pathPackets,
    assignmentsByPath: report.assignments,
    out: report.out,
    in: report.in,
    sendErrors: path?.sender.errors ?? 0,
    waiting: path?.sender.queue ?? { count: 0, bytes: 0 },
    systemCalls: { send: path?.sender.calls ?? 0, receive: path?.receiver.calls ?? 0 },
  };
}

function sum(values: Float64Array): number {
  return values.reduce((total, value) => total + value, 0);
}
