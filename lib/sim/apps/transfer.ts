/** One transfer: connect, send so many bytes, close. And the other end of it. */
import type { TcpApp } from '../tcp/app.ts';
import type { TcpConnection } from '../tcp/connection.ts';
import type { TcpStack } from '../tcp/stack.ts';
import type { FlowLog } from './flow-log.ts';

/** Takes everything and closes when the peer does. */
export const sink: TcpApp = {
  onPeerClosed(stack: TcpStack, c: TcpConnection): void {
    stack.close(c);
  },
};

/**
 * Sends `bytes` and closes; Infinity never ends.
 *
 * @param onEnd - called when the transfer is over
 */
export function startTransfer(
  stack: TcpStack,
  remoteAddr: number,
  remotePort: number,
  bytes: number,
  log?: FlowLog,
  onEnd?: () => void,
): TcpConnection {
  if (log !== undefined) log.started++;
  const c = stack.connect(remoteAddr, remotePort, {
    onEnd(_stack: TcpStack, ended: TcpConnection, how: number): void {
      log?.add(ended, how, stack.queue.nowNs);
      onEnd?.();
    },
  });
  stack.write(c, bytes);
  if (bytes !== Infinity) stack.close(c);
  return c;
}
