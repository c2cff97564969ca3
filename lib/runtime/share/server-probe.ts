/**
 * Looks which NATS server answers, before a client connects to it. A server says INFO as soon as it is connected to. The
 * client leaves its socket open when that does not come in time, and cannot be told to stop; this can.
 */
import { connect } from 'node:net';

const DEFAULT_PORT = 4222;
const GREETING = 'INFO ';

/**
 * The first of the servers that answers; they are asked one after the other, beginning anywhere.
 *
 * @param servers - one or more
 * @param limitMs - time for each
 * @param signal - ends the search
 * @throws Error with what the last one did instead
 */
export async function findServer(
  servers: readonly string[],
  limitMs: number,
  signal: AbortSignal,
): Promise<string> {
  const start = Math.floor(Math.random() * servers.length);
  let last: unknown;
  for (let i = 0; i < servers.length; i++) {
    const server = servers[(start + i) % servers.length];
    try {
      await greeting(server, limitMs, signal);
      return server;
    } catch (error) {
      last = error;
    }
  }
  throw last;
}

/** Waits until a server has said INFO. */
function greeting(server: string, limitMs: number, signal: AbortSignal): Promise<void> {
  const { hostname, port } = new URL(server);
  const host = hostname.replace(/^\[(.*)\]$/, '$1');
  return new Promise((resolve, reject) => {
    const socket = connect({ host, port: port === '' ? DEFAULT_PORT : Number(port) });
    let text = '';
    const finish = (error?: Error): void => {
      clearTimeout(timer);
      signal.removeEventListener('abort', onAbort);
      socket.destroy();
      if (error === undefined) resolve();
      else reject(error);
    };
    const fail = (what: string): void => {
      finish(new Error(`${server}: ${what}`));
    };
    const onAbort = (): void => {
      fail('given up');
    };
    const timer = setTimeout(() => {
      fail(`no answer within ${limitMs / 1000} s`);
    }, limitMs);
    signal.addEventListener('abort', onAbort);
    socket.on('data', (chunk) => {
      text += chunk.toString('latin1', 0, GREETING.length);
      if (text.startsWith(GREETING)) finish();
      else if (!GREETING.startsWith(text)) fail('is no NATS server');
    });
    socket.on('error', (error: NodeJS.ErrnoException) => {
      fail(`cannot be reached (${error.code ?? error.message})`);
    });
    socket.on('close', () => {
      fail('closed the connection');
    });
    if (signal.aborted) onAbort();
  });
}
