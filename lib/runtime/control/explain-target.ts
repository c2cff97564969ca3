/** What `preflex explain` is asked about: a prefix, an address, or a flow `[tcp|udp] SRC[:PORT] DST[:PORT]`. Pure. */
import { invalidOption } from '../../errors.ts';
import { parseAddress, parsePrefix } from '../../wire/addr.ts';
import { PROTOCOL_TCP, PROTOCOL_UDP } from '../../wire/protocol-numbers.ts';

/** One end of a flow. */
export interface TargetEnd {
  /** 4 or 16 bytes. */
  readonly address: Uint8Array;
  /** 0 when none was given. */
  readonly port: number;
}

/** A prefix or an address. */
export interface PrefixTarget {
  readonly kind: 'prefix';
  /** The address, or the first of the prefix; 4 or 16 bytes. */
  readonly address: Uint8Array;
  /** Of the prefix; 32 or 128 for an address. */
  readonly length: number;
}

/** A flow. */
export interface FlowTarget {
  readonly kind: 'flow';
  /** 6 TCP, 17 UDP, 0 when none was given. */
  readonly protocol: number;
  /** Source and destination, of the same IP version. */
  readonly ends: readonly [TargetEnd, TargetEnd];
}

/** What a target may be, in words. */
export const TARGET_FORM =
  'a prefix, an address, or a flow such as "tcp 192.0.2.1:40000 [2001:db8::1]:443" with both of one IP version';

/** Reads a target. @throws PreflexError ERR_INVALID_OPTION */
export function parseTarget(text: unknown): PrefixTarget | FlowTarget {
  if (typeof text !== 'string' || text.length > 200) throw invalidOption('target', text, TARGET_FORM);
  const words = text.trim().split(/\s+/);
  if (words.length === 1) return parsePrefixTarget(words[0]);
  const protocol = { tcp: PROTOCOL_TCP, udp: PROTOCOL_UDP }[words[0].toLowerCase()] ?? 0;
  const [src, dst, ...more] = protocol === 0 ? words : words.slice(1);
  if (dst === undefined || more.length > 0) throw invalidOption('target', text, TARGET_FORM);
  const ends = [parseEnd(src), parseEnd(dst)] as const;
  if (ends[0].address.length !== ends[1].address.length) throw invalidOption('target', text, TARGET_FORM);
  return { kind: 'flow', protocol, ends };
}

function parsePrefixTarget(word: string): PrefixTarget {
  if (!word.includes('/')) {
    const address = parseAddress(word, 'target');
    return { kind: 'prefix', address, length: address.length * 8 };
  }
  const { length } = parsePrefix(word, 'target');
  return { kind: 'prefix', address: parseAddress(word.slice(0, word.indexOf('/')), 'target'), length };
}

function parseEnd(word: string): TargetEnd {
  const [, bracketed, plain, port] = /^(?:\[([^\]]*)\]|([\d.]+(?=:|$)|.*?))(?::(\d{1,5}))?$/.exec(word) ?? [];
  // Without brackets the last group of an IPv6 address would be taken for a port.
  const isIpv6 = bracketed === undefined && word.split(':').length > 2;
  if (isIpv6) return { address: parseAddress(word, 'target'), port: 0 };
  const number = port === undefined ? 0 : Number(port);
  if (number > 65_535) throw invalidOption('target', word, 'an address with a port up to 65535');
  return { address: parseAddress(bracketed ?? plain ?? word, 'target'), port: number };
}
