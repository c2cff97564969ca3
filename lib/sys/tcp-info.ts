/**
 * The kernel's own account of a TCP connection, getsockopt(TCP_INFO): the ground truth that marks are compared with.
 *
 * ```
 *  struct tcp_info, bytes from its start (include/uapi/linux/tcp.h; fields are only ever appended):
 *    0 u8 state         1 u8 ca_state      2 u8 retransmits    3 u8 probes     4 u8 backoff
 *    8 u32 rto         16 u32 snd_mss     24 u32 unacked      28 u32 sacked   32 u32 lost      36 u32 retrans
 *   44 u32 last_data_sent
 *   68 u32 rtt         72 u32 rttvar      80 u32 snd_cwnd    100 u32 total_retrans
 *  120 u64 bytes_acked            128 u64 bytes_received     136 u32 segs_out  140 u32 segs_in
 *  144 u32 notsent_bytes          200 u64 bytes_sent         208 u64 bytes_retrans
 * ```
 * `bytes_sent` and `bytes_retrans` came with Linux 4.19; an older kernel fills less and they read as 0.
 */

/** Bytes of the structure up to the last field used here. */
export const TCP_INFO_BYTES = 216;

/** `state` of {@link TcpInfo}, include/net/tcp_states.h. */
export const TCP_ESTABLISHED = 1;
export const TCP_SYN_SENT = 2;
export const TCP_FIN_WAIT1 = 4;
export const TCP_FIN_WAIT2 = 5;
export const TCP_TIME_WAIT = 6;
export const TCP_CLOSE = 7;
export const TCP_CLOSE_WAIT = 8;
export const TCP_LAST_ACK = 9;
export const TCP_LISTEN = 10;

/** Part of struct tcp_info. Times in microseconds, `unacked` and the other counts of the scoreboard in segments. */
export interface TcpInfo {
  /** TCP_ESTABLISHED and so on. */
  readonly state: number;
  /** Timeouts in a row without progress. */
  readonly retransmits: number;
  /** Unanswered zero-window probes or keep-alives. */
  readonly probes: number;
  readonly backoff: number;
  /** Retransmission timeout, microseconds. */
  readonly rtoUs: number;
  /** Payload bytes of a full segment. */
  readonly sndMss: number;
  readonly unacked: number;
  readonly sacked: number;
  readonly lost: number;
  /** Segments retransmitted and not yet acknowledged. */
  readonly retrans: number;
  /** Since payload was sent last, retransmissions included, milliseconds. */
  readonly lastDataSentMs: number;
  /** Smoothed round-trip time, microseconds. */
  readonly rttUs: number;
  readonly rttvarUs: number;
  /** Segments. */
  readonly sndCwnd: number;
  /** Segments retransmitted over the connection's life; a SYN counts. */
  readonly totalRetrans: number;
  /** Bytes acknowledged; the SYN counts as one. */
  readonly bytesAcked: number;
  readonly bytesReceived: number;
  readonly segsOut: number;
  readonly segsIn: number;
  /** Payload bytes in the send queue that were never sent. */
  readonly notsentBytes: number;
  /** Payload bytes sent, retransmissions included. */
  readonly bytesSent: number;
  /** Payload bytes sent again. */
  readonly bytesRetrans: number;
}

/** Reads the structure from what getsockopt filled; it holds {@link TCP_INFO_BYTES} bytes, unfilled ones zero. */
export function parseTcpInfo(bytes: Uint8Array): TcpInfo {
  const view = new DataView(bytes.buffer, bytes.byteOffset, bytes.byteLength);
  const u32 = (at: number): number => view.getUint32(at, isLittleEndian);
  const u64 = (at: number): number => Number(view.getBigUint64(at, isLittleEndian));
  return {
    state: view.getUint8(0),
    retransmits: view.getUint8(2),
    probes: view.getUint8(3),
    backoff: view.getUint8(4),
    rtoUs: u32(8),
    sndMss: u32(16),
    unacked: u32(24),
    sacked: u32(28),
    lost: u32(32),
    retrans: u32(36),
    lastDataSentMs: u32(44),
    rttUs: u32(68),
    rttvarUs: u32(72),
    sndCwnd: u32(80),
    totalRetrans: u32(100),
    bytesAcked: u64(120),
    bytesReceived: u64(128),
    segsOut: u32(136),
    segsIn: u32(140),
    notsentBytes: u32(144),
    bytesSent: u64(200),
    bytesRetrans: u64(208),
  };
}

const isLittleEndian = new Uint8Array(new Uint16Array([1]).buffer)[0] === 1;
