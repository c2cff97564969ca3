/**
 * The way to the other gateways: publishing and hearing messages, without ever keeping the caller waiting. Implemented by
 * nats-bus.ts, and in tests in memory.
 */
import type { OutMessage } from './message.ts';

/** What a bus tells its user. */
export interface BusHandlers {
  /** A message came in. Must not throw. */
  readonly onMessage: (subject: string, data: Uint8Array) => void;
  /** There is a connection, again perhaps: what to send before anything else. */
  readonly onConnect: () => readonly OutMessage[];
}

/** How it stands with the connection. */
export interface BusStatus {
  readonly isConnected: boolean;
  /** Since when that has been so: ISO 8601; the start, before the first connection. */
  readonly since: string;
  /** The server that it is connected to, without user and password; null without connection. */
  readonly server: string | null;
  /** Attempts to connect in vain since the last connection. */
  readonly attempts: number;
  /** Connections so far. */
  readonly connections: number;
  /** Messages that the server has acknowledged. */
  readonly sent: number;
  /** Messages that newer ones replaced before they were sent, and such that were lost with a connection. */
  readonly replaced: number;
  /** Why there is no connection, or why the last one ended; null when none ever failed. */
  readonly lastError: string | null;
}

/** A connection to the other gateways. */
export interface Bus {
  /** Begins to connect, in the background. */
  start(handlers: BusHandlers): void;
  /** Sends these messages as soon as it can; those of the last call that still wait are given up. Never waits. */
  offer(messages: readonly OutMessage[]): void;
  /** Says a last word when there is a connection, and ends. The second call does nothing. */
  stop(farewell: OutMessage): void;
  readonly status: BusStatus;
}
