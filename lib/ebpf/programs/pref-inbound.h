/*
 * A packet from outside into the domain: the twin of lib/pref/inbound.ts, function by function under the same names,
 * which say what each is for. A change there is a change here; "preflex ebpf verify" holds the two together.
 */
#ifndef PREFLEX_PREF_INBOUND_H
#define PREFLEX_PREF_INBOUND_H

/* Why the packet is to be assigned, or IN_PASSED. */
static __always_inline __u32 occasion_of(const struct pref_step *step, const struct pref_settings *set, int is_answer,
					 int is_syn)
{
	if (is_answer && set->infers_from_answer)
		return IN_ASSIGNED_ANSWER;
	if (step->codepoint == CODEPOINT_FNE)
		return IN_ASSIGNED_FNE;
	if (step->codepoint == CODEPOINT_NOT_LECT && is_syn && set->infers_from_syn)
		return IN_ASSIGNED_SYN;
	return IN_PASSED;
}

/* Counts an FNE packet, or what is taken for one. */
static __always_inline void count_occasion(struct pref_counters *count, __u32 reason)
{
	if (reason == IN_ASSIGNED_FNE)
		count->events[EVENT_FNE_MARKED]++;
	else if (reason == IN_ASSIGNED_SYN)
		count->events[EVENT_FNE_SYN]++;
	else if (reason == IN_ASSIGNED_ANSWER)
		count->events[EVENT_FNE_ANSWER]++;
}

/* remembered: slot of the flow's last FNE packet, or of the one that stands in for a suspended one; or NO_ROUTE. */
static __always_inline int assign_route(struct pref_step *step, const struct pref_settings *set, __u32 reason,
					int remembered, int is_answer)
{
	if (!look_up(step, 1)) {
		step->reason = IN_NO_DESTINATION;
		return NO_ROUTE;
	}
	step->destination = step->found_destination;
	load_masks(step, set);
	if (!step->up) {
		step->reason = IN_NO_ROUTE_UP;
		return NO_ROUTE;
	}
	step->reason = reason;
	if (remembered >= 0 && has_slot(step->up, remembered) && is_usable(step, remembered)) {
		if (reason == IN_REASSIGNED) {
			begin_flowlet(step, set, remembered);
			remember_fne(step, FNE_ASSIGNED | (remembered & 15) << 2);
		} else if (!is_answer) {
			step->reason = IN_ASSIGNED_AGAIN;
		}
		return remembered;
	}
	/* An answer is not the sender's doing alone: the limit is for what outsiders can cause. */
	__u32 limit = is_answer ? LIMIT_NONE : take_token(step);
	if (limit != LIMIT_NONE) {
		step->reason = limit == LIMIT_DESTINATION ? IN_DESTINATION_LIMIT : IN_TOTAL_LIMIT;
		return NO_ROUTE;
	}
	/* Answers and reassignments are of flows that run already, and others may be in trouble: they are no probes. */
	int is_syn = step->packet.protocol == PROTOCOL_TCP && (step->packet.tcp_flags & TCP_SYN);
	int probes = step->suspended && remembered < 0 && may_probe(step, set, is_syn) && !is_repeated(step);
	__u32 avoid = probes ? 0 : step->suspended;
	/* What was acknowledged by a route and came again, not by that one, if there is another. */
	__u32 repeated_by = set->is_watching ? repeated_mask(step) : 0;
	if (step->up & ~(avoid | repeated_by))
		avoid |= repeated_by;
	int slot = pick(step, avoid);
	if (slot >= 0 && has_slot(step->suspended, slot)) {
		if (begin_probe(step, slot))
			report(step, REPORT_FLOWLET, step->destination, slot);
		else
			slot = pick(step, step->suspended);
	}
	if (slot < 0)
		return NO_ROUTE;
	begin_flowlet(step, set, slot);
	/* So that the host's own FNE packet, a SYN-ACK for one, leaves by the same route without a second draw. */
	if (!is_answer)
		remember_fne(step, FNE_ASSIGNED | (slot & 15) << 2);
	return slot;
}

/* The slot to assign, or NO_ROUTE; sets the reason. */
static __always_inline int consider_assignment(struct pref_step *step, const struct pref_settings *set,
					       struct pref_counters *count)
{
	int is_tcp = step->packet.protocol == PROTOCOL_TCP;
	__u32 flags = step->packet.tcp_flags;

	hash_flow(step, 1, 1);
	__u32 meta = find_fne(step);
	if (is_tcp && set->is_watching)
		report_inbound(step);
	if (is_tcp && set->is_watching && step->packet.payload_length)
		report_data(step);
	/* A SYN without ACK acknowledges nothing: repeated, it tells that our SYN-ACK has not arrived. */
	int is_request = is_tcp && (flags & (TCP_SYN | TCP_ACK)) == TCP_SYN;
	int is_answer = meta && state_of(meta) == FNE_SENT && !is_request;
	int is_rerouted = meta && state_of(meta) == FNE_REROUTED;
	int is_known = is_answer || is_rerouted || (is_request && meta);
	int remembered = is_known ? (int)slot_of(meta) : NO_ROUTE;
	if (is_answer) {
		count->events[EVENT_ANSWER]++;
		remove_fne(step);
	}
	__u32 reason = is_rerouted ? IN_REASSIGNED : occasion_of(step, set, is_answer, is_tcp && (flags & TCP_SYN));
	if (reason == IN_PASSED)
		return NO_ROUTE;
	count_occasion(count, reason);
	if (step->codepoint == CODEPOINT_NOT_LECT && step->packet.dscp != 0) {
		step->reason = IN_OWN_DSCP;
		return NO_ROUTE;
	}
	return assign_route(step, set, reason, remembered, is_answer);
}

/* The path ID assigned, 0 = none; the reason is in the step. */
static __always_inline __u32 handle_inbound(struct __sk_buff *skb, struct pref_step *step, __u32 code,
					    __u32 from_path_id, const struct pref_settings *set,
					    struct pref_counters *count)
{
	__u32 path_id = 0;
	int slot = NO_ROUTE;

	count->events[EVENT_INBOUND_PACKET]++;
	if (code == PARSE_NOT_IP || code == PARSE_TRUNCATED || code == PARSE_BAD_HEADER) {
		step->reason = code == PARSE_NOT_IP ? IN_NOT_IP : code == PARSE_TRUNCATED ? IN_TRUNCATED : IN_BAD_HEADER;
		count->packets[step->reason & (PREF_REASON_SLOTS - 1)]++;
		return 0;
	}
	step->bytes = packet_bytes(skb, &step->packet);
	count->inbound_bytes[from_path_id & 63] += step->bytes;
	__u32 mark = set->decode_table[step->packet.dscp & 63];
	__u32 dscp = step->packet.dscp;
	step->codepoint = mark & 3;
	if (mark >> 2) {
		count->events[EVENT_PATH_ID_CLEARED]++;
		dscp = set->encode_table[step->codepoint & 63];
	}
	step->reason = IN_PASSED;
	if (code == PARSE_OK)
		slot = consider_assignment(step, set, count);
	if (slot >= 0)
		path_id = set->path_id_of[slot & 15];
	if (path_id)
		dscp = set->encode_table[(set->assignment_codepoint | path_id << 2) & 63];
	if (dscp != step->packet.dscp)
		write_dscp(skb, &step->packet, dscp);
	count->packets[step->reason & (PREF_REASON_SLOTS - 1)]++;
	return path_id;
}

#endif
