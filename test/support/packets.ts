/**
 * Builders of whole packets for tests, written byte by byte and without the library, so that they can serve as its
 * oracle. Checksums are right unless a test asks otherwise. The version follows from the form of `src`.
 */

/** A fragment of a packet; the builder cuts nothing, it only writes the fields. */
export interface FragmentFields {
  /** In units of 8 bytes, as on the wire. */
  readonly offset: number;
  readonly more: boolean;
  readonly identification?: number;
}

/** An IPv6 extension header; `body` is what follows the next-header and length bytes, padded by the builder. */
export interface ExtensionHeader {
  /** 0 hop-by-hop, 43 routing, 51 authentication, 60 destination options; fragments come from `fragment`. */
  readonly type: number;
  readonly body?: readonly number[];
}

/** What every packet has. */
export interface IpFields {
  /** Dotted or IPv6 text; default 10.0.0.1, or the same family as `dst`. */
  readonly src?: string;
  /** Default 10.0.1.1, or fd00:1::1 when `src` is IPv6. */
  readonly dst?: string;
  readonly dscp?: number;
  readonly ecn?: number;
  readonly ttl?: number;
  /** IPv4 identification. */
  readonly identification?: number;
  /** IPv4; default false. */
  readonly dontFragment?: boolean;
  /** IPv4 options, padded to 4 bytes with zeros. */
  readonly ipOptions?: readonly number[];
  /** IPv6 extension headers in order, before a fragment header if there is one. */
  readonly extensionHeaders?: readonly ExtensionHeader[];
  /** IPv6 flow label. */
  readonly flowLabel?: number;
  readonly fragment?: FragmentFields;
}

/** The payload: bytes, or a length to be filled with a counting pattern. */
export interface PayloadFields {
  readonly payload?: Uint8Array;
  readonly payloadLength?: number;
}

/** A TCP segment. */
export interface TcpFields extends IpFields, PayloadFields {
  readonly srcPort?: number;
  readonly dstPort?: number;
  /** Any whole number; taken modulo 2^32. */
  readonly seqNumber?: number;
  readonly ackNumber?: number;
  /** FIN 1, SYN 2, RST 4, PSH 8, ACK 16, URG 32, ECE 64, CWR 128; default ACK. */
  readonly tcpFlags?: number;
  readonly windowField?: number;
  readonly mss?: number;
  readonly windowScale?: number;
  readonly sackPermitted?: boolean;
  /** TSval and TSecr. */
  readonly timestamps?: readonly [number, number];
  /** Left and right edges. */
  readonly sack?: readonly (readonly [number, number])[];
  /** Raw option bytes behind the ones above, padded to 4 bytes with end-of-list. */
  readonly tcpOptions?: readonly number[];
}

/** A UDP datagram. */
export interface UdpFields extends IpFields, PayloadFields {
  readonly srcPort?: number;
  readonly dstPort?: number;
}

/** An ICMP or ICMPv6 message; the default is an echo request. */
export interface IcmpFields extends IpFields, PayloadFields {
  readonly type?: number;
  readonly code?: number;
}

/** A packet of any protocol around `payload`, which the builder does not look at. */
export interface RawFields extends IpFields, PayloadFields {
  readonly protocol: number;
}

/** Builds a TCP segment: port 40000 to 80, ACK, window 1000, no options and no payload unless told otherwise. */
export function buildTcp(fields: TcpFields = {}): Uint8Array {
  const options = tcpOptionBytes(fields);
  const payload = payloadBytes(fields);
  const header = [
    ...u16(fields.srcPort ?? 40000),
    ...u16(fields.dstPort ?? 80),
    ...u32(fields.seqNumber ?? 1),
    ...u32(fields.ackNumber ?? 0),
    ((20 + options.length) / 4) << 4,
    fields.tcpFlags ?? 16,
    ...u16(fields.windowField ?? 1000),
    ...u16(0),
    ...u16(0),
    ...options,
  ];
  return buildIp(fields, 6, join(header, payload), 16);
}

