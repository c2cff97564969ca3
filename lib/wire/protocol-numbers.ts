/**
 * The IANA protocol numbers that the wire code tells apart. What a number means for marking is not decided here.
 *
 * @see https://www.iana.org/assignments/protocol-numbers
 */

/** IPv6 hop-by-hop options, an extension header. @see RFC 8200 section 4.3 */
export const PROTOCOL_HOP_BY_HOP = 0;
/** Internet Control Message Protocol for IPv4. @see RFC 792 */
export const PROTOCOL_ICMP = 1;
/** Transmission Control Protocol. @see RFC 9293 */
export const PROTOCOL_TCP = 6;
/** User Datagram Protocol. @see RFC 768 */
export const PROTOCOL_UDP = 17;
/** IPv6 routing header, an extension header. @see RFC 8200 section 4.4 */
export const PROTOCOL_ROUTING = 43;
/** IPv6 fragment header, an extension header. @see RFC 8200 section 4.5 */
export const PROTOCOL_FRAGMENT = 44;
/** Encapsulating Security Payload: everything behind it is encrypted. @see RFC 4303 */
export const PROTOCOL_ESP = 50;
/** Authentication Header; walked as an extension header in IPv6. @see RFC 4302 */
export const PROTOCOL_AUTHENTICATION = 51;
/** Internet Control Message Protocol for IPv6. @see RFC 4443 */
export const PROTOCOL_ICMPV6 = 58;
/** IPv6 "no next header". @see RFC 8200 section 4.7 */
export const PROTOCOL_NO_NEXT_HEADER = 59;
/** IPv6 destination options, an extension header. @see RFC 8200 section 4.6 */
export const PROTOCOL_DESTINATION_OPTIONS = 60;
