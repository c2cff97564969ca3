/**
 * What this process may do beyond its user. Reading only; become-user.ts gives capabilities up.
 *
 * @see capabilities(7)
 */
import { readFileSync } from 'node:fs';

/** Changing devices, routes, rules and settings below /proc/sys/net. */
export const CAP_NET_ADMIN = 12;

/**
 * Whether a capability is in the effective set, by the text of /proc/PID/status. Pure.
 *
 * @param capability - its number, 0..63
 */
export function hasCapability(status: string, capability: number): boolean {
  const mask = /^CapEff:\s*([0-9a-f]+)$/m.exec(status)?.[1] ?? '0';
  return ((BigInt(`0x${mask}`) >> BigInt(capability)) & 1n) === 1n;
}

/** Whether this process has a capability now. */
export function isCapable(capability: number): boolean {
  return hasCapability(readFileSync('/proc/self/status', 'utf8'), capability);
}
