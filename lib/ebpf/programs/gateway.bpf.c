/*
 * The gateway of PREF in the kernel: the twin of lib/pref, on the ingress of the device toward the inside and of each
 * route's device.
 *
 *      inside device --> pref_outbound                  route's device --> pref_inbound
 *                          parse                                            parse
 *                          choose a route                                   clear a foreign path ID
 *                          clear the path ID                                assign a route
 *                          path ID into skb->mark                           count
 *                          count
 *           --> ip rule fwmark PATH-ID lookup TABLE --> route's device      --> main table --> inside device
 *
 * Both let every packet pass, and the kernel routes it: with mark 0, which is what there is without programs, by its
 * main table. Ratios, failures and tables are the process's business.
 *
 * pref_outbound_at and pref_inbound_at are the same for BPF_PROG_TEST_RUN: the time and the index of the device come in
 * the control buffer, no packet is left out, and the result is the reason and the path ID. They are loaded for tests
 * only.
 */
#include <linux/bpf.h>
#include <linux/if_ether.h>
#include <linux/if_packet.h>
#include <bpf/bpf_endian.h>
#include <bpf/bpf_helpers.h>

#include "constants.h"
#include "packet.h"
#include "gateway-maps.h"
#include "pref-choice.h"
#include "pref-memory.h"

/* Let the next program, and then the stack, have the packet: TCX_NEXT, and TC_ACT_UNSPEC of clsact. */
#define NEXT (-1)

_Static_assert(IN_ASSIGNED_PLACED < PREF_REASON_SLOTS, "every reason has a counter");
_Static_assert(EVENT_FNE_ANSWER < PREF_EVENT_SLOTS, "every event has a counter");

/* Bytes of IP packets on the wire; lib/wire/wire-bytes.ts. Padding behind a packet does not count. */
static __always_inline __u32 packet_bytes(const struct __sk_buff *skb, const struct packet *packet)
{
	__u32 segments = wire_segments(skb, packet);

	return segments == 1 ? packet->length : segments * packet->payload_offset + packet->payload_length;
}

/* The longest prefix of the destination address, of the source address where is_source; whether there is one. */
__noinline int find_destination(struct pref_step *step, __u32 is_source)
{
	const __u32 *found;

	if (!step)
		return 0;
	const struct packet *packet = &step->packet;
	if (packet->version == 4) {
		struct prefix4 key = { .length = 32 };

		key.address = bpf_htonl(is_source ? packet->src[0] : packet->dst[0]);
		found = bpf_map_lookup_elem(&prefixes4, &key);
	} else {
		struct prefix6 key = { .length = 128 };

		for (int i = 0; i < 4; i++)
			key.address[i] = bpf_htonl(is_source ? packet->src[i] : packet->dst[i]);
		found = bpf_map_lookup_elem(&prefixes6, &key);
	}
	if (!found)
		return 0;
	step->destination = *found;
	return 1;
}

#include "pref-outbound.h"
#include "pref-inbound.h"

/* INSIDE_DOMAIN, INSIDE_GATEWAY, or 0 for an address outside: of the destination. */
__noinline int find_inside(struct pref_step *step)
{
	const __u32 *found;

	if (!step)
		return 0;
	const struct packet *packet = &step->packet;
	if (packet->version == 4) {
		struct prefix4 key = { .length = 32, .address = bpf_htonl(packet->dst[0]) };

		found = bpf_map_lookup_elem(&inside4, &key);
	} else {
		struct prefix6 key = { .length = 128 };

		for (int i = 0; i < 4; i++)
			key.address[i] = bpf_htonl(packet->dst[i]);
		found = bpf_map_lookup_elem(&inside6, &key);
	}
	return found ? *found : 0;
}

/* Whether the frame is for this machine, and holds an IP packet to be forwarded. */
static __always_inline int is_for_router(const struct __sk_buff *skb)
{
	return skb->pkt_type == PACKET_HOST &&
	       (skb->protocol == bpf_htons(ETH_P_IP) || skb->protocol == bpf_htons(ETH_P_IPV6));
}

static __always_inline void write_mark(struct __sk_buff *skb, const struct pref_settings *set, __u32 path_id)
{
	skb->mark = (skb->mark & ~set->mark_mask) | (path_id << (set->mark_shift & 31) & set->mark_mask);
}

/*
 * ifindex: of the device. is_test: no packet is left out.
 * The reason, and in bits 8..15 the path ID; -1 for a packet that is left alone.
 */
static __always_inline int outbound(struct __sk_buff *skb, __s64 now_ns, __u32 ifindex, int is_test)
{
	const struct pref_settings *set = find_settings();
	const struct pref_device *device = bpf_map_lookup_elem(&devices, &ifindex);
	__u32 zero = 0;
	struct pref_counters *count = bpf_map_lookup_elem(&counters, &zero);
	struct pref_step step = { .now_ns = now_ns };

	if (!set || !device || !count || !device->is_inside)
		return -1;
	step.packet.at = device->link_header_bytes;
	__u32 code = parse_packet(skb, &step.packet);
	if (!is_test && step.packet.version && (is_multicast_or_broadcast(&step.packet) || find_inside(&step)))
		return -1;
	__u32 path_id = handle_outbound(skb, &step, code, set, count);
	write_mark(skb, set, path_id);
	return step.reason | path_id << 8;
}

static __always_inline int inbound(struct __sk_buff *skb, __s64 now_ns, __u32 ifindex, int is_test)
{
	const struct pref_settings *set = find_settings();
	const struct pref_device *device = bpf_map_lookup_elem(&devices, &ifindex);
	__u32 zero = 0;
	struct pref_counters *count = bpf_map_lookup_elem(&counters, &zero);
	struct pref_step step = { .now_ns = now_ns };

	if (!set || !device || !count || device->is_inside)
		return -1;
	step.packet.at = device->link_header_bytes;
	__u32 code = parse_packet(skb, &step.packet);
	if (!is_test && find_inside(&step) != INSIDE_DOMAIN)
		return -1;
	__u32 path_id = handle_inbound(skb, &step, code, device->path_id, set, count);
	return step.reason | path_id << 8;
}

SEC("tc")
int pref_outbound(struct __sk_buff *skb)
{
	if (is_for_router(skb))
		outbound(skb, bpf_ktime_get_ns(), skb->ifindex, 0);
	return NEXT;
}

SEC("tc")
int pref_inbound(struct __sk_buff *skb)
{
	if (is_for_router(skb))
		inbound(skb, bpf_ktime_get_ns(), skb->ifindex, 0);
	return NEXT;
}

/* cb[0], cb[1]: the time in ns, lower half first; cb[2]: index of the device. */
static __always_inline __s64 test_clock(const struct __sk_buff *skb)
{
	return (__s64)((__u64)skb->cb[1] << 32 | skb->cb[0]);
}

SEC("tc")
int pref_outbound_at(struct __sk_buff *skb)
{
	return outbound(skb, test_clock(skb), skb->cb[2], 1);
}

SEC("tc")
int pref_inbound_at(struct __sk_buff *skb)
{
	return inbound(skb, test_clock(skb), skb->cb[2], 1);
}

/* No helper here is kept for GPL-compatible programs. */
char LICENSE[] SEC("license") = "MIT";
