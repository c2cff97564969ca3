/** Options of UDP sockets and of what they send, and their checks. */
import type { SocketOptions } from 'node:dgram';
import { invalidOption, rejectUnknownKeys, requireInteger } from '../errors.ts';
import { HINT_NEW_FLOWLET, HINT_RETRANSMISSION } from '../lex/datagram.ts';
import type { LexHostOptions } from '../lex/options.ts';

/** How a socket marks. */
export interface UdpLexOptions extends Pick<
  LexHostOptions,
  'scheme' | 'flowletGapNs' | 'keepPathWithoutAnswer' | 'datagramLimitNs' | 'flowCapacity' | 'seed'
> {
  /** ECN bits of every datagram, 0..3; default 0, Not-ECT (RFC 3168 section 5). */
  readonly ecn?: number;
  /**
   * `plain` makes a node:dgram socket that neither marks nor learns. Default `auto`: only where it must be, which is
   * outside of Linux, without koffi's binary, and in worker threads. `marked` marks in a worker thread, too: end that
   * by process.exit() or let it end, for Node aborts the process when Worker.terminate() finds such a socket open.
   */
  readonly datapath?: 'auto' | 'plain' | 'marked';
}

/** Options of createSocket: those of node:dgram, and `lex`. */
export interface UdpSocketOptions extends SocketOptions {
  /** How the socket marks. Its flowCapacity is the most peers remembered, 65,536 by default, a few at the start. */
  readonly lex?: UdpLexOptions;
}

/** What only the program knows of a datagram. */
export interface SendOptions {
  /** It repeats data that was lost: LEx, unless it has to be FNE. Default false. */
  readonly retransmission?: boolean;
  /**
   * It begins a new flowlet: FNE, so that the gateway may choose another path. Until the peer was heard this is
   * granted at most once a flowlet gap. Default false.
   */
  readonly newFlowlet?: boolean;
  /** Its ECN bits, 0..3; default the socket's. */
  readonly ecn?: number;
}

/** The other end of a flow: an address, not a name. What the event `message` tells of the sender will do. */
export interface RemoteAddress {
  readonly address: string;
  /** 1..65535. */
  readonly port: number;
}

/** One datagram of a batch. */
export interface OutgoingDatagram extends SendOptions {
  readonly data: Uint8Array;
  /** 1..65535; default the batch's. Not on a connected socket. */
  readonly port?: number;
  /** An IP address, not a name; default the batch's. */
  readonly address?: string;
}

/** What the datagrams of a batch have in common. */
export interface BatchOptions extends SendOptions {
  readonly port?: number;
  readonly address?: string;
}

const SEND_KEYS: readonly (keyof SendOptions)[] = ['retransmission', 'newFlowlet', 'ecn'];
const BATCH_KEYS: readonly (keyof BatchOptions)[] = [...SEND_KEYS, 'port', 'address'];
const DATAGRAM_KEYS: readonly (keyof OutgoingDatagram)[] = [...BATCH_KEYS, 'data'];
const LEX_KEYS: readonly (keyof UdpLexOptions)[] = [
  'scheme',
  'flowletGapNs',
  'keepPathWithoutAnswer',
  'datagramLimitNs',
  'flowCapacity',
  'seed',
  'ecn',
  'datapath',
];

/**
 * Checks `lex`.
 *
 * @returns the options of the flows apart from the rest, with the defaults filled in
 * @throws PreflexError naming the field
 */
export function checkLexOptions(lex: UdpLexOptions | undefined): {
  flows: LexHostOptions;
  ecn: number;
  datapath: 'auto' | 'plain' | 'marked';
} {
  if (lex === undefined) return { flows: {}, ecn: 0, datapath: 'auto' };
  if (typeof lex !== 'object' || lex === null) throw invalidOption('lex', lex, 'an object');
  rejectUnknownKeys('lex', lex, LEX_KEYS);
  const { ecn = 0, datapath = 'auto', ...flows } = lex;
  if (!['auto', 'plain', 'marked'].includes(datapath)) {
    throw invalidOption('lex.datapath', datapath, "'auto', 'plain' or 'marked'");
  }
  return { flows, ecn: requireInteger('lex.ecn', ecn, 0, 3), datapath };
}

/** Checks the options of one datagram. Throws a PreflexError that names the field. */
export function checkSendOptions(options: SendOptions): void {
  rejectUnknownKeys('options', options, SEND_KEYS);
  checkFlags(options);
}

/** Checks the options of a batch. Throws a PreflexError that names the field. */
export function checkBatchOptions(options: BatchOptions): void {
  rejectUnknownKeys('options', options, BATCH_KEYS);
  checkFlags(options);
}

/** Checks a datagram of a batch but for its address. Throws a PreflexError that names the field. */
export function checkDatagram(datagram: OutgoingDatagram): void {
  if (typeof datagram !== 'object' || datagram === null) {
    throw invalidOption('messages', datagram, 'Uint8Arrays and objects with `data`');
  }
  rejectUnknownKeys('messages', datagram, DATAGRAM_KEYS);
  if (!(datagram.data instanceof Uint8Array)) {
    throw invalidOption('messages.data', typeof datagram.data, 'a Uint8Array');
  }
  checkFlags(datagram);
}

/** The hints of checked options. @hotpath */
export function hintsOf(options: SendOptions): number {
  return (
    (options.retransmission === true ? HINT_RETRANSMISSION : 0) |
    (options.newFlowlet === true ? HINT_NEW_FLOWLET : 0)
  );
}

function checkFlags(options: SendOptions): void {
  for (const name of ['retransmission', 'newFlowlet'] as const) {
    const value = options[name];
    if (value !== undefined && typeof value !== 'boolean') {
      throw invalidOption(`options.${name}`, value, 'true or false');
    }
  }
  if (options.ecn !== undefined) requireInteger('options.ecn', options.ecn, 0, 3);
}