/** Builds a UDP datagram: port 40000 to 53 without payload unless told otherwise. */
export function buildUdp(fields: UdpFields = {}): Uint8Array {
  const payload = payloadBytes(fields);
  const header = [
    ...u16(fields.srcPort ?? 40000),
    ...u16(fields.dstPort ?? 53),
    ...u16(8 + payload.length),
    ...u16(0),
  ];
  return buildIp(fields, 17, join(header, payload), 6);
}

/** Builds an ICMP message (ICMPv6 between IPv6 addresses). */
export function buildIcmp(fields: IcmpFields = {}): Uint8Array {
  const isIpv6 = addresses(fields)[0].length === 16;
  const header = [fields.type ?? (isIpv6 ? 128 : 8), fields.code ?? 0, 0, 0, 0, 7, 0, 1];
  return buildIp(fields, isIpv6 ? 58 : 1, join(header, payloadBytes(fields)), 2);
}

/** Builds a packet of any other protocol, for example ESP (50). */
export function buildRaw(fields: RawFields): Uint8Array {
  return buildIp(fields, fields.protocol, payloadBytes(fields), -1);
}

/** A DataView over exactly the bytes of a packet. */
export function viewOf(bytes: Uint8Array): DataView {
  return new DataView(bytes.buffer, bytes.byteOffset, bytes.byteLength);
}

/** The RFC 1071 checksum in its plainest form. */
export function plainChecksum(bytes: ArrayLike<number>): number {
  let sum = 0;
  for (let i = 0; i < bytes.length; i++) sum += i % 2 === 0 ? bytes[i]! * 256 : bytes[i]!;
  while (sum > 0xffff) sum = (sum % 0x10000) + Math.floor(sum / 0x10000);
  return 0xffff - sum;
}

/** The bytes of an address, 4 or 16, in its textual forms without a zone or an embedded IPv4 address. */
export function addressBytes(text: string): number[] {
  if (!text.includes(':')) return text.split('.').map(Number);
  const [head = '', tail] = text.split('::');
  const left = head === '' ? [] : head.split(':');
  const right = tail === undefined || tail === '' ? [] : tail.split(':');
  const zeros = tail === undefined ? 0 : 8 - left.length - right.length;
  return [...left, ...Array<string>(zeros).fill('0'), ...right].flatMap((group) => u16(parseInt(group, 16)));
}

/** `checksumAt` is the offset of the checksum in the transport, -1 for none. */
function buildIp(fields: IpFields, protocol: number, transport: Uint8Array, checksumAt: number): Uint8Array {
  const [src, dst] = addresses(fields);
  // The checksum of a fragmented datagram covers bytes that are not here.
  if (checksumAt >= 0 && fields.fragment === undefined) {
    const pseudo = protocol === 1 ? [] : [...src, ...dst, ...u32(transport.length), 0, 0, 0, protocol];
    const sum = plainChecksum(join(pseudo, transport));
    const [high, low] = u16(sum === 0 && protocol === 17 ? 0xffff : sum);
    transport[checksumAt] = high!;
    transport[checksumAt + 1] = low!;
  }
  return src.length === 4
    ? buildIpv4(fields, src, dst, protocol, transport)
    : buildIpv6(fields, src, dst, protocol, transport);
}

function buildIpv4(
  fields: IpFields,
  src: readonly number[],
  dst: readonly number[],
  protocol: number,
  transport: Uint8Array,
): Uint8Array {
  const options = padded(fields.ipOptions ?? [], 4);
  const headerLength = 20 + options.length;
  const flags = (fields.dontFragment === true ? 0x4000 : 0) | (fields.fragment?.more === true ? 0x2000 : 0);
  const header = [
    0x40 | (headerLength / 4),
    ((fields.dscp ?? 0) << 2) | (fields.ecn ?? 0),
    ...u16(headerLength + transport.length),
    ...u16(fields.fragment?.identification ?? fields.identification ?? 0),
    ...u16(flags | (fields.fragment?.offset ?? 0)),
    fields.ttl ?? 64,
    protocol,
    0,
    0,
    ...src,
    ...dst,
    ...options,
  ];
  const [high, low] = u16(plainChecksum(header));
  header[10] = high!;
  header[11] = low!;
  return join(header, transport);
}

