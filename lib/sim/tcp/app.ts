/** What an application is to a simulated TCP connection: an object that is told what happens, and acts through the stack. */
import type { TcpConnection } from './connection.ts';
import type { TcpStack } from './stack.ts';

/** How a connection ended. */
export const END_FINISHED = 0;
/** The peer reset it, or did not know it. */
export const END_RESET = 1;
/** Too many timeouts in a row. */
export const END_TIMED_OUT = 2;

/** An application; one object may serve many connections. Every callback is optional. */
export interface TcpApp {
  /** The handshake is over. Data may be written before, too. */
  onEstablished?(stack: TcpStack, c: TcpConnection): void;
  /** Bytes came in order. */
  onData?(stack: TcpStack, c: TcpConnection, bytes: number): void;
  /** All that was written, and FIN if the connection is closing, is acknowledged. */
  onAllAcked?(stack: TcpStack, c: TcpConnection): void;
  /** The peer sends no more. */
  onPeerClosed?(stack: TcpStack, c: TcpConnection): void;
  /** The timer that the application set ran out. */
  onTimer?(stack: TcpStack, c: TcpConnection): void;
  /** The connection is over; its object is used again for another one later, so keep no reference. @param how - END_* */
  onEnd?(stack: TcpStack, c: TcpConnection, how: number): void;
}
