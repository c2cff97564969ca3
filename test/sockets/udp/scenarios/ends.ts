/** The ends that the scenarios have: sockets that write down what becomes of them. */
import type dgram from 'node:dgram';
import type { DatagramModule, Trace } from '../trace.ts';
import { bound } from '../trace.ts';

/** A socket whose methods take anything. */
export type AnySocket = dgram.Socket & Record<string, (...args: unknown[]) => unknown>;
/** A method that takes anything. */
export type AnySend = (...args: unknown[]) => void;

/** A bound socket that writes down what it receives. */
export async function server(udp: DatagramModule, trace: Trace, type = 'udp4', address = '127.0.0.1') {
  const socket = trace.watch(udp.createSocket(type), 'server', ['message', 'error', 'close']);
  await bound(socket, address);
  const port = trace.namePort(socket.address().port, 'SERVER');
  return { socket, port };
}

/** A bound socket that sends to it. */
export async function client(udp: DatagramModule, trace: Trace, type = 'udp4', address = '127.0.0.1') {
  const socket = trace.watch(udp.createSocket(type), 'client') as AnySocket;
  await bound(socket, address);
  trace.namePort(socket.address().port, 'CLIENT');
  return socket;
}

/** A callback that is written down. */
export function callback(trace: Trace, name: string) {
  return (...args: unknown[]) => {
    trace.add(`callback ${name}`, ...args);
  };
}
