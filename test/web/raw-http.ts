/** HTTP requests byte by byte, so that they can be wrong. */
import { once } from 'node:events';
import { connect } from 'node:net';
import type { Socket } from 'node:net';

/** Opens a connection to a listener of this machine. */
export async function openConnection(port: number, host = '127.0.0.1'): Promise<Socket> {
  const socket = connect(port, host);
  socket.on('error', () => undefined);
  await once(socket, 'connect');
  return socket;
}

/** Sends bytes, and returns all that comes back until the server ends the connection. */
export async function sendRaw(port: number, bytes: string, host = '127.0.0.1'): Promise<string> {
  const socket = await openConnection(port, host);
  const chunks: Buffer[] = [];
  socket.on('data', (chunk: Buffer) => chunks.push(chunk));
  const closed = once(socket, 'close');
  socket.write(bytes);
  await closed;
  return Buffer.concat(chunks).toString('latin1');
}

/** A request with `Connection: close`. */
export function request(line: string, headers: Readonly<Record<string, string>>): string {
  const all = Object.entries({ Connection: 'close', ...headers }).map(
    ([name, value]) => `${name}: ${value}\r\n`,
  );
  return `${line} HTTP/1.1\r\n${all.join('')}\r\n`;
}

/** Status of an answer. */
export function statusOfAnswer(answer: string): number {
  return Number(/^HTTP\/1\.1 (\d{3}) /.exec(answer)?.[1] ?? 0);
}
