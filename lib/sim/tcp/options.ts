/** Options of a simulated TCP stack, their defaults and their checks. */
import { invalidOption, rejectUnknownKeys, requireInteger, requireNumber } from '../../errors.ts';

/** Ways for slow start to end before a loss. */
const HYSTARTS = ['linux', 'linux-delay', 'rfc9406'] as const;

/** Options of a TcpStack; all of its connections share them. */
export interface TcpOptions {
  /** Congestion control, `cubic` (default) or `newreno`. */
  readonly congestionControl?: 'cubic' | 'newreno';
  /**
   * Slow start ends at rising delay as well as at loss: `linux` as Linux's CUBIC does it; `linux-delay` likewise but without
   * its detection of trains, which needs acknowledgements that nothing disturbs by a millisecond; `rfc9406` by HyStart++.
   * With the first two CUBIC also grows by 5 % a round trip until the first loss, as in Linux. Default false.
   */
  readonly hystart?: false | (typeof HYSTARTS)[number];
  /** Bytes of payload in a full segment, 88 to 65,455; default 1460: a packet of 1500 bytes. */
  readonly mss?: number;
  /** Initial window in segments, 1 to 1000; default 10. @see RFC 6928 */
  readonly initialWindow?: number;
  /** Receive buffer in bytes, 2 segments to 2^30; default 4 MiB. */
  readonly receiveBufferBytes?: number;
  /** Tail loss probes; default true. @see RFC 8985 section 7 */
  readonly tailLossProbe?: boolean;
  /** The window shrinks to the initial one after an idle RTO; default true. @see RFC 5681 section 4.1 */
  readonly restartAfterIdle?: boolean;
  /** Delayed acknowledgements: the longest delay in ns; 0 acknowledges every segment; default 40e6. */
  readonly ackDelayNs?: number;
  /** First RTO, before a measurement, in ns; default 1e9. @see RFC 6298 section 2.1 */
  readonly initialRtoNs?: number;
  /** The RTO is srtt + max(4 rttvar, this), in ns; default 200e6, as Linux. */
  readonly minRtoNs?: number;
  /** Longest RTO in ns; default 120e9, as Linux. */
  readonly maxRtoNs?: number;
  /** Timeouts in a row after which a SYN is given up, 0 to 30; default 6, as Linux. */
  readonly synRetries?: number;
  /** Timeouts in a row after which a connection is given up, 0 to 30; default 15, as Linux. */
  readonly retries?: number;
  /** How long the side that closed first remembers the connection, in ns; default 60e9, as Linux. */
  readonly timeWaitNs?: number;
}

/** The options with every default filled in. */
export type TcpSettings = Required<TcpOptions>;

const KNOWN: readonly (keyof TcpOptions)[] = [
  'congestionControl',
  'hystart',
  'mss',
  'initialWindow',
  'receiveBufferBytes',
  'tailLossProbe',
  'restartAfterIdle',
  'ackDelayNs',
  'initialRtoNs',
  'minRtoNs',
  'maxRtoNs',
  'synRetries',
  'retries',
  'timeWaitNs',
];
const HOUR_NS = 3600e9;

/** Checks the options and fills in the defaults. Throws a PreflexError that names the field. */
export function tcpSettings(options: TcpOptions): TcpSettings {
  rejectUnknownKeys('tcp', options, KNOWN);
  const congestionControl = options.congestionControl ?? 'cubic';
  if (congestionControl !== 'cubic' && congestionControl !== 'newreno') {
    throw invalidOption('tcp.congestionControl', congestionControl, 'cubic or newreno');
  }
  const hystart = options.hystart ?? false;
  if (hystart !== false && !HYSTARTS.includes(hystart)) {
    throw invalidOption('tcp.hystart', hystart, `${HYSTARTS.join(', ')} or false`);
  }
  const mss = requireInteger('tcp.mss', options.mss ?? 1460, 88, 65_455);
  return {
    congestionControl,
    hystart,
    mss,
    initialWindow: requireInteger('tcp.initialWindow', options.initialWindow ?? 10, 1, 1000),
    receiveBufferBytes: requireInteger(
      'tcp.receiveBufferBytes',
      options.receiveBufferBytes ?? 4 << 20,
      2 * mss,
      1 << 30,
    ),
    tailLossProbe: requireBoolean('tcp.tailLossProbe', options.tailLossProbe ?? true),
    restartAfterIdle: requireBoolean('tcp.restartAfterIdle', options.restartAfterIdle ?? true),
    ackDelayNs: requireNumber('tcp.ackDelayNs', options.ackDelayNs ?? 40e6, 0, 500e6),
    initialRtoNs: requireNumber('tcp.initialRtoNs', options.initialRtoNs ?? 1e9, 1e6, HOUR_NS),
    minRtoNs: requireNumber('tcp.minRtoNs', options.minRtoNs ?? 200e6, 1e6, HOUR_NS),
    maxRtoNs: requireNumber('tcp.maxRtoNs', options.maxRtoNs ?? 120e9, 1e6, HOUR_NS),
    synRetries: requireInteger('tcp.synRetries', options.synRetries ?? 6, 0, 30),
    retries: requireInteger('tcp.retries', options.retries ?? 15, 0, 30),
    timeWaitNs: requireNumber('tcp.timeWaitNs', options.timeWaitNs ?? 60e9, 0, HOUR_NS),
  };
}

function requireBoolean(field: string, value: boolean): boolean {
  if (typeof value !== 'boolean') throw invalidOption(field, value, 'true or false');
  return value;
}
