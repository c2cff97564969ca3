/**
 * `preflex/tcp`: TCP sockets of Node that stay on the path that the gateway assigned, without an agent and without
 * root. The kernel sends; this sets the DSCP of the socket, which holds for every segment.
 *
 * ```
 *   connect, createConnection   make a connection whose SYN asks for a path (FNE)
 *   pinSocket                   pins a connection that exists
 *   pinServer                   pins every connection that a server accepts
 * ```
 *
 * What works where, on Linux (6.18; the same since 4.2):
 *
 * ```
 *                                   server IPv4   server IPv6   client IPv4   client IPv6
 *   path of the handshake           yes           yes           no            yes
 *   new flowlet after idle          no            yes           no            yes
 *   leaves a path that is dead      to known ones yes           no            yes
 *   retransmissions (statistics)    yes           yes           yes           yes
 *   LEx on single segments          no            no            no            no
 * ```
 * Per-packet marks of kernel TCP need the agent or its eBPF datapath: a socket has one DSCP, and retransmissions take
 * it as well. The gateway sees such a connection as pinned, with no loss.
 *
 * A server whose administrator sets `net.ipv4.tcp_reflect_tos=1` is pinned by its kernel, SYN-ACK included.
 */
import { lookup } from 'node:dns/promises';
import type { Server, Socket } from 'node:net';
import { connect as connectNode, isIP } from 'node:net';
import { invalidOption, rejectUnknownKeys, requireInteger, requireNumber } from '../errors.ts';
import { noteReceivedClass, readReceivedClass, saveSyns, takeSynClass } from '../sys/received-class.ts';
import { SOL_TCP, socketFd, writeSocketOption, writeTrafficClass } from '../sys/socket-options.ts';
import { TcpSocket } from '../sys/socket.ts';
import { CODEPOINT_FNE, CODEPOINT_LECT, markingScheme } from '../wire/marking/scheme.ts';
import { canMarkSockets, warnUnmarked } from './availability.ts';
import { sumStatistics, type TcpStatistics } from './tcp-statistics.ts';
import { assignedPath, classOf, type PinSettings, TcpPin } from './tcp-pin.ts';

export { PreflexError } from '../errors.ts';
export type { PreflexErrorCode } from '../errors.ts';
export type { TcpStatistics } from './tcp-statistics.ts';
export { TcpPin } from './tcp-pin.ts';

/** Options of everything here. */
export interface TcpPinOptions {
  /** Marking scheme of the domain, `pool2` (default) or `full`. */
  readonly scheme?: 'pool2' | 'full';
  /**
   * Shortest idle gap after which the next write asks for a new flowlet, ns: 1e6 to 3600e9, or Infinity for never;
   * default 1e9. The connection's own gap is the larger of this and its retransmission timeout.
   *
   * @see RFC 5681 section 4.1
   */
  readonly flowletGapNs?: number;
  /** Successive timeouts after which the path is given up, 1 to 15; default 2. */
  readonly fneAfterTimeouts?: number;
}

/** Options of {@link connect}. */
export interface TcpConnectOptions extends TcpPinOptions {
  /** Name or address of the peer; default `localhost`. */
  readonly host?: string;
  /** 1..65535. */
  readonly port: number;
  /** Take only addresses of this version; default 0, both, in the order of the resolver. */
  readonly family?: 0 | 4 | 6;
  /** Address to connect from. */
  readonly localAddress?: string;
  /** Keep the socket writable when the peer ends, as in node:net; default false. */
  readonly allowHalfOpen?: boolean;
  /** Send small writes at once; default false. */
  readonly noDelay?: boolean;
}

const PIN_KEYS: readonly string[] = ['scheme', 'flowletGapNs', 'fneAfterTimeouts'];
const CONNECT_KEYS: readonly string[] = [
  ...PIN_KEYS,
  'host',
  'port',
  'family',
  'localAddress',
  'allowHalfOpen',
  'noDelay',
];
const TCP_QUICKACK = 12;
/** Until a SYN that has no answer is marked FNE again: half of the time to its first repetition (RFC 6298 section 2). */
const SYN_REPEAT_MARK_MS = 500;
const MODULE = 'preflex/tcp';
const NS_PER_MS = 1e6;
const pins = new WeakMap<Socket, TcpPin>();

/**
 * Pins a connection that exists to the path that its handshake announced, as far as the kernel tells it (table at the
 * top); call it right after `connect` or `connection`. Without a path it is LECT and the gateway spreads it by hash.
 *
 * Not for sockets whose handle something else writes to (TLS, HTTP/2): those are pinned, but ask for no new flowlet.
 *
 * @param socket - connected; it stays the caller's
 * @returns the pin of the socket, the same one for a second call
 * @throws PreflexError ERR_INVALID_OPTION for a bad option, or a socket that is not connected
 */
