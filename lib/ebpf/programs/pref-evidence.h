/*
 * Evidence about routes: what the process is told for its detector of failures (lib/pref/failures), and what it tells of
 * the flows that it judged.
 */
#ifndef PREFLEX_PREF_EVIDENCE_H
#define PREFLEX_PREF_EVIDENCE_H

/* FailureDetector: how long after a suspension only new connections are probes. */
#define SETTLING_MS 5000

/* A function of its own, so that the layout of a report is in the object's BTF. is_urgent: the process is woken for it. */
static __noinline int send_report(struct pref_report *record, __u32 is_urgent)
{
	__u32 zero = 0;
	struct pref_counters *count = bpf_map_lookup_elem(&counters, &zero);
	struct pref_sampled *state = bpf_map_lookup_elem(&sampled, &zero);
	__u64 flags = BPF_RB_NO_WAKEUP;

	if (!record || !count || !state)
		return 0;
	if (is_urgent || record->time_ns - state->woken_ns >= WAKING_GAP_NS) {
		state->woken_ns = record->time_ns;
		flags = BPF_RB_FORCE_WAKEUP;
	}
	record->lost = bpf_get_smp_processor_id() << 24 | (count->reports_lost & 0xffffff);
	if (bpf_ringbuf_output(&reports, record, sizeof(*record), flags))
		count->reports_lost++;
	return 0;
}

/* Tells the process of a flowlet that begins, or of a LEx packet, for the flowlet turnover. */
__noinline int report_turnover(struct pref_step *step, __u32 kind)
{
	struct pref_report record = {};

	if (!step)
		return 0;
	record.time_ns = now_of(step);
	record.kind = kind;
	record.destination = step->destination;
	record.h1 = step->h1;
	record.h2 = step->h2;
	send_report(&record, 0);
	return 0;
}

/* GatewayCore.beginFlowlet. */
static __always_inline void begin_flowlet(struct pref_step *step, const struct pref_settings *set, __u32 slot)
{
	struct pref_meter *meter = find_meter(step, set, slot);

	if (meter)
		__sync_fetch_and_add(&meter->flowlets, 1);
	if (set->measures_turnover)
		report_turnover(step, REPORT_BEGUN);
}

/* Where what a segment takes of the sequence numbers ends. */
static __always_inline __u32 end_of(const struct packet *packet)
{
	return packet->seq + packet->payload_length + !!(packet->tcp_flags & TCP_SYN) + !!(packet->tcp_flags & TCP_FIN);
}

/* Whether an inbound segment shows that something of the flow arrived, as FailureDetector.noteInbound sees it. */
static __always_inline int is_answer_to(const struct pref_watched_flow *flow, const struct packet *packet)
{
	if (packet->tcp_flags & (TCP_SYN | TCP_RST))
		return 1;
	if (!(packet->tcp_flags & TCP_ACK))
		return 0;
	if (!packet->payload_length && !(packet->tcp_flags & TCP_FIN))
		return 1;
	if (!flow->has_ack)
		return 0;
	return seq_before(flow->ack, packet->ack) || (!flow->is_exposed && seq_before(flow->end, end_of(packet)));
}

/* Tells the process of the flow in hand; where and what, for a loss or a flowlet. */
__noinline int report(struct pref_step *step, __u32 kind, __u32 destination, __u32 slot)
{
	struct pref_report record = {};
	__u32 is_urgent = kind == REPORT_LOSS || kind == REPORT_FLOWLET;

	if (!step)
		return 0;
	__u32 index = step->h1 & (WATCHED_FLOWS - 1);
	struct pref_watched_flow *flow = bpf_map_lookup_elem(&watched, &index);
	if (flow) {
		int is_same = flow->is_used && flow->h2 == step->h2;

		if (!is_same)
			flow->is_exposed = flow->is_waiting = flow->has_ack = 0;
		if (kind == REPORT_LOSS) {
			flow->is_exposed = 1;
		} else if (kind == REPORT_SENDING) {
			flow->is_waiting = 1;
		} else if (kind == REPORT_INBOUND) {
			__u32 end = end_of(&step->packet);

			if (is_answer_to(flow, &step->packet))
				flow->is_waiting = 0;
			is_urgent = flow->is_exposed;
			flow->is_exposed = 0;
			if (step->packet.tcp_flags & TCP_ACK) {
				if (!flow->has_ack || (step->packet.tcp_flags & TCP_SYN) || seq_before(flow->end, end))
					flow->end = end;
				flow->ack = step->packet.ack;
				flow->has_ack = 1;
			}
		}
		flow->h2 = step->h2;
		flow->time_ms = ms_of(step);
		flow->is_used = 1;
	}
	record.time_ns = now_of(step);
	record.kind = kind;
	record.destination = destination;
	record.slot = slot;
	record.h1 = step->h1;
	record.h2 = step->h2;
	if (kind == REPORT_INBOUND) {
		record.seq = step->packet.seq;
		record.ack = step->packet.ack;
		record.payload_length = step->packet.payload_length;
		record.tcp_flags = step->packet.tcp_flags;
	}
	send_report(&record, is_urgent);
	return 0;
}

