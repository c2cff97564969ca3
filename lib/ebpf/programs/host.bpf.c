/*
 * The host of LEX in the kernel: the twin of lib/lex/lex-host.ts, on the egress and the ingress of one device.
 *
 *      lex_egress                                   lex_ingress
 *        parse, multicast, fragments                  parse
 *        find the flow, or make it                    find the flow; none is made for strangers
 *        send_segment | send_datagram                 receive_segment
 *        rewrite the DSCP                             take the assignment
 *        count                                        count
 *
 * Both let every packet pass. A flow is changed under the lock of its shard, because its two directions can run on two
 * processors. Idle flows are forgotten when their next packet comes, or when the table is full: the least recently used
 * ones make room.
 *
 * lex_egress_at and lex_ingress_at are the same with the time, and hints of an application, in the control buffer of
 * the packet, and with the reason as result: for BPF_PROG_TEST_RUN. They are loaded for tests only.
 */
#include <linux/bpf.h>
#include <bpf/bpf_endian.h>
#include <bpf/bpf_helpers.h>

#include "constants.h"
#include "packet.h"
#include "lex-rules.h"

/* Let the next program, and then the stack, have the packet: TCX_NEXT, and TC_ACT_UNSPEC of clsact. */
#define NEXT (-1)
#define LOCK_SHARDS 1024

/* As in lib/flow/flow-key.ts. */
struct flow_key {
	__u32 protocol_version;
	__u32 ports;
	__u32 local[4];
	__u32 remote[4];
};

struct lock_shard {
	struct bpf_spin_lock lock;
};

/* The path of a first fragment, for the later ones: lib/lex/fragment-memory.ts. */
struct fragment_entry {
	__u32 hash;
	/* Path ID + 1; 0 = never used. */
	__u32 path_plus_one;
	__s64 time_ns;
};

struct {
	__uint(type, BPF_MAP_TYPE_LRU_HASH);
	__uint(max_entries, 65536);
	__type(key, struct flow_key);
	__type(value, struct lex_flow);
} flows SEC(".maps");

struct {
	__uint(type, BPF_MAP_TYPE_ARRAY);
	__uint(max_entries, LOCK_SHARDS);
	__type(key, __u32);
	__type(value, struct lock_shard);
} locks SEC(".maps");

struct {
	__uint(type, BPF_MAP_TYPE_ARRAY);
	__uint(max_entries, FRAGMENT_ENTRIES);
	__type(key, __u32);
	__type(value, struct fragment_entry);
} fragments SEC(".maps");

struct {
	__uint(type, BPF_MAP_TYPE_PERCPU_ARRAY);
	__uint(max_entries, 1);
	__type(key, __u32);
	__type(value, struct lex_counters);
} counters SEC(".maps");

struct {
	__uint(type, BPF_MAP_TYPE_ARRAY);
	__uint(max_entries, 1);
	__type(key, __u32);
	__type(value, struct lex_settings);
} settings SEC(".maps");

static __always_inline void load_addresses(struct flow_key *key, const __u32 *local, const __u32 *remote)
{
	for (int i = 0; i < 4; i++) {
		key->local[i] = local[i];
		key->remote[i] = remote[i];
	}
}

static __always_inline void load_outbound_key(struct flow_key *key, const struct packet *packet)
{
	key->protocol_version = packet->protocol | (packet->version << 8);
	key->ports = (packet->src_port << 16) | packet->dst_port;
	load_addresses(key, packet->src, packet->dst);
}

static __always_inline void load_inbound_key(struct flow_key *key, const struct packet *packet)
{
	key->protocol_version = packet->protocol | (packet->version << 8);
	key->ports = (packet->dst_port << 16) | packet->src_port;
	load_addresses(key, packet->dst, packet->src);
}

static __always_inline struct lock_shard *find_lock(const struct flow_key *key)
{
	__u32 hash = key->ports * 0x9e3779b1;

	for (int i = 0; i < 4; i++)
		hash ^= key->remote[i] ^ (key->local[i] << 7);
	hash *= 0x85ebca6b;
	__u32 shard = (hash >> 16) & (LOCK_SHARDS - 1);
	return bpf_map_lookup_elem(&locks, &shard);
}

/* Whether the packet belongs to an address that this host serves: its own side of it. */
static __always_inline int is_served(const struct lex_settings *settings, __u32 version, const __u32 *own)
{
	if (settings->serves_all)
		return 1;
	if (version == 4)
		return settings->serves_ipv4 && own[0] == settings->ipv4_address;
	if (version != 6 || !settings->serves_ipv6)
		return 0;
	return own[0] == settings->ipv6_address[0] && own[1] == settings->ipv6_address[1] &&
	       own[2] == settings->ipv6_address[2] && own[3] == settings->ipv6_address[3];
}

static __always_inline int is_expired(const struct lex_flow *flow, __s64 now_ns, const struct lex_settings *settings)
{
	__u32 idle_class = flow->idle_class;

	return idle_class < 3 && now_ns - flow->last_seen_ns > settings->idle_limits_ns[idle_class];
}

