/** Batches: many datagrams in one call of the program, and in as few of the kernel as there can be. */
import { invalidOption, requireInteger } from '../errors.ts';
import { HINT_RETRANSMISSION } from '../lex/datagram.ts';
import type { Datapath } from './datapath.ts';
import type { Peer } from './peers.ts';
import type { BatchCallback, SendCallback, SocketError } from './send-outcome.ts';
import { BatchOutcome } from './send-outcome.ts';
import type { BatchOptions, OutgoingDatagram } from './udp-options.ts';
import { hintsOf } from './udp-options.ts';

/** A payload, or one with options of its own. */
export type BatchMessage = Uint8Array | OutgoingDatagram;

const NO_OPTIONS: BatchOptions = {};

/**
 * Sends a checked batch through a datapath.
 *
 * @param ecn - the socket's ECN bits
 * @returns how many datagrams went at once
 * @throws PreflexError for an address that is none, before anything is sent
 */
export function sendMarkedBatch(
  path: Datapath,
  ecn: number,
  messages: readonly BatchMessage[],
  options: BatchOptions,
  callback: BatchCallback | undefined,
): number {
  const isConnected = path.connectedPeer !== undefined;
  const common =
    options.port === undefined || isConnected ? undefined : requirePeer(path, options.address, options.port);
  const peers = messages.map((message) => peerOfMessage(path, message, options, common));
  const outcome = new BatchOutcome(messages.length, callback);
  const batchEcn = options.ecn ?? ecn;
  const batchHints = options.retransmission === true ? HINT_RETRANSMISSION : 0;
  for (let i = 0; i < messages.length; i++) {
    const message = messages[i];
    let data = message as Uint8Array;
    let hints = batchHints;
    let messageEcn = batchEcn;
    if (!(message instanceof Uint8Array)) {
      data = message.data;
      hints = hintsOf(message) | (message.retransmission === undefined ? batchHints : 0);
      messageEcn = message.ecn ?? batchEcn;
    }
    // A new flowlet begins once, with the first of the batch.
    if (i === 0) hints |= hintsOf(options) & ~HINT_RETRANSMISSION;
    path.sender.send(peers[i], isConnected, data, hints, messageEcn, outcome);
  }
  path.sender.flush();
  return outcome.sent;
}

/**
 * Sends a checked batch through a plain socket.
 *
 * @param send - the socket's, of node:dgram
 */
export function sendPlainBatch(
  send: (...args: unknown[]) => void,
  messages: readonly BatchMessage[],
  options: BatchOptions,
  callback: BatchCallback | undefined,
): void {
  const outcome = new BatchOutcome(messages.length, callback);
  const done: SendCallback = (error) => {
    outcome.finish(error ? -(error as SocketError).errno : 0);
  };
  for (const message of messages) {
    const own = optionsOf(message);
    const data = message instanceof Uint8Array ? message : message.data;
    const port = own.port ?? options.port;
    if (port === undefined) send(data, done);
    else send(data, port, own.address ?? options.address, done);
  }
}

/**
 * The peer of an address and a port.
 *
 * @param address - default this machine
 * @throws PreflexError when the port is none, or the address is none of the socket's family
 */
export function requirePeer(path: Datapath, address: string | undefined, port: number): Peer {
  requireInteger('port', port, 1, 65_535);
  const peer = path.peers.byText(address ?? path.loopback, port);
  if (peer === undefined) {
    throw invalidOption('address', address, "an address of the socket's family, not a name");
  }
  return peer;
}

function peerOfMessage(
  path: Datapath,
  message: BatchMessage,
  options: BatchOptions,
  common: Peer | undefined,
): Peer {
  const own = optionsOf(message);
  const port = own.port ?? options.port;
  if (path.connectedPeer !== undefined) {
    if (port !== undefined) throw invalidOption('port', port, 'nothing on a connected socket');
    return path.connectedPeer;
  }
  if (own.port === undefined && own.address === undefined && common !== undefined) return common;
  if (port === undefined) throw invalidOption('port', port, 'a whole number from 1 to 65535');
  return requirePeer(path, own.address ?? options.address, port);
}

function optionsOf(message: BatchMessage): BatchOptions {
  return message instanceof Uint8Array ? NO_OPTIONS : message;
}
