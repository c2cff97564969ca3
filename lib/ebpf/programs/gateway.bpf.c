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
 *           or, where it may, straight to the route's device
 *
 * Both let every packet pass, and the kernel routes it: with mark 0, which is what there is without programs, by its
 * main table. What pref-redirect.h can send goes without the kernel's forwarding, if the configuration says so. Ratios,
 * failures and tables are the process's business.
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
#include "pref-lookup.h"
#include "pref-memory.h"
#include "pref-evidence.h"

/* Let the next program, and then the stack, have the packet: TCX_NEXT, and TC_ACT_UNSPEC of clsact. */
#define NEXT (-1)
/* Of a VLAN tag; 0: a priority alone. */
#define VLAN_ID_MASK 0x0fff

_Static_assert(IN_ASSIGNED_PLACED < PREF_REASON_SLOTS, "every reason has a counter");
_Static_assert(EVENT_FNE_ANSWER < PREF_EVENT_SLOTS, "every event has a counter");

/* Bytes of IP packets on the wire; lib/wire/wire-bytes.ts. Padding behind a packet does not count. */
static __always_inline __u32 packet_bytes(const struct __sk_buff *skb, const struct packet *packet)
{
	__u32 segments = wire_segments(skb, packet);

	return segments == 1 ? packet->length : segments * packet->payload_offset + packet->payload_length;
}

#include "pref-redirect.h"
#include "pref-outbound.h"
#include "pref-inbound.h"

/*
 * Whether the frame is for this device, and holds an IP packet to be forwarded. With the number of a VLAN it is for the
 * VLAN's own device, where it comes by again: a program there would meet what this one has made of it.
 */
static __always_inline int is_for_router(const struct __sk_buff *skb)
{
	if (skb->vlan_present && (skb->vlan_tci & VLAN_ID_MASK))
		return 0;
	return skb->pkt_type == PACKET_HOST &&
	       (skb->protocol == bpf_htons(ETH_P_IP) || skb->protocol == bpf_htons(ETH_P_IPV6));
}

static __always_inline void write_mark(struct __sk_buff *skb, const struct pref_settings *set, __u32 path_id)
{
	skb->mark = (skb->mark & ~set->mark_mask) | (path_id << (set->mark_shift & 31) & set->mark_mask);
}

/*
 * now_ns: 0 for now. ifindex: of the device. is_test: no packet is left out, and none is sent from here.
 * The reason, and in bits 8..15 the path ID; -1 for a packet that is left alone.
 */
static __always_inline int outbound(struct __sk_buff *skb, struct pref_step *step, __u32 ifindex, int is_test)
{
	__u32 zero = 0;
	const struct pref_settings *set = find_settings();
	const struct pref_inside_device *device = bpf_map_lookup_elem(&inside_device, &zero);
	struct pref_counters *count = bpf_map_lookup_elem(&counters, &zero);

	if (!set || !device || !count || device->ifindex != ifindex)
		return -1;
	step->packet.at = device->link_header_bytes;
	__u32 code = parse_packet(skb, &step->packet);
	int has_destination = look_up(step, 0);
	if (!is_test && step->packet.version && (is_multicast_or_broadcast(&step->packet) || step->found_inside))
		return -1;
	step->destination = step->found_destination;
	__u32 path_id = handle_outbound(skb, step, code, has_destination, !is_test, set, count);
	write_mark(skb, set, path_id);
	return step->reason | path_id << 8;
}

static __always_inline int inbound(struct __sk_buff *skb, struct pref_step *step, __u32 ifindex, int is_test)
{
	const struct pref_settings *set = find_settings();
	const struct pref_device *device = bpf_map_lookup_elem(&devices, &ifindex);
	__u32 zero = 0;
	struct pref_counters *count = bpf_map_lookup_elem(&counters, &zero);

	if (!set || !device || !count)
		return -1;
	step->packet.at = device->link_header_bytes;
	__u32 code = parse_packet(skb, &step->packet);
	if (!is_test) {
		look_up(step, 0);
		if (step->found_inside != INSIDE_DOMAIN)
			return -1;
	}
	__u32 path_id = handle_inbound(skb, step, code, device->path_id, set, count);
	return step->reason | path_id << 8;
}

SEC("tc")
int pref_outbound(struct __sk_buff *skb)
{
	struct pref_step step = {};

	if (!is_for_router(skb))
		return NEXT;
	outbound(skb, &step, skb->ifindex, 0);
	if (!step.out_ifindex)
		return NEXT;
	return bpf_redirect_neigh(step.out_ifindex, &step.next_hop, sizeof(step.next_hop), 0);
}

SEC("tc")
int pref_inbound(struct __sk_buff *skb)
{
	struct pref_step step = {};

	if (is_for_router(skb))
		inbound(skb, &step, skb->ifindex, 0);
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
	struct pref_step step = { .now_ns = test_clock(skb) };

	return outbound(skb, &step, skb->cb[2], 1);
}

SEC("tc")
int pref_inbound_at(struct __sk_buff *skb)
{
	struct pref_step step = { .now_ns = test_clock(skb) };

	return inbound(skb, &step, skb->cb[2], 1);
}

/*
 * bpf_fib_lookup is kept for programs that say they are GPL-compatible. The MIT license of these sources is: who wants
 * may take them under the GPL.
 */
char LICENSE[] SEC("license") = "Dual MIT/GPL";
