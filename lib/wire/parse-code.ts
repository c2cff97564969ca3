/**
 * The codes in which reading a packet can end. packet-view.ts exports them too; they have a file of their own so
 * that the header files can return them without importing the parser.
 */

/** TCP or UDP with its ports visible; a first fragment that holds the whole transport header counts. */
export const PARSE_OK = 0;
/** No bytes, or a version nibble that is neither 4 nor 6. Nothing may be rewritten. */
export const PARSE_NOT_IP = 1;
/** Fewer bytes than the headers or the total length claim. Nothing may be rewritten. */
export const PARSE_TRUNCATED = 2;
/**
 * A length that lies: IHL below 5, total length below the header, TCP data offset below 5 or beyond the packet, UDP
 * length below 8 or beyond the packet, IPv6 payload length 0 in front of a transport (jumbogram, BIG TCP). Nothing
 * may be rewritten.
 */
export const PARSE_BAD_HEADER = 3;
/** A fragment with an offset: it carries no ports. The DSCP may be rewritten. */
export const PARSE_LATER_FRAGMENT = 4;
/**
 * No ports to read: ICMP, ESP, any protocol other than TCP and UDP, more extension headers than are walked, or a
 * first fragment too short for its transport header. The DSCP may be rewritten.
 */
export const PARSE_NO_PORTS = 5;

/** A short name for each PARSE_* code, by code; for counters and messages. */
export const PARSE_REASONS: readonly string[] = [
  'ok',
  'notIp',
  'truncated',
  'badHeader',
  'laterFragment',
  'noPorts',
];

/** The packet is whole: not a fragment (an IPv6 atomic fragment counts as whole, @see RFC 6946). */
export const FRAGMENT_NONE = 0;
/** The fragment at offset 0, with more to come; it carries the ports when it is long enough. */
export const FRAGMENT_FIRST = 1;
/** A fragment at an offset above 0. */
export const FRAGMENT_LATER = 2;
