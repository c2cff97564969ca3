/*
 * A packet from a host inside to the outside: the twin of lib/pref/outbound.ts, function by function under the same
 * names, which say what each is for. A change there is a change here; "preflex ebpf verify" holds the two together.
 * There is no NAT here, and evidence about routes is reported instead of judged.
 */
#ifndef PREFLEX_PREF_OUTBOUND_H
#define PREFLEX_PREF_OUTBOUND_H

/* Fragments are hashed without ports: only the first has them, and all should go one way. */
static __always_inline void hash_outbound(struct pref_step *step)
{
	hash_flow(step, 0, step->has_ports && step->packet.fragment == FRAGMENT_NONE);
}

static __always_inline int route_around_suspended(struct pref_step *step, __u32 slot)
{
	hash_outbound(step);
	if (is_probe(step, slot)) {
		step->reason = OUT_PATH_ID;
		return slot;
	}
	step->reason = OUT_SUSPENDED_PATH_ID;
	__u32 meta = find_fne(step);
	if (meta && has_slot(step->up & ~step->suspended, slot_of(meta)))
		return slot_of(meta);
	int other = choose_by_ratio(step, step->suspended);
	if (other >= 0 && step->has_ports && step->packet.fragment == FRAGMENT_NONE)
		remember_fne(step, FNE_REROUTED | other << 2);
	return other;
}

/* The slots not to draw: tried and suspended ones as long as another is up, else suspended ones, else those tried. */
static __always_inline __u32 avoided_by(__u32 up, __u32 tried, __u32 suspended)
{
	if (up & ~(tried | suspended))
		return tried | suspended;
	return (up & ~suspended) && suspended ? suspended : tried;
}

/* pinned: the slot of the packet's own path ID, or NO_ROUTE. */
static __always_inline int route_for_fne(struct pref_step *step, const struct pref_settings *set, int pinned)
{
	int is_tcp = step->packet.protocol == PROTOCOL_TCP;
	int is_watched = set->is_watching && is_tcp;
	__u32 tried = 0;
	int slot = pinned;

	if (!step->has_ports) {
		step->reason = OUT_FNE_NO_PORTS;
		hash_flow(step, 0, 0);
		return choose_by_ratio(step, step->suspended);
	}
	hash_flow(step, 0, 1);
	step->reason = OUT_PATH_ID;
	__u32 meta = find_fne(step);
	if (meta) {
		__u32 before = slot_of(meta);
		int is_up = has_slot(step->up, before);

		if (state_of(meta) == FNE_ASSIGNED) {
			if (is_up && pinned < 0 && is_usable(step, before)) {
				slot = before;
				step->reason = OUT_FNE_ASSIGNED;
			}
		} else if (state_of(meta) == FNE_REROUTED) {
			if (is_up && pinned < 0 && !has_slot(step->suspended, before)) {
				slot = before;
				step->reason = OUT_FNE_ASSIGNED;
			}
		} else if (is_tcp) {
			add_fne_repeat(step, set, before);
			if (is_watched)
				report(step, REPORT_LOSS, step->destination, before);
			tried = tried_of(meta);
			if (!(step->up & ~tried))
				tried = 1 << before;
			slot = NO_ROUTE;
		} else if (is_up && pinned < 0 && !has_slot(step->suspended, before)) {
			slot = before;
			step->reason = OUT_FNE_REPEATED_DATAGRAM;
		}
	} else if (is_watched && pinned < 0) {
		int failing_slot = find_failing(step) - 1;

		if (failing_slot >= 0) {
			report(step, REPORT_LOSS, step->destination, failing_slot);
			tried = 1 << (failing_slot & 15);
		} else {
			tried = repeated_mask(step);
		}
	}
	if (slot < 0) {
		__u32 avoid = step->suspended;
		int probes = avoid && !tried && is_watched &&
			     may_probe(step, set, step->packet.tcp_flags & TCP_SYN);

		step->reason = tried ? OUT_FNE_REPEATED : OUT_FNE_DRAWN;
		slot = pick(step, avoided_by(step->up, tried, probes ? 0 : avoid));
		if (slot >= 0 && has_slot(avoid, slot) && !begin_probe(step, slot))
			slot = pick(step, avoid);
		if (slot < 0)
			return NO_ROUTE;
		/* One that is chosen again is the same flowlet. */
		if (!tried)
			begin_flowlet(step, set, slot);
	}
	if (is_watched)
		report(step, REPORT_FLOWLET, step->destination, slot);
	remember_fne(step, FNE_SENT | (slot & 15) << 2 | (tried | 1 << (slot & 15)) << 8);
	return slot;
}