static __always_inline __u32 reason_codepoint(__u32 reason)
{
	if (reason >= REASON_FNE_SYN && reason <= REASON_FNE_PEER_REPEATS)
		return CODEPOINT_FNE;
	if (reason == REASON_LEX_RETRANSMISSION || reason == REASON_LEX_APPLICATION)
		return CODEPOINT_LEX;
	if (reason >= REASON_LECT_DATA && reason <= REASON_LECT_MOVED)
		return CODEPOINT_LECT;
	return CODEPOINT_NOT_LECT;
}

static __always_inline __u32 encode_mark(const struct lex_settings *settings, __u32 codepoint, __u32 path)
{
	__u32 carried = path > settings->max_path_id ? 0 : path;

	return settings->encode_table[(codepoint | (carried << 2)) & 63];
}

static __always_inline __u32 hash_datagram(const struct packet *packet)
{
	__u32 hash = packet->identification ^ (packet->protocol << 24);
	int words = packet->version == 4 ? 1 : 4;

	for (int i = 0; i < 4; i++) {
		if (i >= words)
			break;
		hash = (hash ^ packet->src[i]) * 0x85ebca6b;
		hash ^= hash >> 15;
	}
	for (int i = 0; i < 4; i++) {
		if (i >= words)
			break;
		hash = (hash ^ packet->dst[i]) * 0x85ebca6b;
		hash ^= hash >> 15;
	}
	return hash;
}

static __always_inline void remember_fragment(const struct packet *packet, __u32 path, __s64 now_ns)
{
	__u32 hash = hash_datagram(packet);
	__u32 slot = hash & (FRAGMENT_ENTRIES - 1);
	struct fragment_entry *entry = bpf_map_lookup_elem(&fragments, &slot);

	if (!entry)
		return;
	entry->hash = hash;
	entry->path_plus_one = path + 1;
	entry->time_ns = now_ns;
}

/* Path ID + 1 of the datagram that a later fragment belongs to, 0 = unknown. */
static __always_inline __u32 recall_fragment(const struct packet *packet, __s64 now_ns)
{
	if (packet->protocol != PROTOCOL_UDP && packet->protocol != PROTOCOL_TCP)
		return 0;
	__u32 hash = hash_datagram(packet);
	__u32 slot = hash & (FRAGMENT_ENTRIES - 1);
	struct fragment_entry *entry = bpf_map_lookup_elem(&fragments, &slot);

	if (!entry || entry->hash != hash || now_ns - entry->time_ns > FRAGMENT_LIFETIME_NS)
		return 0;
	return entry->path_plus_one;
}

static __always_inline __u32 count_outbound(struct __sk_buff *skb, const struct packet *packet,
					    struct lex_counters *count, __u32 reason, __u32 path)
{
	__u32 codepoint = reason_codepoint(reason);
	__u32 segments = wire_segments(skb, packet);

	count->out_packets[reason & (REASON_SLOTS - 1)]++;
	count->codepoint_packets[codepoint & 3] += segments;
	count->codepoint_bytes[codepoint & 3] += wire_bytes(packet, segments);
	if (codepoint != CODEPOINT_NOT_LECT)
		count->path_packets[path & (PATH_IDS - 1)] += segments;
	return reason;
}

/* A packet that cannot be tracked keeps its DSCP, but a later fragment follows its first. */
static __always_inline __u32 pass_outbound(struct __sk_buff *skb, const struct packet *packet, __u32 code,
					   __s64 now_ns, const struct lex_settings *set, struct lex_counters *count)
{
	if (code == PARSE_LATER_FRAGMENT) {
		__u32 path = recall_fragment(packet, now_ns);

		if (path) {
			write_dscp(skb, packet, encode_mark(set, CODEPOINT_LECT, path - 1));
			return count_outbound(skb, packet, count, REASON_LECT_FRAGMENT, path - 1);
		}
	}
	return count_outbound(skb, packet, count, code, 0);
}

/* The record of the flow, made where there is none. */
static __always_inline struct lex_flow *find_or_make(const struct flow_key *key, struct lex_counters *count)
{
	struct lex_flow *flow = bpf_map_lookup_elem(&flows, key);

	if (flow)
		return flow;
	struct lex_flow fresh = {};
	/* Another processor may have made it by now, which is as good. */
	bpf_map_update_elem(&flows, key, &fresh, BPF_NOEXIST);
	flow = bpf_map_lookup_elem(&flows, key);
	if (flow)
		count->flows_made++;
	else
		count->flows_refused++;
	return flow;
}

