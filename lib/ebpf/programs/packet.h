/*
 * Reading a packet in the kernel: the twin of lib/wire/packet-view.ts. The same bytes end in the same PARSE_* code and
 * the same fields.
 *
 * Everything is copied out with bpf_skb_load_bytes: headers may lie outside the linear part of a packet that came from
 * a network card, and offsets behind options and extension headers need no proof for the verifier that way.
 */
#ifndef PREFLEX_PACKET_H
#define PREFLEX_PACKET_H

/* An IPv6 header, or an IPv4 and a TCP header without options. */
#define HEAD_BYTES 40

/* What one packet says. Words of addresses are in host order, as in lib/flow/flow-key.ts. */
struct packet {
	/* Offset of the IP header in the packet buffer: set by the caller. */
	__u32 at;
	/* Bytes from there to the end of the buffer. */
	__u32 captured;
	__u32 version;
	__u32 length;
	__u32 header_length;
	__u32 protocol;
	__u32 fragment;
	__u32 identification;
	__u32 dscp;
	/* The first 32 bits of the header; the word behind them as it is there, and of IPv4 the one with the checksum. */
	__u32 first_word;
	__be32 second_word;
	__be32 third_word;
	__u32 src[4];
	__u32 dst[4];
	__u32 src_port;
	__u32 dst_port;
	/* Bytes of all headers, and of the transport's payload. */
	__u32 payload_offset;
	__u32 payload_length;
	__u32 seq;
	__u32 ack;
	__u32 tcp_flags;
	__u32 window;
};

/* seqBefore in lib/wire/seq.ts: also for numbers 2^31 apart, which damaged packets have. */
static __always_inline int seq_before(__u32 a, __u32 b)
{
	return (__s32)(a - b) < 0;
}

/* A whole packet too short for its transport header lies; a first fragment may well be that short. */
static __always_inline int too_short(const struct packet *packet)
{
	return packet->fragment == FRAGMENT_NONE ? PARSE_BAD_HEADER : PARSE_NO_PORTS;
}

static __always_inline int parse_tcp(struct __sk_buff *skb, struct packet *packet, __u32 available,
				     const __be32 *loaded)
{
	__be32 words[5];

	if (available < 20)
		return too_short(packet);
	if (loaded)
		__builtin_memcpy(words, loaded, sizeof(words));
	else if (bpf_skb_load_bytes(skb, packet->at + packet->header_length, words, sizeof(words)))
		return PARSE_TRUNCATED;
	__u32 offset_and_flags = bpf_ntohl(words[3]);
	__u32 header_length = (offset_and_flags >> 26) & 0x3c;
	if (header_length < 20)
		return PARSE_BAD_HEADER;
	if (header_length > available)
		return too_short(packet);
	__u32 ports = bpf_ntohl(words[0]);
	packet->src_port = ports >> 16;
	packet->dst_port = ports & 0xffff;
	packet->payload_offset = packet->header_length + header_length;
	packet->payload_length = available - header_length;
	packet->seq = bpf_ntohl(words[1]);
	packet->ack = bpf_ntohl(words[2]);
	packet->tcp_flags = (offset_and_flags >> 16) & 0xff;
	packet->window = offset_and_flags & 0xffff;
	return PARSE_OK;
}

static __always_inline int parse_udp(struct __sk_buff *skb, struct packet *packet, __u32 available,
				     const __be32 *loaded)
{
	__be32 words[2];

	if (available < 8)
		return too_short(packet);
	if (loaded)
		__builtin_memcpy(words, loaded, sizeof(words));
	else if (bpf_skb_load_bytes(skb, packet->at + packet->header_length, words, sizeof(words)))
		return PARSE_TRUNCATED;
	__u32 length = bpf_ntohl(words[1]) >> 16;
	if (length < 8)
		return PARSE_BAD_HEADER;
	/* The length of a fragmented datagram counts all of its fragments. */
	if (length > available && packet->fragment == FRAGMENT_NONE)
		return PARSE_BAD_HEADER;
	__u32 ports = bpf_ntohl(words[0]);
	packet->src_port = ports >> 16;
	packet->dst_port = ports & 0xffff;
	packet->payload_offset = packet->header_length + 8;
	packet->payload_length = (length < available ? length : available) - 8;
	return PARSE_OK;
}

/* loaded: the first five words of the transport header, where they have been read already. */
static __always_inline int parse_transport(struct __sk_buff *skb, struct packet *packet, const __be32 *loaded)
{
	__u32 available = packet->length - packet->header_length;

	if (packet->protocol == PROTOCOL_TCP)
		return parse_tcp(skb, packet, available, loaded);
	if (packet->protocol == PROTOCOL_UDP)
		return parse_udp(skb, packet, available, loaded);
	return PARSE_NO_PORTS;
}

