/**
 * `preflex/udp`: UDP sockets that carry the marks of LEX and stay on the paths that a PREF gateway assigns, without
 * an agent and without root. A drop-in for node:dgram; re-exports only.
 *
 * ```ts
 * import { createSocket } from 'preflex/udp';
 *
 * const socket = createSocket('udp4');
 * socket.on('message', (message, remote) => console.log(`${message} from ${remote.address}`));
 * socket.send('hello', 9000, '192.0.2.1');
 * socket.send('hello', 9000, '192.0.2.1', { retransmission: true });
 * ```
 */
import type { RemoteInfo, SocketType } from 'node:dgram';
import type { UdpSocketOptions } from './udp-options.ts';
import { UdpSocket } from './udp-socket.ts';

export type { RemoteInfo, SocketType } from 'node:dgram';
export type { ReceivedDatagram } from './datagram-receiver.ts';
export type {
  BatchOptions,
  OutgoingDatagram,
  RemoteAddress,
  SendOptions,
  UdpLexOptions,
  UdpSocketOptions,
} from './udp-options.ts';
export type { RemoteEnd } from './peers.ts';
export type { BatchCallback, SendCallback, SocketError } from './send-outcome.ts';
export type { PeerReport } from '../lex/datagram-flows.ts';
export type { UdpPeerStatistics, UdpStatistics } from './udp-statistics.ts';
export type { Message, SendTail, UdpSocketEvents } from './udp-socket.ts';
export { PreflexError } from '../errors.ts';
export type { PreflexErrorCode } from '../errors.ts';
export { UdpSocket, UdpSocket as Socket } from './udp-socket.ts';

/**
 * Makes a socket, unbound, as the function of the same name in node:dgram.
 *
 * @param options - `udp4`, `udp6`, or an object with `type`, the options of node:dgram, and `lex`
 * @param listener - for the event `message`
 * @throws TypeError ERR_SOCKET_BAD_TYPE and others, as node:dgram; PreflexError for a bad option in `lex`
 */
export function createSocket(
  options: SocketType | UdpSocketOptions,
  listener?: (message: Buffer, remote: RemoteInfo) => void,
): UdpSocket {
  return new UdpSocket(options, listener);
}

/** The functions and classes under one name, as node:dgram has them. */
export default {
  /** {@link createSocket} */
  createSocket,
  /** {@link UdpSocket} */
  Socket: UdpSocket,
};