export function pinSocket(socket: Socket, options: TcpPinOptions = {}): TcpPin {
  rejectUnknownKeys('options', options, PIN_KEYS);
  return pins.get(socket) ?? pinAccepted(socket, settingsOf(options));
}

/** The pin of a socket, undefined when it has none. */
export function pinOf(socket: Socket): TcpPin | undefined {
  return pins.get(socket);
}

/**
 * Connects, with a SYN that asks for a path, and pins the connection to the path of the answer.
 *
 * @returns a connected socket of node:net; {@link pinOf} gives its pin
 * @throws PreflexError ERR_INVALID_OPTION; as a rejection also SystemError, whose `errnoName` is ECONNREFUSED...
 */
export async function connect(options: TcpConnectOptions): Promise<Socket> {
  rejectUnknownKeys('options', options, CONNECT_KEYS);
  requireInteger('port', options.port, 1, 65_535);
  const settings = settingsOf(options);
  if (!canMarkSockets) return connectPlainly(options, settings);
  let failure: unknown;
  for (const address of await addressesOf(options)) {
    try {
      return await connectTo(address, options, settings);
    } catch (error) {
      failure = error;
    }
  }
  throw failure;
}

/**
 * {@link connect} in the shape that http.request and http.Agent take:
 * `Object.assign(new Agent({ keepAlive: true }), { createConnection })`.
 *
 * @param options - what node:http passes; host, port, family, localAddress and noDelay are used
 */
export function createConnection(
  options: {
    host?: string | null | undefined;
    port?: number | string | null | undefined;
    family?: number | undefined;
    localAddress?: string | undefined;
    noDelay?: boolean | undefined;
  },
  callback: (error: Error | null, socket: Socket) => void,
): undefined {
  const wanted = {
    port: Number(options.port),
    family: options.family === 4 || options.family === 6 ? options.family : 0,
    ...(options.host ? { host: options.host } : {}),
    ...(options.localAddress === undefined ? {} : { localAddress: options.localAddress }),
    ...(options.noDelay === undefined ? {} : { noDelay: options.noDelay }),
  } as const;
  connect(wanted).then(
    (socket) => callback(null, socket),
    (error: Error) => callback(error, undefined as never),
  );
  return undefined;
}

/** The pins of a server's connections. */
export interface ServerPin {
  /** Pins of the connections that are open now. */
  readonly connections: ReadonlySet<TcpPin>;
  /** Sums over all connections so far. */
  statistics(): TcpStatistics;
  /** Pins no further connections; those that are pinned stay so. */
  release(): void;
}

/**
 * Pins every connection that a server accepts from now on to the path that the gateway assigned to its SYN. For
 * net.Server and http.Server; of an https.Server or http2.SecureServer the connections are pinned, but ask for no new
 * flowlet.
 *
 * Best before `listen`: the kernel must be told to keep the SYNs. Under SYN flood (SYN cookies) it keeps none. Workers
 * of node:cluster share a socket that is not theirs, and pin nothing.
 *
 * @param server - it stays the caller's
 * @throws PreflexError ERR_INVALID_OPTION
 */
export function pinServer(server: Server, options: TcpPinOptions = {}): ServerPin {
  rejectUnknownKeys('options', options, PIN_KEYS);
  const settings = settingsOf(options);
  const connections = new Set<TcpPin>();
  let ended: TcpStatistics | undefined;
  const onListening = (): void => prepareServer(server, settings);
  const onConnection = (socket: Socket): void => {
    if (socket.destroyed) return;
    const pin = pinAccepted(socket, settings);
    connections.add(pin);
    socket.once('close', () => {
      connections.delete(pin);
      ended = sumStatistics(ended === undefined ? [pin.statistics()] : [ended, pin.statistics()]);
    });
  };
  server.on('listening', onListening);
  // First: what the program's own listener writes must find the socket pinned.
  server.prependListener('connection', onConnection);
  if (server.listening) onListening();
  return {
    connections,
    statistics() {
      const open = [...connections].map((pin) => pin.statistics());
      return sumStatistics(ended === undefined ? open : [ended, ...open]);
    },
    release() {
      server.off('listening', onListening);
      server.off('connection', onConnection);
    },
  };
}