/* Reports an inbound TCP segment of a flow that was reported, unless it is one of many in ordinary times. */
static __always_inline void report_inbound(struct pref_step *step)
{
	__u32 index = step->h1 & (WATCHED_FLOWS - 1);
	const struct pref_watched_flow *flow = bpf_map_lookup_elem(&watched, &index);

	if (!flow || !flow->is_used || flow->h2 != step->h2)
		return;
	__u32 age_ms = ms_of(step) - flow->time_ms;
	if (age_ms > WATCHED_MS)
		return;
	int is_plain = !(step->packet.tcp_flags & (TCP_SYN | TCP_FIN | TCP_RST));
	if (is_plain && !flow->is_exposed && !flow->is_waiting && age_ms < REPORT_GAP_MS)
		return;
	report(step, REPORT_INBOUND, 0, 0);
}

/*
 * FailureDetector.isToSample: whether this packet of a flow that only sends is looked at. Asked for most packets, so it
 * takes the coarse clock, which costs a few loads where the exact one costs more than two look-ups.
 */
static __always_inline int is_to_sample(const struct pref_step *step)
{
	__u32 zero = 0;
	struct pref_sampled *state = bpf_map_lookup_elem(&sampled, &zero);

	if (!state)
		return 0;
	/* That of a test run has no ticks: it is the time of the packet. */
	__u64 now_ns = step->now_ns ? step->now_ns : bpf_ktime_get_coarse_ns();
	__u64 granted_ns = state->time_ns;
	__s64 elapsed_ns = now_ns - granted_ns;
	if (elapsed_ns >= LONGEST_TICK_MS * NS_PER_MS) {
		state->time_ns = now_ns;
		state->left = SAMPLED_A_MS * LONGEST_TICK_MS;
	} else if (elapsed_ns >= NS_PER_MS) {
		__u32 ms = (__u32)elapsed_ns / NS_PER_MS;

		state->time_ns = granted_ns + ms * NS_PER_MS;
		state->left = SAMPLED_A_MS * ms;
	}
	__u32 left = state->left;
	if (!left)
		return 0;
	state->left = left - 1;
	return 1;
}

/* A flow sends by a route and exposes nothing: some are reported, for FailureDetector.noteSending. */
__noinline int note_sending(struct pref_step *step, __u32 slot)
{
	if (!step || !is_to_sample(step))
		return 0;
	hash_flow(step, 0, 1);
	__u32 index = step->h1 & (WATCHED_FLOWS - 1);
	const struct pref_watched_flow *flow = bpf_map_lookup_elem(&watched, &index);
	if (!flow)
		return 0;
	if (flow->is_used && flow->is_waiting) {
		__u32 age_ms = ms_of(step) - flow->time_ms;

		/* Whose place is taken would never be seen to be answered; and the detector knows of one that waits. */
		if (age_ms < (flow->h2 == step->h2 ? SENDING_GAP_MS : WAITING_MS))
			return 0;
	}
	report(step, REPORT_SENDING, step->destination, slot);
	return 0;
}

/* An acknowledgment leaves by a route: what RepeatWatch.noteAck is to know, kept for the next report. */
__noinline int note_ack(struct pref_step *step, __u32 slot)
{
	if (!step)
		return 0;
	__u32 index = step->h1 & (RECEIVERS - 1);
	struct pref_receiver *flow = bpf_map_lookup_elem(&receivers, &index);
	if (!flow)
		return 0;
	__u32 now_ms = ms_of(step), ack = step->packet.ack;
	if (!flow->is_used || flow->h2 != step->h2) {
		if (flow->is_used && now_ms - flow->time_ms < RECEIVER_IDLE_MS)
			return 0;
		flow->h2 = step->h2;
		flow->is_used = 1;
		flow->reported_ms = now_ms - DATA_GAP_MS;
		flow->has_end = 0;
		flow->is_repeated = 0;
		flow->is_answered = 0;
		flow->is_exposed = 0;
		flow->quiet_from_ms = now_ms;
		flow->ack = ack;
	} else if (flow->destination != step->destination || flow->slot != slot) {
		/* What was repeated tells of the route before, and the silence goes on. */
		if (!flow->is_exposed)
			flow->quiet_from_ms = now_ms;
		flow->is_exposed = 0;
		flow->ack = ack;
	} else if (seq_before(flow->ack, ack)) {
		flow->ack = ack;
	}
	flow->destination = step->destination;
	flow->slot = slot;
	flow->time_ms = now_ms;
	return 0;
}

/*
 * RepeatWatch.noteData, as far as the next FNE packet has to know, which leaves before the process has judged. is_new: it
 * ends higher than any before. is_acked: at or before what was acknowledged.
 */
