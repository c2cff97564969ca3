/*
 * Sending a packet by its route without the kernel's forwarding (configuration: forwarding: redirect; or auto, while the
 * process says so, see redirect_until_ns). The kernel's own routing table says where to, asked for every packet or once a
 * jiffy, so a route, a device or a neighbour that is gone counts after that time at the latest. Whatever asks more of a
 * router than a lower TTL is left to the kernel.
 */
#ifndef PREFLEX_PREF_REDIRECT_H
#define PREFLEX_PREF_REDIRECT_H

#ifndef AF_INET
#define AF_INET 2
#define AF_INET6 10
#endif

/* RFC 1812 5.2.2 and 5.3.1: no options, a checksum that holds, a TTL that is left. */
static __always_inline int is_plain4(const struct packet *packet)
{
	__u32 second = bpf_ntohl(packet->second_word), third = bpf_ntohl(packet->third_word);
	__u32 src = packet->src[0], dst = packet->dst[0];
	__u32 sum = (packet->first_word >> 16) + (packet->first_word & 0xffff) + (second >> 16) + (second & 0xffff) +
		    (third >> 16) + (third & 0xffff) + (src >> 16) + (src & 0xffff) + (dst >> 16) + (dst & 0xffff);

	sum = (sum & 0xffff) + (sum >> 16);
	sum = (sum & 0xffff) + (sum >> 16);
	return packet->header_length == 20 && sum == 0xffff && third >> 24 > 1 && dst >> 24 != 0 && dst >> 24 != 127;
}

/* RFC 8200: a hop limit that is left, nothing that every router is to read; no address without a network. */
static __always_inline int is_plain6(const struct packet *packet)
{
	__u32 second = bpf_ntohl(packet->second_word);

	return (second & 0xff) > 1 && ((second >> 8) & 0xff) != PROTOCOL_HOP_BY_HOP &&
	       (packet->dst[0] | packet->dst[1] | packet->dst[2]) != 0;
}

static __always_inline void send_to(struct pref_step *step, const struct pref_next_hop *hop)
{
	step->next_hop.nh_family = hop->family;
	for (int i = 0; i < 4; i++)
		step->next_hop.ipv6_nh[i] = hop->address[i];
	step->out_ifindex = hop->ifindex;
}

/*
 * What the kernel's routing says of the packet, which leaves with that DSCP and is at most so long; hop has the table.
 * is_gateway: the next hop is another address than the packet's own. 0: leave the packet to the kernel.
 */
static __always_inline int ask_kernel(struct __sk_buff *skb, const struct packet *packet, __u32 dscp, __u32 longest,
				      struct pref_next_hop *hop, __u32 *is_gateway)
{
	struct bpf_fib_lookup fib = {};
	__u32 difference = 0;

	fib.tot_len = longest < 0xffff ? longest : 0xffff;
	fib.l4_protocol = packet->protocol;
	fib.sport = bpf_htons(packet->src_port);
	fib.dport = bpf_htons(packet->dst_port);
	fib.ifindex = skb->ifindex;
	fib.tbid = hop->table;
	if (packet->version == 4) {
		fib.family = AF_INET;
		fib.tos = dscp << 2;
		fib.ipv4_src = bpf_htonl(packet->src[0]);
		fib.ipv4_dst = bpf_htonl(packet->dst[0]);
	} else {
		fib.family = AF_INET6;
		fib.flowinfo = bpf_htonl(dscp << 22 | (packet->first_word & 0xfffff));
		for (int i = 0; i < 4; i++) {
			fib.ipv6_src[i] = bpf_htonl(packet->src[i]);
			fib.ipv6_dst[i] = bpf_htonl(packet->dst[i]);
		}
	}
	/* Without a neighbour that is known, the kernel asks for it. */
	if (bpf_fib_lookup(skb, &fib, sizeof(fib), BPF_FIB_LOOKUP_DIRECT | BPF_FIB_LOOKUP_TBID) ||
	    fib.ifindex == skb->ifindex)
		return 0;
	hop->family = fib.family;
	hop->ifindex = fib.ifindex;
	hop->mtu = fib.mtu_result;
	for (int i = 0; i < 4; i++) {
		hop->address[i] = fib.ipv6_dst[i];
		difference |= hop->address[i] ^ bpf_htonl(packet->dst[i]);
	}
	*is_gateway = difference != 0 || hop->family != (packet->version == 4 ? AF_INET : AF_INET6);
	return 1;
}

/*
 * Whether the program can send the packet by the route of that path ID, with that DSCP: fills in out_ifindex and
 * next_hop of the step. Other senders than the domain's are left to the kernel, which may have an rp_filter.
 *
 * A table of the gateway's own sends everything to one next hop, so what the kernel said of one packet holds for the
 * others, for the rest of the jiffy: 1/HZ, 1 to 10 ms. Each processor keeps its own, which nobody writes meanwhile
 * (pref-lookup.h). Tables of others may send every flow another way, by any of its fields.
 */
__noinline int find_next_hop(struct __sk_buff *skb, struct pref_step *step, __u32 path_id, __u32 dscp)
{
	const struct pref_settings *set = find_settings();
	struct pref_next_hop hop = {};
	__u32 is_gateway = 0;

	if (!step || !set)
		return 0;
	const struct packet *packet = &step->packet;
	__u32 table = set->redirect_table_of[path_id & 63];
	int is_plain = packet->version == 4 ? is_plain4(packet) : is_plain6(packet);
	/* bpf_redirect_neigh takes an Ethernet header off; padding would leave with the packet. */
	if (!table || !is_plain || packet->at != ETH_HLEN || skb->vlan_present || packet->length != packet->captured)
		return 0;
	/* Good to a few milliseconds, which is enough here. */
	if (bpf_ktime_get_coarse_ns() >= set->redirect_until_ns)
		return 0;
	look_up(step, 1);
	if (step->found_inside != INSIDE_DOMAIN)
		return 0;
	/* The longest packet that leaves: above the MTU of the route it is the kernel's business. */
	__u32 longest = wire_segments(skb, packet) == 1 ? packet->length : packet->payload_offset + skb->gso_size;
	__u32 index = (path_id & 63) << 1 | (packet->version == 6);
	struct pref_next_hop *kept = 0;
	if (set->has_own_table[path_id & 63])
		kept = bpf_map_lookup_elem(&next_hops, &index);
	hop.table = table;
	hop.at = bpf_jiffies64();
	if (kept && kept->at == hop.at && kept->table == table && longest <= kept->mtu) {
		send_to(step, kept);
		return 1;
	}
	if (!ask_kernel(skb, packet, dscp, longest, &hop, &is_gateway))
		return 0;
	send_to(step, &hop);
	/* Without a gateway each address is its own next hop. */
	if (kept && is_gateway)
		*kept = hop;
	return 1;
}

#endif
