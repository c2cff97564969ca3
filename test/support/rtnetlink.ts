/** Messages of the kernel's routing family, made by hand; little endian. */
import { parseAddress, parsePrefix } from '../../lib/wire/addr.ts';

/** A next hop of {@link routeMessage}. */
export interface HopFields {
  readonly device: number;
  readonly via?: string;
  /** RTNH_F_DEAD 1, RTNH_F_LINKDOWN 16. */
  readonly flags?: number;
}

/** What a route message says. */
export interface RouteFields {
  readonly prefix: string;
  readonly table: number;
  readonly metric?: number;
  /** RTN_UNICAST 1 (default), RTN_BLACKHOLE 6, RTN_UNREACHABLE 7, RTN_THROW 9. */
  readonly type?: number;
  readonly tos?: number;
  readonly hops?: readonly HopFields[];
  /** NLM_F_ flags; default none. */
  readonly flags?: number;
  /** True for RTM_DELROUTE. */
  readonly isGone?: boolean;
}

const NO_FLAGS = 0;

/** An RTM_NEWROUTE or RTM_DELROUTE message. */
export function routeMessage(fields: RouteFields): Uint8Array {
  const { version, length } = parsePrefix(fields.prefix);
  const hops = fields.hops ?? [];
  const only = hops.length === 1 ? hops[0] : undefined;
  const address = parseAddress(fields.prefix.slice(0, fields.prefix.indexOf('/')));
  const body = [
    ...[version === 4 ? 2 : 10, length, 0, fields.tos ?? 0],
    ...[fields.table < 256 ? fields.table : 252, 12, 0, fields.type ?? 1],
    ...u32(only?.flags ?? NO_FLAGS),
    ...attribute(15, u32(fields.table)),
    ...(length === 0 ? [] : attribute(1, [...address])),
    ...attribute(6, u32(fields.metric ?? 0)),
    ...(only === undefined ? [] : [...gatewayOf(only), ...attribute(4, u32(only.device))]),
    ...(hops.length > 1 ? attribute(9, hops.flatMap(nextHop)) : []),
  ];
  return message(fields.isGone ? 25 : 24, fields.flags ?? NO_FLAGS, body);
}

/** An RTM_NEWLINK or RTM_DELLINK message. @param flags - IFF_UP 1, IFF_RUNNING 0x40, IFF_LOWER_UP 0x10000 */
export function linkMessage(index: number, name: string, flags: number, isGone = false): Uint8Array {
  const text = [...new TextEncoder().encode(name), 0];
  // A queueing discipline with a short name, as the kernel tells it: an attribute of three bytes.
  const body = [...[0, 0, 1, 0], ...u32(index), ...u32(flags), ...u32(0), ...attribute(6, [0x66, 0x71, 0])];
  return message(isGone ? 17 : 16, NO_FLAGS, [...body, ...attribute(3, text)]);
}

/** A message with any body. */
export function message(type: number, flags: number, body: readonly number[]): Uint8Array {
  const header = [...u32(16 + body.length), ...u16(type), ...u16(flags), ...u32(7), ...u32(0)];
  return Uint8Array.from([...header, ...padded(body)]);
}

/** An attribute with its padding. */
export function attribute(type: number, value: readonly number[]): number[] {
  return padded([...u16(4 + value.length), ...u16(type), ...value]);
}

function nextHop(hop: HopFields): number[] {
  const attributes = gatewayOf(hop);
  return [...u16(8 + attributes.length), hop.flags ?? 0, 0, ...u32(hop.device), ...attributes];
}

function gatewayOf({ via }: HopFields): number[] {
  return via === undefined ? [] : attribute(5, [...parseAddress(via)]);
}

function u16(value: number): number[] {
  return [value & 0xff, value >>> 8];
}

function u32(value: number): number[] {
  return [...u16(value & 0xffff), ...u16(value >>> 16)];
}

function padded(bytes: readonly number[]): number[] {
  return [...bytes, ...Array<number>(-bytes.length & 3).fill(0)];
}