/* The reason of the verdict; 0 for a packet that is none of this host's. */
static __always_inline __u32 handle_outbound(struct __sk_buff *skb, __s64 now_ns, __u32 hints)
{
	__u32 zero = 0;
	struct lex_settings *set = bpf_map_lookup_elem(&settings, &zero);
	struct lex_counters *count = bpf_map_lookup_elem(&counters, &zero);
	struct packet packet = {};
	struct flow_key key = {};

	if (!set || !count)
		return 0;
	packet.at = set->link_header_bytes;
	__u32 code = parse_packet(skb, &packet);
	if (!is_served(set, packet.version, packet.src))
		return 0;
	if (code != PARSE_OK)
		return pass_outbound(skb, &packet, code, now_ns, set, count);
	if (is_multicast_or_broadcast(&packet))
		return count_outbound(skb, &packet, count, REASON_MULTICAST, 0);

	load_outbound_key(&key, &packet);
	struct lock_shard *shard = find_lock(&key);
	struct lex_flow *flow = find_or_make(&key, count);
	if (!shard || !flow)
		return 0;

	bpf_spin_lock(&shard->lock);
	int is_first = !has_flag(flow, FLAG_KNOWN);
	if (!is_first && is_expired(flow, now_ns, set)) {
		is_first = 1;
		count->flows_expired++;
	}
	if (hints & HINT_NEW_FLOWLET)
		flow->flags |= FLAG_FLOWLET_DUE;
	__u32 reason;
	if (packet.protocol == PROTOCOL_TCP)
		reason = send_segment(flow, &packet, is_first, now_ns, set, count);
	else
		reason = send_datagram(flow, &packet, is_first, hints & HINT_RETRANSMISSION, now_ns, set, count);
	__u32 codepoint = reason_codepoint(reason);
	__u32 path = note_sent(flow, codepoint, now_ns, set);
	bpf_spin_unlock(&shard->lock);

	if (packet.fragment == FRAGMENT_FIRST)
		remember_fragment(&packet, path, now_ns);
	write_dscp(skb, &packet, encode_mark(set, codepoint, path));
	return count_outbound(skb, &packet, count, reason, path);
}

/* The reason, and in bits 8..15 the path ID that was assigned and taken; 0 for a packet that is none of this host's. */
static __always_inline __u32 handle_inbound(struct __sk_buff *skb, __s64 now_ns)
{
	__u32 zero = 0;
	struct lex_settings *set = bpf_map_lookup_elem(&settings, &zero);
	struct lex_counters *count = bpf_map_lookup_elem(&counters, &zero);
	struct packet packet = {};
	struct flow_key key = {};

	if (!set || !count)
		return 0;
	packet.at = set->link_header_bytes;
	__u32 reason = parse_packet(skb, &packet);
	if (!is_served(set, packet.version, packet.dst))
		return 0;
	if (reason != PARSE_OK) {
		count->in_packets[reason & (REASON_SLOTS - 1)]++;
		return reason;
	}
	__u32 mark = set->decode_table[packet.dscp & 63];
	__u32 assigned = (mark & 3) == set->assignment_codepoint ? mark >> 2 : 0;
	int is_sack = 0;
	if (packet.protocol == PROTOCOL_TCP && packet.payload_length > 0) {
		__u32 options = packet.header_length + 20;

		if (packet.payload_offset > options)
			is_sack = has_sack_blocks(skb, packet.at + options, packet.payload_offset - options);
	}

	load_inbound_key(&key, &packet);
	struct lock_shard *shard = find_lock(&key);
	struct lex_flow *flow = bpf_map_lookup_elem(&flows, &key);
	reason = assigned ? REASON_IN_REJECTED_ASSIGNMENT : REASON_IN_UNKNOWN_FLOW;
	__u32 taken = 0;
	if (shard && flow) {
		bpf_spin_lock(&shard->lock);
		if (has_flag(flow, FLAG_KNOWN) && !is_expired(flow, now_ns, set)) {
			flow->last_seen_ns = now_ns;
			flow->flags |= FLAG_HEARD;
			if (packet.protocol == PROTOCOL_TCP)
				receive_segment(flow, &packet, is_sack, now_ns, count);
			reason = receive_mark(flow, mark, assigned, now_ns, set, count);
			taken = assigned;
		}
		bpf_spin_unlock(&shard->lock);
	}
	count->in_packets[reason & (REASON_SLOTS - 1)]++;
	return reason | taken << 8;
}

SEC("tc")
int lex_egress(struct __sk_buff *skb)
{
	handle_outbound(skb, bpf_ktime_get_ns(), 0);
	return NEXT;
}

SEC("tc")
int lex_ingress(struct __sk_buff *skb)
{
	handle_inbound(skb, bpf_ktime_get_ns());
	return NEXT;
}

/* cb[0], cb[1]: the time in ns, lower half first; cb[2]: hints. */
static __always_inline __s64 test_clock(const struct __sk_buff *skb)
{
	return (__s64)((__u64)skb->cb[1] << 32 | skb->cb[0]);
}

SEC("tc")
int lex_egress_at(struct __sk_buff *skb)
{
	return handle_outbound(skb, test_clock(skb), skb->cb[2]);
}

SEC("tc")
int lex_ingress_at(struct __sk_buff *skb)
{
	return handle_inbound(skb, test_clock(skb));
}

/* No helper here is kept for GPL-compatible programs. */
char LICENSE[] SEC("license") = "MIT";