static __always_inline int parse_ipv4(struct __sk_buff *skb, struct packet *packet, const __be32 *words)
{
	__u32 first = packet->first_word;
	__u32 header_length = (first >> 22) & 0x3c;
	__u32 total = first & 0xffff;

	packet->version = 4;
	packet->src[0] = bpf_ntohl(words[3]);
	packet->dst[0] = bpf_ntohl(words[4]);
	if (header_length < 20 || total < header_length)
		return PARSE_BAD_HEADER;
	if (total > packet->captured)
		return PARSE_TRUNCATED;
	__u32 second = bpf_ntohl(words[1]);
	__u32 third = bpf_ntohl(words[2]);
	packet->header_length = header_length;
	packet->dscp = (first >> 18) & 0x3f;
	packet->length = total;
	packet->protocol = (third >> 16) & 0xff;
	packet->second_word = words[1];
	packet->third_word = words[2];
	packet->identification = second >> 16;
	if (second & 0x1fff) {
		packet->fragment = FRAGMENT_LATER;
		return PARSE_LATER_FRAGMENT;
	}
	if (second & 0x2000)
		packet->fragment = FRAGMENT_FIRST;
	if (header_length == 20 && packet->captured >= HEAD_BYTES)
		return parse_transport(skb, packet, words + 5);
	return parse_transport(skb, packet, 0);
}

static __always_inline int is_extension_header(__u32 protocol)
{
	return protocol == PROTOCOL_HOP_BY_HOP || protocol == PROTOCOL_ROUTING || protocol == PROTOCOL_FRAGMENT ||
	       protocol == PROTOCOL_DESTINATION_OPTIONS || protocol == PROTOCOL_AUTHENTICATION;
}

/* From the fixed header to the transport; see walkExtensionHeaders in lib/wire/ipv6.ts. */
static __always_inline int walk_extension_headers(struct __sk_buff *skb, struct packet *packet)
{
	__u32 protocol = packet->protocol;
	__u32 next = 40;
	__u32 has_identification = 0;
	int code = PARSE_OK;

	for (int walked = 0; walked < MAX_EXTENSION_HEADERS; walked++) {
		__be32 words[2];

		if (!is_extension_header(protocol))
			break;
		/* A first fragment may be cut inside the chain, against RFC 7112; only a whole packet lies by that. */
		code = too_short(packet);
		if (next + 8 > packet->length || bpf_skb_load_bytes(skb, packet->at + next, words, sizeof(words)))
			break;
		__u32 word = bpf_ntohl(words[0]);
		if (protocol == PROTOCOL_FRAGMENT) {
			if (!has_identification)
				packet->identification = bpf_ntohl(words[1]);
			has_identification = 1;
			protocol = word >> 24;
			next += 8;
			if (word & 0xfff8) {
				packet->fragment = FRAGMENT_LATER;
				code = PARSE_LATER_FRAGMENT;
				break;
			}
			if (word & 1)
				packet->fragment = FRAGMENT_FIRST;
		} else {
			__u32 units = (word >> 16) & 0xff;
			__u32 length = protocol == PROTOCOL_AUTHENTICATION ? (units + 2) << 2 : (units + 1) << 3;

			if (next + length > packet->length)
				break;
			protocol = word >> 24;
			next += length;
		}
		code = is_extension_header(protocol) ? PARSE_NO_PORTS : PARSE_OK;
	}
	packet->protocol = protocol;
	packet->header_length = next;
	return code;
}

static __always_inline int parse_ipv6(struct __sk_buff *skb, struct packet *packet, const __be32 *words)
{
	packet->version = 6;
	for (int i = 0; i < 4; i++) {
		packet->src[i] = bpf_ntohl(words[2 + i]);
		packet->dst[i] = bpf_ntohl(words[6 + i]);
	}
	__u32 second = bpf_ntohl(words[1]);
	packet->second_word = words[1];
	packet->dscp = (packet->first_word >> 22) & 0x3f;
	packet->length = 40 + (second >> 16);
	if (packet->length > packet->captured)
		return PARSE_TRUNCATED;
	packet->protocol = (second >> 8) & 0xff;
	int code = walk_extension_headers(skb, packet);
	return code == PARSE_OK ? parse_transport(skb, packet, 0) : code;
}

/*
 * Parses the packet whose IP header starts at packet->at; the other fields must be zero. A function of its own for the
 * verifier too: it is checked once, whatever its callers do.
 */
__noinline int parse_packet(struct __sk_buff *skb, struct packet *packet)
{
	__be32 words[HEAD_BYTES / 4] = {};

	if (!packet || skb->len <= packet->at)
		return PARSE_NOT_IP;
	packet->captured = skb->len - packet->at;
	if (packet->captured < 20) {
		__u8 first = 0;

		if (bpf_skb_load_bytes(skb, packet->at, &first, 1))
			return PARSE_NOT_IP;
		return first >> 4 == 4 || first >> 4 == 6 ? PARSE_TRUNCATED : PARSE_NOT_IP;
	}
	/* All that most packets need in one call, which costs as much as what it copies. */
	if (packet->captured >= HEAD_BYTES) {
		if (bpf_skb_load_bytes(skb, packet->at, words, HEAD_BYTES))
			return PARSE_NOT_IP;
	} else if (bpf_skb_load_bytes(skb, packet->at, words, 20)) {
		return PARSE_NOT_IP;
	}
	packet->first_word = bpf_ntohl(words[0]);
	if (packet->first_word >> 28 == 4)
		return parse_ipv4(skb, packet, words);
	if (packet->first_word >> 28 != 6)
		return PARSE_NOT_IP;
	if (packet->captured < HEAD_BYTES)
		return PARSE_TRUNCATED;
	return parse_ipv6(skb, packet, words);
}

