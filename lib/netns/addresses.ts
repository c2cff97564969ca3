/**
 * Addresses of links.
 */
import type { Where } from './command.ts';
import type { Family } from './ip.ts';
import { ip, ipBatch, ipJson } from './ip.ts';

/** An address on a link. */
export interface LinkAddress {
  readonly device: string;
  readonly family: Family;
  readonly address: string;
  readonly prefixLength: number;
  /** `global`, `link`, `host`. */
  readonly scope: string;
  /** IPv6 duplicate address detection still runs: the address cannot be used yet. */
  readonly isTentative: boolean;
}

interface AddressJson {
  ifname: string;
  addr_info: { family: string; local: string; prefixlen: number; scope: string; tentative?: boolean }[];
}

/**
 * Puts an address on a link. IPv6 addresses are added with `nodad`, so that they can be used at once.
 *
 * @param prefix - address and prefix length, for example `10.0.0.1/24` or `fd00::1/64`
 */
export function addAddress(device: string, prefix: string, where: Where = {}): void {
  ip(addressWords(device, prefix), where);
}

/** Puts addresses on a link as {@link addAddress} does, and brings it up, in one process. */
export function addAddressesAndUp(device: string, prefixes: readonly string[], where: Where = {}): void {
  const commands = prefixes.map((prefix) => addressWords(device, prefix));
  ipBatch([...commands, ['link', 'set', 'dev', device, 'up']], where);
}

function addressWords(device: string, prefix: string): string[] {
  return ['address', 'add', prefix, 'dev', device, ...(familyOf(prefix) === 6 ? ['nodad'] : [])];
}

/** Takes an address from a link. */
export function deleteAddress(device: string, prefix: string, where: Where = {}): void {
  ip(['address', 'del', prefix, 'dev', device], where);
}

/** All addresses of a namespace, or of one device of it. */
export function listAddresses(where: Where & { readonly device?: string | undefined } = {}): LinkAddress[] {
  const only = where.device === undefined ? [] : ['dev', where.device];
  const links = ipJson<AddressJson>(['address', 'show', ...only], where);
  return links.flatMap((link) =>
    (link.addr_info ?? []).map((info) => ({
      device: link.ifname,
      family: info.family === 'inet6' ? 6 : 4,
      address: info.local,
      prefixLength: info.prefixlen,
      scope: info.scope,
      isTentative: info.tentative === true,
    })),
  );
}

/** The IP version an address or prefix is written in. */
export function familyOf(text: string): Family {
  return text.includes(':') ? 6 : 4;
}
