/**
 * Where an HTTP listener of a daemon is: `ADDRESS:PORT`, as the options `--metrics` and `--ui` and the files have it.
 * Loopback unless another address is written out. Pure.
 */
import { isIPv4, isIPv6 } from 'node:net';

/** An address to listen at. */
export interface ListenAddress {
  /** An IPv4 or IPv6 address. */
  readonly host: string;
  /** 0: the kernel chooses one. */
  readonly port: number;
}

/** What a listen address is, in words. */
export const LISTEN_ADDRESS_RULE =
  'ADDRESS:PORT with an IP address, such as 127.0.0.1:9464 or [::1]:9464; without an address, as 9464, it is loopback';

const LOOPBACK = '127.0.0.1';

/** Reads `ADDRESS:PORT`, `:PORT` or `PORT`; undefined when it is none. `localhost` is 127.0.0.1; no other names. */
export function parseListenAddress(text: string): ListenAddress | undefined {
  const [, bracketed, plain, digits] = /^(?:(?:\[([^\]]*)\]|([^:[\]]*)):)?(\d{1,5})$/.exec(text) ?? [];
  const port = Number(digits);
  if (digits === undefined || port > 65_535) return undefined;
  if (bracketed !== undefined) {
    return isIPv6(bracketed) && !bracketed.includes('%') ? { host: bracketed, port } : undefined;
  }
  if (plain === undefined || plain === '' || plain === 'localhost') return { host: LOOPBACK, port };
  return isIPv4(plain) ? { host: plain, port } : undefined;
}

/** `ADDRESS:PORT`, as in a URL. */
export function formatListenAddress({ host, port }: ListenAddress): string {
  return host.includes(':') ? `[${host}]:${port}` : `${host}:${port}`;
}
