/**
 * Waiting for a condition, with a bound and an error that says what did not happen. Instead of sleeping.
 */
import { readFileSync } from 'node:fs';
import { setTimeout as delay } from 'node:timers/promises';
import { PreflexError } from '../errors.ts';
import type { Where } from './command.ts';
import { inNamespace, run } from './command.ts';
import { listAddresses } from './addresses.ts';
import { findLink } from './links.ts';

/** How long to wait. */
export interface WaitOptions extends Where {
  /** Milliseconds. Default 20,000: long enough for a process that a busy machine starts or leaves waiting. */
  readonly timeoutMs?: number | undefined;
}

const POLL_MS = 10;

/**
 * Resolves with the first answer of `probe` that is not undefined.
 *
 * @param what - the condition in words, for the error: "link eth0 up in pfx-1-a"
 * @throws PreflexError ERR_SYSTEM after `timeoutMs`
 */
export async function waitFor<T>(
  what: string,
  probe: () => T | undefined | Promise<T | undefined>,
  options: WaitOptions = {},
): Promise<T> {
  const timeoutMs = options.timeoutMs ?? 20_000;
  const deadline = performance.now() + timeoutMs;
  for (;;) {
    const answer = await probe();
    if (answer !== undefined) return answer;
    if (performance.now() > deadline) {
      throw new PreflexError('ERR_SYSTEM', `Waited ${timeoutMs} ms in vain for ${what}${inWords(options)}`);
    }
    await delay(POLL_MS);
  }
}

/** Waits until a link exists, is up, has carrier, and its IPv6 addresses can be used. */
export async function waitForLink(name: string, options: WaitOptions = {}): Promise<void> {
  await waitFor(
    `link ${name} to be up`,
    () => {
      const link = findLink(name, options);
      if (link === undefined || !link.isUp || !link.hasCarrier) return undefined;
      const tentative = listAddresses({ netns: options.netns, device: name }).some(
        (address) => address.isTentative && address.scope !== 'link',
      );
      return tentative ? undefined : true;
    },
    options,
  );
}

/** Waits until some process listens on a TCP port (or has bound a UDP port), IPv4 or IPv6. */
export async function waitForListen(
  port: number,
  options: WaitOptions & { readonly protocol?: 'tcp' | 'udp' | undefined } = {},
): Promise<void> {
  const protocol = options.protocol ?? 'tcp';
  await waitFor(
    `a listener on ${protocol} port ${port}`,
    () => (isListening(port, protocol, options) ? true : undefined),
    options,
  );
}

/** Whether a TCP port is listened on (or a UDP port bound) in a namespace. */
export function isListening(port: number, protocol: 'tcp' | 'udp', where: Where = {}): boolean {
  const files = [`/proc/net/${protocol}`, `/proc/net/${protocol}6`];
  const text =
    where.netns === undefined
      ? files.map((file) => readFileSync(file, 'utf8')).join('\n')
      : run(inNamespace(['cat', ...files], where), { okCodes: [0, 1] });
  return hasListener(text, port, protocol);
}

/**
 * Looks for a port in the text of /proc/net/tcp or udp. Pure.
 *
 * @see proc_net_tcp(5): local address as hex `address:port`, then remote, then the state; 0A is LISTEN, 07 unconnected
 */
export function hasListener(text: string, port: number, protocol: 'tcp' | 'udp'): boolean {
  const hexPort = port.toString(16).toUpperCase().padStart(4, '0');
  const state = protocol === 'tcp' ? '0A' : '07';
  return text.split('\n').some((line) => {
    const fields = line.trim().split(/\s+/);
    return (fields[1] ?? '').endsWith(`:${hexPort}`) && fields[3] === state;
  });
}

function inWords(where: Where): string {
  return where.netns === undefined ? '' : ` in namespace ${where.netns}`;
}