static __always_inline int route_for_not_lect(struct pref_step *step, const struct pref_settings *set)
{
	if (!set->hashes_not_lect) {
		step->reason = OUT_NOT_LECT_DEFAULT;
		return NO_ROUTE;
	}
	step->reason = OUT_NOT_LECT_HASHED;
	hash_outbound(step);
	return choose_equally(step, step->suspended);
}

static __always_inline int route_unassigned(struct pref_step *step)
{
	hash_outbound(step);
	__u32 meta = find_fne(step);
	if (meta && state_of(meta) == FNE_SENT && has_slot(step->up, slot_of(meta)) &&
	    is_usable(step, slot_of(meta))) {
		step->reason = OUT_FOLLOWS_FNE;
		return slot_of(meta);
	}
	step->reason = OUT_UNASSIGNED;
	return choose_equally(step, step->suspended);
}

/* A slot that is up, or NO_ROUTE; sets the reason. */
static __always_inline int choose_route(struct pref_step *step, const struct pref_settings *set)
{
	__u32 codepoint = step->codepoint;
	int pinned = NO_ROUTE;
	__u32 bad_path_id = 0;

	if (codepoint == CODEPOINT_NOT_LECT)
		return route_for_not_lect(step, set);
	if (step->path) {
		__u32 slot = set->slot_of[step->path & 63];

		if (slot != NO_SLOT && has_slot(step->up, slot)) {
			if (has_slot(step->suspended, slot)) {
				if (codepoint != CODEPOINT_FNE)
					return route_around_suspended(step, slot);
				bad_path_id = OUT_SUSPENDED_PATH_ID;
			} else {
				step->reason = OUT_PATH_ID;
				if (codepoint != CODEPOINT_FNE)
					return slot;
				pinned = slot;
			}
		} else {
			bad_path_id = slot != NO_SLOT && has_slot(step->allowed, slot) ? OUT_DOWN_PATH_ID :
											 OUT_UNKNOWN_PATH_ID;
		}
	}
	if (codepoint == CODEPOINT_FNE) {
		int slot = route_for_fne(step, set, pinned);

		if (bad_path_id)
			step->reason = bad_path_id;
		return slot;
	}
	if (bad_path_id) {
		step->reason = bad_path_id;
		/* Not by round robin: the packets of one flowlet all come this way, and must stay together. */
		hash_outbound(step);
		return choose_by_ratio(step, step->suspended);
	}
	return route_unassigned(step);
}

/* A flow exposes loss on a route: for the detector of failures, and where any does for the measure of turnover. */
static __always_inline void note_loss(struct pref_step *step, const struct pref_settings *set, __u32 slot)
{
	int is_watched = set->is_watching && step->packet.protocol == PROTOCOL_TCP;

	if ((!is_watched && !set->measures_turnover) || step->packet.fragment != FRAGMENT_NONE)
		return;
	hash_flow(step, 0, 1);
	if (set->measures_turnover)
		report_turnover(step, REPORT_LEX);
	if (is_watched)
		report(step, REPORT_LOSS, step->destination, slot);
}

