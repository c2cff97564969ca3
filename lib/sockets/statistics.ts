/** What a socket's traffic came to, in one shape for UDP and TCP. */

/** Counters since the socket was pinned or made; they only grow. Bytes are payload bytes, without any header. */
export interface SocketStatistics {
  /** Path that the socket's packets carry now, 0 for none. */
  readonly pathId: number;
  /** Packets sent, repeats included. TCP: segments, pure acknowledgements included. */
  readonly sentPackets: number;
  /** Bytes sent, repeats included. */
  readonly sentBytes: number;
  /** Packets sent again. UDP: as the program said; TCP: as the kernel counts them, the SYN included. */
  readonly retransmittedPackets: number;
  /** Bytes sent again. UDP: as the program said; TCP: as the kernel counts them. */
  readonly retransmittedBytes: number;
  /** Bytes sent with the LEx mark. TCP: always 0, user space cannot mark single segments. */
  readonly lexBytes: number;
  /** Flowlets begun: packets sent with the FNE mark. */
  readonly flowlets: number;
  /** Assignments of a path that were taken. */
  readonly assignments: number;
}

/** Statistics of a socket that did nothing yet. */
export const NO_STATISTICS: SocketStatistics = {
  pathId: 0,
  sentPackets: 0,
  sentBytes: 0,
  retransmittedPackets: 0,
  retransmittedBytes: 0,
  lexBytes: 0,
  flowlets: 0,
  assignments: 0,
};

/** The sums of two; the path is 0 unless both have the same. */
export function addStatistics(a: SocketStatistics, b: SocketStatistics): SocketStatistics {
  return {
    pathId: a.pathId === b.pathId ? a.pathId : 0,
    sentPackets: a.sentPackets + b.sentPackets,
    sentBytes: a.sentBytes + b.sentBytes,
    retransmittedPackets: a.retransmittedPackets + b.retransmittedPackets,
    retransmittedBytes: a.retransmittedBytes + b.retransmittedBytes,
    lexBytes: a.lexBytes + b.lexBytes,
    flowlets: a.flowlets + b.flowlets,
    assignments: a.assignments + b.assignments,
  };
}