function buildIpv6(
  fields: IpFields,
  src: readonly number[],
  dst: readonly number[],
  protocol: number,
  transport: Uint8Array,
): Uint8Array {
  const extensions = [...(fields.extensionHeaders ?? [])];
  const types = extensions.map((extension) => extension.type);
  if (fields.fragment !== undefined) types.push(44);
  const following = [...types.slice(1), protocol];
  const chain = extensions.flatMap((extension, i) => {
    // Hop-by-hop and its like count 8-byte units beyond the first; authentication 4-byte words beyond two.
    const isAuthentication = extension.type === 51;
    const rest = padded([0, 0, ...(extension.body ?? [])], isAuthentication ? 4 : 8);
    if (isAuthentication && rest.length < 12) rest.push(...Array<number>(12 - rest.length).fill(0));
    rest[0] = following[i]!;
    rest[1] = isAuthentication ? rest.length / 4 - 2 : rest.length / 8 - 1;
    return rest;
  });
  if (fields.fragment !== undefined) {
    const { offset, more, identification } = fields.fragment;
    chain.push(protocol, 0, ...u16((offset << 3) | (more ? 1 : 0)), ...u32(identification ?? 0));
  }
  const trafficClass = ((fields.dscp ?? 0) << 2) | (fields.ecn ?? 0);
  const header = [
    ...u32(6 * 2 ** 28 + trafficClass * 2 ** 20 + (fields.flowLabel ?? 0)),
    ...u16(chain.length + transport.length),
    types[0] ?? protocol,
    fields.ttl ?? 64,
    ...src,
    ...dst,
    ...chain,
  ];
  return join(header, transport);
}

function addresses(fields: IpFields): [number[], number[]] {
  const isIpv6 = (fields.src ?? fields.dst ?? '').includes(':');
  return [
    addressBytes(fields.src ?? (isIpv6 ? 'fd00::1' : '10.0.0.1')),
    addressBytes(fields.dst ?? (isIpv6 ? 'fd00:1::1' : '10.0.1.1')),
  ];
}

function tcpOptionBytes(fields: TcpFields): number[] {
  const bytes: number[] = [];
  if (fields.mss !== undefined) bytes.push(2, 4, ...u16(fields.mss));
  if (fields.sackPermitted === true) bytes.push(1, 1, 4, 2);
  if (fields.timestamps !== undefined) {
    bytes.push(1, 1, 8, 10, ...u32(fields.timestamps[0]), ...u32(fields.timestamps[1]));
  }
  if (fields.windowScale !== undefined) bytes.push(1, 3, 3, fields.windowScale);
  if (fields.sack !== undefined && fields.sack.length > 0) {
    bytes.push(1, 1, 5, 2 + 8 * fields.sack.length);
    for (const [left, right] of fields.sack) bytes.push(...u32(left), ...u32(right));
  }
  bytes.push(...(fields.tcpOptions ?? []));
  return padded(bytes, 4);
}

function payloadBytes(fields: PayloadFields): Uint8Array {
  if (fields.payload !== undefined) return fields.payload;
  return Uint8Array.from({ length: fields.payloadLength ?? 0 }, (_, i) => i & 0xff);
}

function padded(bytes: readonly number[], unit: number): number[] {
  return [...bytes, ...Array<number>((unit - (bytes.length % unit)) % unit).fill(0)];
}

function join(head: readonly number[], tail: Uint8Array): Uint8Array {
  const bytes = new Uint8Array(head.length + tail.length);
  bytes.set(head);
  bytes.set(tail, head.length);
  return bytes;
}

function u16(value: number): number[] {
  return [(value >>> 8) & 0xff, value & 0xff];
}

function u32(value: number): number[] {
  return [(value >>> 24) & 0xff, (value >>> 16) & 0xff, (value >>> 8) & 0xff, value & 0xff];
}