/* Shows the detector of failures where acknowledgments go, and now and then where a flow sends. */
static __always_inline void note_flow(struct pref_step *step, const struct pref_settings *set, __u32 slot)
{
	if (!set->is_watching || step->packet.protocol != PROTOCOL_TCP || step->packet.fragment != FRAGMENT_NONE)
		return;
	if (step->packet.payload_length) {
		if (step->codepoint == CODEPOINT_LECT)
			note_sending(step, slot);
		return;
	}
	if ((step->packet.tcp_flags & (TCP_SYN | TCP_FIN | TCP_RST | TCP_ACK)) != TCP_ACK)
		return;
	hash_flow(step, 0, 1);
	note_ack(step, slot);
}

static __always_inline void count_bytes(const struct pref_step *step, const struct pref_settings *set,
					struct pref_counters *count, int slot, __u32 path_id)
{
	if (step->codepoint == CODEPOINT_NOT_LECT)
		count->not_lect_bytes[path_id & 63] += step->bytes;
	else if (slot < 0)
		count->unrouted_lex_marked_bytes += step->bytes;
	else
		add_packet(step, set, slot, step->codepoint == CODEPOINT_LEX);
}

/*
 * Path IDs have local meaning only, and a codepoint goes to neighbours that agreed to take it. What is sent from here
 * has come a hop further.
 */
static __always_inline void leave_domain(struct __sk_buff *skb, struct pref_step *step,
					 const struct pref_settings *set, struct pref_counters *count, __u32 path_id,
					 int may_redirect)
{
	__u32 dscp = step->packet.dscp;
	__u32 hops = 0;

	if (step->codepoint != CODEPOINT_NOT_LECT)
		dscp = set->is_exposed[path_id & 63] ? set->encode_table[step->codepoint & 63] : 0;
	if (may_redirect && path_id)
		hops = find_next_hop(skb, step, path_id, dscp) & 1;
	count->redirected += hops;
	write_header(skb, &step->packet, dscp, hops);
}

/*
 * has_destination: the destination is in the step. may_redirect: the packet may be sent from here, see find_next_hop.
 * The path ID of the route, 0 = default route; the reason is in the step.
 */
static __always_inline __u32 handle_outbound(struct __sk_buff *skb, struct pref_step *step, __u32 code,
					     int has_destination, int may_redirect, const struct pref_settings *set,
					     struct pref_counters *count)
{
	__u32 path_id = 0;
	int slot = NO_ROUTE;

	count->events[EVENT_OUTBOUND_PACKET]++;
	if (code == PARSE_NOT_IP || code == PARSE_TRUNCATED || code == PARSE_BAD_HEADER) {
		step->reason = code == PARSE_NOT_IP ? OUT_NOT_IP : code == PARSE_TRUNCATED ? OUT_TRUNCATED : OUT_BAD_HEADER;
		count->packets[step->reason & (PREF_REASON_SLOTS - 1)]++;
		return 0;
	}
	step->has_ports = code == PARSE_OK;
	__u32 mark = set->decode_table[step->packet.dscp & 63];
	step->codepoint = mark & 3;
	step->path = mark >> 2;
	step->bytes = packet_bytes(skb, &step->packet);
	if (!has_destination) {
		step->reason = OUT_NO_DESTINATION;
	} else {
		load_masks(step, set);
		if (!step->up)
			step->reason = OUT_NO_ROUTE_UP;
		else
			slot = choose_route(step, set);
	}
	if (slot >= 0)
		path_id = set->path_id_of[slot & 15];
	count->packets[step->reason & (PREF_REASON_SLOTS - 1)]++;
	if (slot >= 0 && step->has_ports) {
		if (step->codepoint == CODEPOINT_LEX)
			note_loss(step, set, slot);
		else
			note_flow(step, set, slot);
	}
	count_bytes(step, set, count, slot, path_id);
	leave_domain(skb, step, set, count, path_id, may_redirect);
	return path_id;
}

#endif