function settingsOf(options: TcpPinOptions): PinSettings {
  const gapNs = options.flowletGapNs ?? 1e9;
  return {
    scheme: markingScheme(options.scheme ?? 'pool2'),
    fneAfterTimeouts: requireInteger('fneAfterTimeouts', options.fneAfterTimeouts ?? 2, 1, 15),
    flowletGapMs:
      gapNs === Infinity ? Infinity : requireNumber('flowletGapNs', gapNs, 1e6, 3600e9) / NS_PER_MS,
  };
}

function pinAccepted(socket: Socket, settings: PinSettings): TcpPin {
  if (!canMarkSockets) return keep(unpinned(socket, settings));
  const fd = socketFd(socket);
  return keep(new TcpPin(socket, settings, true, assignedPath(settings.scheme, takeSynClass(fd)), false));
}

function unpinned(socket: Socket, settings: PinSettings): TcpPin {
  warnUnmarked(MODULE);
  return new TcpPin(socket, settings, false, 0, true);
}

function keep(pin: TcpPin): TcpPin {
  pins.set(pin.socket, pin);
  return pin;
}

/**
 * A listener's own DSCP is that of its SYN-ACKs, and of what a connection sends before node accepts it: LECT without a
 * path. FNE would be repeated by the first acknowledgement, and a flowlet asked for twice.
 */
function prepareServer(server: Server, settings: PinSettings): void {
  if (!canMarkSockets) {
    warnUnmarked(MODULE);
    return;
  }
  const fd = (server as unknown as { _handle?: { fd?: number } | null })._handle?.fd;
  const address = server.address();
  if (fd === undefined || fd < 0 || address === null || typeof address === 'string') {
    warnUnmarked(MODULE, 'the server has no TCP socket of its own (node:cluster, or a pipe)');
    return;
  }
  saveSyns(fd);
  const lect = classOf(settings.scheme, CODEPOINT_LECT, 0);
  writeTrafficClass(fd, lect, 4);
  if (address.family === 'IPv6') writeTrafficClass(fd, lect, 6);
}

async function connectTo(
  address: string,
  options: TcpConnectOptions,
  settings: PinSettings,
): Promise<Socket> {
  const version = isIP(address) as 4 | 6;
  const raw = TcpSocket.open(version);
  try {
    const fne = classOf(settings.scheme, CODEPOINT_FNE, 0);
    writeTrafficClass(raw.fd, fne, version);
    if (version === 6) noteReceivedClass(raw.fd);
    // Holds the last ACK of the handshake back until it can carry the path, but for 200 ms at most.
    writeSocketOption(raw.fd, SOL_TCP, TCP_QUICKACK, 0);
    if (options.localAddress !== undefined) raw.bind(options.localAddress);
    const connected = raw.connect(address, options.port);
    // The SYN is on its way. An ACK that the kernel sends before this program runs again must not ask a second time.
    writeTrafficClass(raw.fd, classOf(settings.scheme, CODEPOINT_LECT, 0), version);
    const repeats = setTimeout(() => writeTrafficClass(raw.fd, fne, version), SYN_REPEAT_MARK_MS);
    try {
      await connected;
    } finally {
      clearTimeout(repeats);
    }
    const pathId = version === 6 ? assignedPath(settings.scheme, readReceivedClass(raw.fd)) : 0;
    writeTrafficClass(raw.fd, classOf(settings.scheme, CODEPOINT_LECT, pathId), version);
    writeSocketOption(raw.fd, SOL_TCP, TCP_QUICKACK, 1);
    const socket = raw.intoNodeSocket();
    applyOptions(socket, options);
    keep(new TcpPin(socket, settings, true, pathId, true));
    return socket;
  } finally {
    raw.close();
  }
}

async function connectPlainly(options: TcpConnectOptions, settings: PinSettings): Promise<Socket> {
  const socket = connectNode({
    host: options.host ?? 'localhost',
    port: options.port,
    family: options.family ?? 0,
    ...(options.localAddress === undefined ? {} : { localAddress: options.localAddress }),
  });
  await new Promise<void>((resolve, reject) => socket.once('connect', resolve).once('error', reject));
  applyOptions(socket, options);
  keep(unpinned(socket, settings));
  return socket;
}

function applyOptions(socket: Socket, options: TcpConnectOptions): void {
  socket.allowHalfOpen = options.allowHalfOpen ?? false;
  if (options.noDelay) socket.setNoDelay(true);
}

async function addressesOf(options: TcpConnectOptions): Promise<string[]> {
  const host = options.host ?? 'localhost';
  const family = options.family ?? 0;
  if (![0, 4, 6].includes(family)) throw invalidOption('family', family, '0, 4 or 6');
  if (isIP(host) !== 0) return [host];
  return (await lookup(host, { all: true, family, verbatim: true })).map(({ address }) => address);
}
