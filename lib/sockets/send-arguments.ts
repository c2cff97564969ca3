/**
 * The arguments of send, in all the forms that node:dgram takes, and with the options behind them:
 *
 * ```
 *   unconnected   send(msg, offset, length, port[, address][, callback][, options])
 *                 send(msg, port[, address][, callback][, options])
 *   connected     send(msg, offset, length[, callback][, options])
 *                 send(msg[, callback][, options])
 * ```
 *
 * What node:dgram would refuse is "irregular" here and left to it, so that the error is its own.
 */
import type { SendOptions } from './udp-options.ts';
import type { SendCallback } from './send-outcome.ts';

/** Understood arguments; one object, overwritten by the next {@link readSendArguments}. */
export interface SendArguments {
  data: Uint8Array;
  /** 0 on a connected socket. */
  port: number;
  /** undefined for this machine. */
  address: string | undefined;
  callback: SendCallback | undefined;
}

const EMPTY = new Uint8Array(0);
const understood: SendArguments = { data: EMPTY, port: 0, address: undefined, callback: undefined };

/** The options at the end of the arguments, undefined when there are none. */
export function trailingOptions(args: readonly unknown[]): SendOptions | undefined {
  const last = args.length < 2 ? undefined : args[args.length - 1];
  if (typeof last !== 'object' || last === null || Array.isArray(last) || ArrayBuffer.isView(last)) {
    return undefined;
  }
  return last;
}

/**
 * Reads the arguments the way node:dgram does.
 *
 * @param count - how many of them there are without the options
 * @returns undefined for what node:dgram refuses
 */
export function readSendArguments(
  args: readonly unknown[],
  count: number,
  isConnected: boolean,
): SendArguments | undefined {
  const second = count > 1 ? args[1] : undefined;
  const third = count > 2 ? args[2] : undefined;
  const fourth = count > 3 ? args[3] : undefined;
  const fifth = count > 4 ? args[4] : undefined;
  let data: Uint8Array | undefined;
  let port: unknown;
  let address: unknown;
  let callback: unknown;
  if (isConnected ? typeof third === 'number' : Boolean(fifth) || isGiven(fourth)) {
    data = slice(args[0], second, third);
    address = fifth;
    if (isConnected && typeof fourth === 'function') {
      callback = fourth;
    } else {
      port = fourth;
      callback = count > 5 ? args[5] : undefined;
    }
  } else {
    data = messageBytes(args[0]);
    port = isConnected ? fourth : second;
    address = isConnected ? fifth : third;
    callback = isConnected ? second : fourth;
  }
  if (data === undefined) return undefined;
  if (isConnected) {
    if (Boolean(port) || Boolean(address)) return undefined;
    understood.port = 0;
  } else {
    const number = portNumber(port);
    if (number === 0) return undefined;
    understood.port = number;
  }
  if (typeof address === 'function') {
    callback = address;
    address = undefined;
  } else if (address !== undefined && address !== null && typeof address !== 'string') {
    return undefined;
  }
  understood.data = data;
  understood.address = (address ?? undefined) as string | undefined;
  understood.callback = typeof callback === 'function' ? (callback as SendCallback) : undefined;
  return understood;
}

/** Whether the fourth argument is a port, not a callback. */
function isGiven(value: unknown): boolean {
  return Boolean(value) && typeof value !== 'function';
}

/** The port that node:dgram reads from the value, 0 for none. */
function portNumber(value: unknown): number {
  if (typeof value === 'string' ? value.trim() === '' : typeof value !== 'number') return 0;
  const number = Number(value);
  return number === number >>> 0 && number <= 0xffff ? number : 0;
}

/** The bytes of a message: its own memory, or new memory for strings and lists. */
function messageBytes(message: unknown): Uint8Array | undefined {
  if (message instanceof Uint8Array) return message;
  if (typeof message === 'string') return Buffer.from(message);
  if (ArrayBuffer.isView(message)) {
    return new Uint8Array(message.buffer, message.byteOffset, message.byteLength);
  }
  if (!Array.isArray(message)) return undefined;
  const parts: Uint8Array[] = [];
  for (const part of message) {
    if (Array.isArray(part)) return undefined;
    const bytes = messageBytes(part);
    if (bytes === undefined) return undefined;
    parts.push(bytes);
  }
  return parts.length === 1 ? parts[0] : Buffer.concat(parts);
}

function slice(message: unknown, offset: unknown, length: unknown): Uint8Array | undefined {
  if (Array.isArray(message)) return undefined;
  const bytes = messageBytes(message);
  const start = (offset as number) >>> 0;
  const end = start + ((length as number) >>> 0);
  return bytes !== undefined && end <= bytes.length ? bytes.subarray(start, end) : undefined;
}