#define MAX_TCP_OPTION_BYTES 40

/*
 * Whether a TCP segment has a SACK option with blocks; see parseTcpOptions in lib/wire/packet-view.ts. Read byte by
 * byte where they lie: to the verifier every step then looks like the one before.
 */
__noinline int has_sack_blocks(struct __sk_buff *skb, __u32 at, __u32 length)
{
	__u32 end = at + length;

	for (int steps = 0; steps < MAX_TCP_OPTION_BYTES; steps++) {
		__u8 kind, size;

		if (at >= end || bpf_skb_load_bytes(skb, at, &kind, 1) || kind == 0)
			return 0;
		if (kind == 1) {
			at++;
			continue;
		}
		if (at + 2 > end || bpf_skb_load_bytes(skb, at + 1, &size, 1) || size < 2 || at + size > end)
			return 0;
		if (kind == 5 && size >= 10 && ((size - 2) & 7) == 0)
			return 1;
		at += size;
	}
	return 0;
}

/* The destination is a group or everybody: see isMulticastOrBroadcastDst in lib/wire/ip.ts. */
static __always_inline int is_multicast_or_broadcast(const struct packet *packet)
{
	if (packet->version == 4)
		return packet->dst[0] >> 28 == 0xe || packet->dst[0] == 0xffffffff;
	return packet->dst[0] >> 24 == 0xff;
}

/* HC' = ~(~HC + ~m + m'), RFC 1624 equation 3. */
static __always_inline __u32 incremental_checksum(__u32 checksum, __u32 old_word, __u32 new_word)
{
	__u32 sum = (~checksum & 0xffff) + (~old_word & 0xffff) + new_word;

	sum = (sum & 0xffff) + (sum >> 16);
	sum = (sum & 0xffff) + (sum >> 16);
	return ~sum & 0xffff;
}

/*
 * Writes the DSCP, the ECN bits stay, and takes hops, 0 or 1, from the time to live, which has that many. A DSCP above 63,
 * DSCP_UNCHANGED among it, leaves the packet untouched.
 */
static __always_inline void write_header(struct __sk_buff *skb, const struct packet *packet, __u32 dscp, __u32 hops)
{
	__u32 old_word = packet->first_word >> 16;

	if (dscp > 63)
		return;
	if (packet->version == 4) {
		__u32 new_word = (old_word & 0xff03) | (dscp << 2);
		__u32 third = bpf_ntohl(packet->third_word);
		__u32 life = third >> 16;
		__u32 checksum = incremental_checksum(third & 0xffff, old_word, new_word);

		if (new_word == old_word && !hops)
			return;
		if (hops)
			checksum = incremental_checksum(checksum, life, life - (hops << 8));
		__be32 words[3] = {
			bpf_htonl(new_word << 16 | (packet->first_word & 0xffff)),
			packet->second_word,
			bpf_htonl((life - (hops << 8)) << 16 | checksum),
		};

		/* The sum of all words stays the same, so nothing is to be recomputed. */
		bpf_skb_store_bytes(skb, packet->at, words, sizeof(words), 0);
	} else {
		__u32 new_word = (old_word & 0xf03f) | (dscp << 6);

		if (hops) {
			__be32 words[2] = {
				bpf_htonl(new_word << 16 | (packet->first_word & 0xffff)),
				bpf_htonl(bpf_ntohl(packet->second_word) - hops),
			};

			bpf_skb_store_bytes(skb, packet->at, words, sizeof(words), BPF_F_RECOMPUTE_CSUM);
		} else if (new_word != old_word) {
			__be16 word = bpf_htons(new_word);

			bpf_skb_store_bytes(skb, packet->at, &word, 2, BPF_F_RECOMPUTE_CSUM);
		}
	}
}

static __always_inline void write_dscp(struct __sk_buff *skb, const struct packet *packet, __u32 dscp)
{
	write_header(skb, packet, dscp, 0);
}

/* Bytes of IP packets that a GSO super-packet becomes on the wire, and how many; lib/wire/wire-bytes.ts. */
static __always_inline __u32 wire_segments(const struct __sk_buff *skb, const struct packet *packet)
{
	__u32 size = skb->gso_size;

	if (size == 0 || packet->payload_length <= size)
		return 1;
	return (packet->payload_length + size - 1) / size;
}

static __always_inline __u32 wire_bytes(const struct packet *packet, __u32 segments)
{
	if (segments == 1)
		return packet->captured;
	return segments * packet->payload_offset + packet->payload_length;
}

#endif
