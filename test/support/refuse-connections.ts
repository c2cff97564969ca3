/** A server whose next connection cannot be accepted: the machine does that only when it is short of something. */
import { subscribe, unsubscribe } from 'node:diagnostics_channel';
import type { Server, Socket } from 'node:net';

/**
 * Lets the server that `connect` connects to hear what Node.js tells it when accept(2) fails.
 *
 * @throws what an error that nobody handles throws
 */
export async function refuseConnections(connect: () => Promise<unknown>): Promise<void> {
  const servers = new Set<Server>();
  const listen = (message: unknown): void => {
    const { server } = (message as { readonly socket: Socket & { readonly server?: Server } }).socket;
    if (server !== undefined) servers.add(server);
  };
  subscribe('net.server.socket', listen);
  try {
    await connect();
  } finally {
    unsubscribe('net.server.socket', listen);
  }
  if (servers.size === 0) throw new Error('nobody was connected to');
  const error = Object.assign(new Error('accept ENOBUFS'), { code: 'ENOBUFS', syscall: 'accept' });
  for (const server of servers) server.emit('error', error);
}