static __always_inline void note_data(struct pref_receiver *flow, __u32 payload_length, int is_new, int is_acked,
				      __u32 now_ms)
{
	if (is_new && !is_acked) {
		flow->is_answered = 1;
		flow->is_exposed = 0;
		flow->quiet_from_ms = now_ms;
		return;
	}
	/* One byte is a keep-alive of some hosts. */
	if (payload_length == 1 || !is_acked || !flow->is_answered)
		return;
	if ((__s32)(now_ms - flow->quiet_from_ms) < QUIET_MS)
		return;
	flow->is_exposed = 1;
	flow->quiet_from_ms = now_ms;
}

/* RepeatWatch.repeatedMask, of a flow that was heard of a moment ago. */
__noinline int repeated_mask(struct pref_step *step)
{
	if (!step)
		return 0;
	__u32 index = step->h1 & (RECEIVERS - 1);
	const struct pref_receiver *flow = bpf_map_lookup_elem(&receivers, &index);
	if (!flow || !flow->is_used || flow->h2 != step->h2 || !flow->is_exposed)
		return 0;
	if (flow->destination != step->destination || ms_of(step) - flow->time_ms >= RECEIVER_IDLE_MS)
		return 0;
	return 1 << (flow->slot & 15);
}

/*
 * Reports data from outside of a flow whose acknowledgments were seen: what was acknowledged before, and now and then
 * what is new. What is neither says nothing.
 */
__noinline int report_data(struct pref_step *step)
{
	struct pref_report record = {};

	if (!step)
		return 0;
	__u32 index = step->h1 & (RECEIVERS - 1);
	struct pref_receiver *flow = bpf_map_lookup_elem(&receivers, &index);
	if (!flow || !flow->is_used || flow->h2 != step->h2)
		return 0;
	__u32 now_ms = ms_of(step);
	__u32 end = step->packet.seq + step->packet.payload_length;
	int is_repeated = !seq_before(flow->ack, end);
	int is_higher = !flow->has_end || seq_before(flow->end, end);
	flow->time_ms = now_ms;
	note_data(flow, step->packet.payload_length, is_higher, is_repeated, now_ms);
	if (is_higher) {
		flow->has_end = 1;
		flow->end = end;
	} else if (!is_repeated) {
		return 0;
	}
	__u32 gap_ms = is_repeated ? REPEAT_GAP_MS : flow->is_repeated ? 0 : DATA_GAP_MS;
	if (now_ms - flow->reported_ms < gap_ms)
		return 0;
	flow->reported_ms = now_ms;
	flow->is_repeated = is_repeated;
	record.time_ns = now_of(step);
	record.kind = REPORT_DATA;
	record.destination = flow->destination;
	record.slot = flow->slot;
	record.h1 = step->h1;
	record.h2 = step->h2;
	record.seq = step->packet.seq;
	record.ack = flow->ack;
	record.payload_length = step->packet.payload_length;
	record.tcp_flags = step->packet.tcp_flags;
	send_report(&record, is_repeated);
	return 0;
}

static __always_inline struct pref_probe_key probe_key_of(const struct pref_step *step, __u32 slot)
{
	struct pref_probe_key key = {
		.h1 = step->h1, .h2 = step->h2, .destination = step->destination, .slot = slot,
	};

	return key;
}

/* FailureDetector.isProbe. */
__noinline int is_probe(struct pref_step *step, __u32 slot)
{
	if (!step)
		return 0;
	struct pref_probe_key key = probe_key_of(step, slot);
	return bpf_map_lookup_elem(&probes, &key) ? 1 : 0;
}

/* Lets the flow probe a suspended route; 0 when it cannot be watched. */
__noinline int begin_probe(struct pref_step *step, __u32 slot)
{
	const struct pref_settings *set = find_settings();
	__u32 nothing = 0;

	if (!step || !set || !set->is_watching)
		return 0;
	struct pref_probe_key key = probe_key_of(step, slot);
	return bpf_map_update_elem(&probes, &key, &nothing, BPF_ANY) ? 0 : 1;
}

/* FailureDetector.failingSlot: slot + 1, 0 for none. */
__noinline int find_failing(struct pref_step *step)
{
	if (!step)
		return 0;
	struct pref_flow_key key = { .h1 = step->h1, .h2 = step->h2 };
	const struct pref_failing *found = bpf_map_lookup_elem(&failing, &key);
	return found && found->destination == step->destination ? (found->slot & 15) + 1 : 0;
}

/* FailureDetector.isRepeated. */
__noinline int is_repeated(struct pref_step *step)
{
	if (!step)
		return 0;
	struct pref_flow_key key = { .h1 = step->h1, .h2 = step->h2 };
	return bpf_map_lookup_elem(&repeated, &key) ? 1 : 0;
}

/* FailureDetector.mayProbe. */
static __always_inline int may_probe(struct pref_step *step, const struct pref_settings *set, int is_syn)
{
	return is_syn || (__s64)((__u64)now_of(step) / NS_PER_MS) - set->suspended_at_ms > SETTLING_MS;
}

/* A flow may use a suspended route only as a probe. */
static __always_inline int is_usable(struct pref_step *step, __u32 slot)
{
	return !has_slot(step->suspended, slot) || is_probe(step, slot);
}

#endif
