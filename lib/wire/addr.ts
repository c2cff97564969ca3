/**
 * Addresses and prefixes as text. For options, configuration and tools; packets keep theirs as int32 words.
 *
 * The reading is strict: what node's `net.isIP` refuses is refused here, so '1.2.3', '010.0.0.1' and '0x7f.1' are
 * errors, and so are zones ('fe80::1%eth0'), because a zone does not fit into the bytes.
 */
import ipaddr from 'ipaddr.js';
import { invalidOption } from '../errors.ts';

/** A prefix in the form that tables take. */
export interface AddressPrefix {
  readonly version: 4 | 6;
  /** The address as int32 words, the most significant first; IPv4 uses only the first. Host bits are 0. */
  readonly words: Int32Array;
  /** 0..32 or 0..128 bits. */
  readonly length: number;
}

const IPV4 = /^(?:25[0-5]|2[0-4]\d|1\d\d|[1-9]?\d)(?:\.(?:25[0-5]|2[0-4]\d|1\d\d|[1-9]?\d)){3}$/;
const IPV6_GROUP = /^[0-9a-f]{1,4}$/i;
const ADDRESS_FORM = "an IPv4 or IPv6 address such as '192.0.2.1' or '2001:db8::1'";
const PREFIX_FORM = "a prefix such as '192.0.2.0/24' or '2001:db8::/32'";

/**
 * The bytes of an address, 4 or 16, in network order; a new array.
 *
 * @param field - the option's name, for the error
 * @throws PreflexError ERR_INVALID_OPTION unless the text is exactly one address
 */
export function parseAddress(text: string, field = 'address'): Uint8Array {
  const bytes = addressBytes(text);
  if (bytes === undefined) throw invalidOption(field, text, ADDRESS_FORM);
  return bytes;
}

/**
 * The text of the address whose first byte is at `at` (not the packet's): dotted for version 4, RFC 5952 form for
 * version 6. Allocates.
 */
export function formatAddress(view: DataView, at: number, version: number): string {
  const bytes = Array.from({ length: version === 4 ? 4 : 16 }, (_, i) => view.getUint8(at + i));
  return formatBytes(bytes);
}

/**
 * Reads a prefix such as `10.0.0.0/8`. A length is required: a bare address is more often a slip than a host route.
 *
 * @param field - the option's name, for the error
 * @throws PreflexError ERR_INVALID_OPTION for anything else; with host bits set it names the prefix meant
 */
export function parsePrefix(text: string, field = 'prefix'): AddressPrefix {
  const slash = typeof text === 'string' ? text.indexOf('/') : -1;
  const bytes = addressBytes(slash < 0 ? text : text.slice(0, slash));
  if (bytes === undefined) throw invalidOption(field, text, PREFIX_FORM);
  const bits = bytes.length * 8;
  if (slash < 0)
    throw invalidOption(field, text, `${PREFIX_FORM}; write '${text}/${bits}' for the single address`);
  const lengthText = text.slice(slash + 1);
  const length = /^(?:0|[1-9]\d{0,2})$/.test(lengthText) ? Number(lengthText) : Infinity;
  if (length > bits) throw invalidOption(field, text, `a length from 0 to ${bits} behind the slash`);
  const network = bytes.map((byte, i) => byte & maskByte(length - 8 * i));
  if (network.some((byte, i) => byte !== bytes[i])) {
    const right = `${formatBytes(network)}/${length}`;
    throw invalidOption(field, text, `a prefix without host bits; the prefix of that length is '${right}'`);
  }
  return { version: bits === 32 ? 4 : 6, words: toWords(network), length };
}

/** The text of a prefix, as {@link parsePrefix} reads it. */
export function formatPrefix(prefix: AddressPrefix): string {
  const view = new DataView(new ArrayBuffer(16));
  prefix.words.forEach((word, i) => {
    view.setInt32(4 * i, word);
  });
  return `${formatAddress(view, 0, prefix.version)}/${prefix.length}`;
}

function addressBytes(text: string): Uint8Array | undefined {
  if (typeof text !== 'string' || !(IPV4.test(text) || isStrictIpv6(text))) return undefined;
  return Uint8Array.from(ipaddr.parse(withoutDottedTail(text)).toByteArray());
}

/** ipaddr.js reads the deprecated '::192.0.2.1' as '::ffff:192.0.2.1', so it never sees a dotted tail. */
function withoutDottedTail(text: string): string {
  const start = text.lastIndexOf(':') + 1;
  if (start === 0 || !text.includes('.')) return text;
  const [a, b, c, d] = text.slice(start).split('.').map(Number) as [number, number, number, number];
  return `${text.slice(0, start)}${((a << 8) | b).toString(16)}:${((c << 8) | d).toString(16)}`;
}

/** RFC 4291 section 2.2: eight groups, or fewer around one `::`, the last two possibly dotted. */
function isStrictIpv6(text: string): boolean {
  const halves = text.split('::');
  if (halves.length > 2) return false;
  let count = 0;
  for (const [i, half] of halves.entries()) {
    if (half === '') continue;
    const groups = half.split(':');
    const last = groups.at(-1)!;
    if (i === halves.length - 1 && IPV4.test(last)) {
      groups.pop();
      count += 2;
    }
    if (!groups.every((group) => IPV6_GROUP.test(group))) return false;
    count += groups.length;
  }
  return halves.length === 2 ? count <= 7 : count === 8;
}

function formatBytes(bytes: ArrayLike<number>): string {
  const address = ipaddr.fromByteArray(Array.from(bytes));
  return address instanceof ipaddr.IPv6 ? address.toRFC5952String() : address.toString();
}

/** The network bits of one byte, `bits` counted from its first; below 0 none, above 8 all. */
function maskByte(bits: number): number {
  if (bits >= 8) return 0xff;
  return bits <= 0 ? 0 : (0xff00 >> bits) & 0xff;
}

function toWords(bytes: Uint8Array): Int32Array {
  const words = new Int32Array(4);
  const view = new DataView(bytes.buffer, bytes.byteOffset, bytes.byteLength);
  for (let i = 0; i < bytes.length; i += 4) words[i >>> 2] = view.getInt32(i);
  return words;
}
