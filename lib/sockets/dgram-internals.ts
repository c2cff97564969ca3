/**
 * The inside of a node:dgram socket, as far as this library changes it: the handle, whose calls it replaces, and the
 * state that says what the socket may do. Everything else (options, bind, connect, errors, events, close) stays
 * node's own code, which is how the two behave alike.
 *
 * The names have been the same from Node 8 to 26; where they are missing the socket stays a plain one.
 */
import type { Socket } from 'node:dgram';

export const BIND_STATE_BOUND = 2;
export const CONNECT_STATE_CONNECTED = 2;

/** What of a UDPWrap object is used. */
export interface DgramHandle {
  readonly fd: number;
  recvStart(): number;
  recvStop(): number;
  send(...args: unknown[]): number;
  connect(address: string, port: number): number;
  disconnect(): number;
  getpeername(out: object): number;
  close(callback?: () => void): void;
  ref(): void;
  unref(): void;
  hasRef(): boolean;
  getSendQueueSize?(): number;
  getSendQueueCount?(): number;
  lookup(address: string | undefined, callback: (error: Error | null, address: string) => void): unknown;
  onmessage?: (bytes: number, handle: DgramHandle, data?: Buffer, remote?: object) => void;
}

/** What of a socket's state is used. */
export interface DgramState {
  /** null once the socket is closed. */
  handle: DgramHandle | null;
  readonly bindState: number;
  readonly connectState: number;
  readonly sendBlockList?: unknown;
}

/** The state of a socket, undefined when this Node keeps it in another way. */
export function dgramState(socket: Socket): DgramState | undefined {
  const symbol = Object.getOwnPropertySymbols(socket).find(
    ({ description }) => description === 'state symbol',
  );
  const state = symbol && (socket as unknown as Record<symbol, DgramState | undefined>)[symbol];
  if (state === undefined || typeof state.bindState !== 'number' || typeof state.connectState !== 'number') {
    return undefined;
  }
  return state.handle === null || isHandle(state.handle) ? state : undefined;
}

function isHandle(handle: DgramHandle): boolean {
  const methods = ['recvStart', 'recvStop', 'send', 'connect', 'disconnect', 'close', 'lookup'] as const;
  return methods.every((name) => typeof handle[name] === 'function') && typeof handle.fd === 'number';
}

/** Calls back with every handle that the socket gets, the present one first (cluster workers get another). */
export function onEachHandle(state: DgramState, callback: (handle: DgramHandle) => void): void {
  let handle = state.handle;
  if (handle !== null) callback(handle);
  Object.defineProperty(state, 'handle', {
    configurable: true,
    enumerable: true,
    get: () => handle,
    set: (next: DgramHandle | null) => {
      if (next !== null && next !== handle) callback(next);
      handle = next;
    },
  });
}
