/*
 * The host rules in the kernel: the twin of lib/lex (tcp-send.ts, tcp-feedback.ts, datagram.ts, exchange.ts,
 * pinning.ts, rtt.ts), function by function under the same names, which say what each is for. A change there is a
 * change here; "preflex ebpf verify" holds the two together.
 *
 * All of it is inlined into the two programs and runs while they hold the lock of the flow, so nothing here may call a
 * helper. Long because all rules of a flow's record are here, as one inlined whole.
 */
#ifndef PREFLEX_LEX_RULES_H
#define PREFLEX_LEX_RULES_H

/* Beside the flags of flow-state.ts: the record is in use. A record just made is all zeros. */
#define FLAG_KNOWN 1

#define NS_PER_S 1000000000LL

/* A flow: flow-state.ts. Times are ns of CLOCK_MONOTONIC; sequence numbers compare modulo 2^32. */
struct lex_flow {
	__s64 last_seen_ns;
	__s64 last_out_ns;
	__s64 last_fne_ns;
	__s64 head_sent_ns;
	__s64 last_ack_ns;
	__u32 isn;
	__u32 una;
	__u32 max;
	__u32 rtt_end;
	__s32 srtt_us;
	__s32 rttvar_us;
	__u32 tfo_end;
	__u32 wl1;
	__u32 rtt_sent_us;
	__u32 ack_sent;
	__u32 flags;
	__u8 idle_class;
	__u8 path;
	__u8 previous_path;
	__u8 timeouts;
};

/* The options of the host: lib/ebpf/host-settings.ts fills them in. */
struct lex_settings {
	__s64 flowlet_gap_ns;
	/* By idle class. */
	__s64 idle_limits_ns[3];
	__u32 fne_after_timeouts;
	__u32 keeps_path;
	/* Bytes of the link layer in front of the IP header. */
	__u32 link_header_bytes;
	/* Packets of all addresses are served; else only those below. */
	__u32 serves_all;
	__u32 serves_ipv4;
	__u32 serves_ipv6;
	__u32 ipv4_address;
	__u32 ipv6_address[4];
	/* The marking scheme. */
	__u32 max_path_id;
	__u32 assignment_codepoint;
	__u8 decode_table[64];
	__u8 encode_table[64];
};

#define REASON_SLOTS 32
#define PATH_IDS 16

/* counters.ts, and the life of the flow table. Only grows. */
struct lex_counters {
	__u64 out_packets[REASON_SLOTS];
	__u64 in_packets[REASON_SLOTS];
	__u64 codepoint_packets[4];
	__u64 codepoint_bytes[4];
	__u64 path_packets[PATH_IDS];
	__u64 assignments[PATH_IDS];
	__u64 lex_payload_bytes;
	__u64 excluded_bytes[4];
	__u64 unpinned;
	__u64 kept_paths;
	__u64 impossible_acks;
	__u64 flows_made;
	__u64 flows_expired;
	/* The table had no room for the flow: its packet passed untouched. */
	__u64 flows_refused;
};

_Static_assert(REASON_COUNT <= REASON_SLOTS, "every reason has a counter");

static __always_inline int has_flag(const struct lex_flow *flow, __u32 flags)
{
	return (flow->flags & flags) != 0;
}

static __always_inline void reset_flow(struct lex_flow *flow, __u32 idle_class)
{
	flow->last_out_ns = 0;
	flow->last_fne_ns = 0;
	flow->head_sent_ns = 0;
	flow->last_ack_ns = 0;
	flow->isn = 0;
	flow->una = 0;
	flow->max = 0;
	flow->rtt_end = 0;
	flow->srtt_us = 0;
	flow->rttvar_us = 0;
	flow->tfo_end = 0;
	flow->wl1 = 0;
	flow->rtt_sent_us = 0;
	flow->ack_sent = 0;
	flow->flags = FLAG_KNOWN;
	flow->idle_class = idle_class;
	flow->path = 0;
	flow->previous_path = 0;
	flow->timeouts = 0;
}

/* rtt.ts */

static __always_inline void start_timing(struct lex_flow *flow, __u32 end, __s64 now_ns)
{
	if (has_flag(flow, FLAG_TIMING))
		return;
	flow->rtt_end = end;
	flow->rtt_sent_us = (__u64)now_ns / NS_PER_US;
	flow->flags |= FLAG_TIMING;
}

static __always_inline void stop_timing(struct lex_flow *flow)
{
	flow->flags &= ~FLAG_TIMING;
}

static __always_inline void take_rtt_sample(struct lex_flow *flow, __u32 ack, __s64 now_ns)
{
	if (!has_flag(flow, FLAG_TIMING) || seq_before(ack, flow->rtt_end))
		return;
	stop_timing(flow);
	/* Below 0 after 36 minutes. */
	__s32 elapsed_us = (__u32)((__u64)now_ns / NS_PER_US) - flow->rtt_sent_us;
	__s32 sample_us = elapsed_us >= 0 && elapsed_us < MAX_RTT_US ? elapsed_us : MAX_RTT_US;
	if (sample_us < 1)
		sample_us = 1;
	if (flow->srtt_us == 0) {
		flow->srtt_us = sample_us;
		flow->rttvar_us = sample_us >> 1;
		return;
	}
	__s32 difference = sample_us - flow->srtt_us;
	__s32 magnitude = difference < 0 ? -difference : difference;
	flow->rttvar_us += (magnitude - flow->rttvar_us) >> 2;
	__s32 smoothed = flow->srtt_us + (difference >> 3);
	flow->srtt_us = smoothed < 1 ? 1 : smoothed;
}

static __always_inline __s64 rto_estimate_us(const struct lex_flow *flow)
{
	__s64 variance_us = 4 * (__s64)flow->rttvar_us;

	if (flow->srtt_us == 0)
		return 0;
	return flow->srtt_us + (variance_us > MIN_RTO_VARIANCE_US ? variance_us : MIN_RTO_VARIANCE_US);
}

static __always_inline int can_be_answer(const struct lex_flow *flow, __s64 now_ns)
{
	return now_ns - flow->last_fne_ns >= (__s64)flow->srtt_us * (NS_PER_US * 3 / 4);
}

static __always_inline __s64 timeout_gap_ns(const struct lex_flow *flow)
{
	__s64 srtt_ns = (__s64)flow->srtt_us * NS_PER_US;

	if (srtt_ns == 0)
		return DEFAULT_TIMEOUT_GAP_NS;
	return srtt_ns < MIN_TIMEOUT_GAP_NS ? MIN_TIMEOUT_GAP_NS : srtt_ns;
}

static __always_inline __s64 probed_silence_us(const struct lex_flow *flow)
{
	__s64 srtt_us = flow->srtt_us;

	if (srtt_us == 0)
		return 0;
	__s64 beyond_us = srtt_us + (srtt_us >> 1);
	return rto_estimate_us(flow) + (beyond_us < MIN_PROBE_SILENCE_US ? MIN_PROBE_SILENCE_US : beyond_us);
}

static __always_inline int is_idle_gap(const struct lex_flow *flow, __s64 now_ns, const struct lex_settings *settings)
{
	__s64 idle_ns = now_ns - flow->last_out_ns;

	return idle_ns > settings->flowlet_gap_ns && idle_ns > rto_estimate_us(flow) * NS_PER_US;
}

/* pinning.ts */

static __always_inline void begin_flowlet(struct lex_flow *flow, const struct lex_settings *settings)
{
	__u8 previous = flow->path ? flow->path : flow->previous_path;

	flow->path = 0;
	flow->previous_path = settings->keeps_path ? previous : 0;
	flow->flags &= ~FLAG_FLOWLET_DUE;
}

static __always_inline void give_path_up(struct lex_flow *flow, struct lex_counters *counters)
{
	if (flow->path)
		counters->unpinned++;
	flow->path = 0;
	flow->previous_path = 0;
	flow->flags &= ~FLAG_FLOWLET_DUE;
}

static __always_inline void take_assignment(struct lex_flow *flow, __u32 path, struct lex_counters *counters)
{
	flow->path = path;
	flow->previous_path = 0;
	counters->assignments[path & (PATH_IDS - 1)]++;
}

static __always_inline void settle_without_assignment(struct lex_flow *flow, struct lex_counters *counters)
{
	if (!flow->previous_path)
		return;
	flow->path = flow->previous_path;
	flow->previous_path = 0;
	counters->kept_paths++;
}

/* tcp-send.ts */

static __always_inline void note_closing(struct lex_flow *flow, __u32 tcp_flags)
{
	if (tcp_flags & TCP_RST) {
		flow->idle_class = IDLE_CLASS_CLOSED;
	} else if (tcp_flags & TCP_FIN) {
		flow->flags |= FLAG_FIN_OUT;
		if (has_flag(flow, FLAG_FIN_IN))
			flow->idle_class = IDLE_CLASS_CLOSED;
	}
}

static __always_inline __u32 handle_syn(struct lex_flow *flow, const struct packet *packet, int is_first, __s64 now_ns)
{
	__u32 isn = packet->seq;
	__u32 end = isn + 1 + packet->payload_length;

	if (!is_first && has_flag(flow, FLAG_SYN_SEEN) && flow->isn == isn) {
		stop_timing(flow);
		if (seq_before(flow->max, end))
			flow->max = end;
		return REASON_FNE_SYN_REPEAT;
	}
	reset_flow(flow, IDLE_CLASS_OPEN);
	flow->flags |= FLAG_SYN_SEEN;
	flow->isn = isn;
	flow->una = isn;
	flow->max = end;
	flow->tfo_end = end;
	flow->ack_sent = packet->ack;
	flow->head_sent_ns = now_ns;
	start_timing(flow, isn + 1, now_ns);
	return REASON_FNE_SYN;
}

static __always_inline __u32 handle_first(struct lex_flow *flow, const struct packet *packet, __s64 now_ns,
					  struct lex_counters *counters)
{
	reset_flow(flow, packet->tcp_flags & TCP_RST ? IDLE_CLASS_CLOSED : IDLE_CLASS_OPEN);
	flow->una = packet->seq;
	flow->max = packet->seq + packet->payload_length + (packet->tcp_flags & TCP_FIN);
	flow->ack_sent = packet->ack;
	flow->head_sent_ns = now_ns;
	note_closing(flow, packet->tcp_flags);
	counters->excluded_bytes[EXCLUSION_RESTART] += packet->payload_length;
	return REASON_FNE_FIRST_PACKET;
}

static __always_inline void count_timeout(struct lex_flow *flow, int is_window_zero, __s64 now_ns)
{
	__s64 silent_since_ns = flow->head_sent_ns > flow->last_ack_ns ? flow->head_sent_ns : flow->last_ack_ns;
	int is_answered_probe = is_window_zero && flow->last_ack_ns > flow->head_sent_ns;

	__s64 silence_ns = now_ns - silent_since_ns;

	if (!is_answered_probe && silence_ns >= timeout_gap_ns(flow)) {
		__s64 probed_us = flow->timeouts == 0 && !is_window_zero ? probed_silence_us(flow) : 0;
		int is_probed = probed_us && silence_ns >= probed_us * NS_PER_US;

		if (flow->timeouts < MAX_TIMEOUTS)
			flow->timeouts += is_probed ? 2 : 1;
	}
	flow->head_sent_ns = now_ns;
}

static __always_inline int is_tfo_repeat(struct lex_flow *flow, __u32 seq, __u32 end)
{
	__u32 tfo_end = flow->tfo_end;

	if (!has_flag(flow, FLAG_TFO_REFUSED) || !seq_before(seq, tfo_end))
		return 0;
	__u32 repeated_to = flow->isn + 1;
	if (seq_before(end, tfo_end)) {
		if (seq_before(repeated_to, end))
			flow->isn = end - 1;
	} else {
		flow->tfo_end = flow->isn;
		flow->flags &= ~FLAG_TFO_REFUSED;
	}
	return !seq_before(seq, repeated_to);
}

static __always_inline __u32 send_segment(struct lex_flow *flow, const struct packet *packet, int is_first,
					  __s64 now_ns, const struct lex_settings *settings,
					  struct lex_counters *counters)
{
	__u32 flags = packet->tcp_flags;

	if (flags & TCP_SYN)
		return handle_syn(flow, packet, is_first, now_ns);
	if (is_first)
		return handle_first(flow, packet, now_ns, counters);

	if ((flags & TCP_ACK) && seq_before(flow->ack_sent, packet->ack))
		flow->ack_sent = packet->ack;
	__u32 seq = packet->seq;
	__u32 length = packet->payload_length;
	__u32 end = seq + length + (flags & TCP_FIN);
	__u32 una = flow->una;
	__u32 max = flow->max;
	int is_outstanding = una != max;
	int is_repeat = end != seq && seq_before(seq, max);
	int is_probe = !is_outstanding && length <= 1 && seq == una - 1 && !(flags & (TCP_FIN | TCP_RST));
	int is_window_zero = has_flag(flow, FLAG_ZERO_WINDOW);

	if (flags & (TCP_FIN | TCP_RST))
		note_closing(flow, flags);
	if (is_probe) {
		if (!is_window_zero) {
			if (is_idle_gap(flow, now_ns, settings))
				begin_flowlet(flow, settings);
			return REASON_FNE_KEEP_ALIVE;
		}
	} else if (is_repeat) {
		stop_timing(flow);
		if (seq == una)
			count_timeout(flow, is_window_zero, now_ns);
		/* Old data with new data, or a FIN, behind it. */
		if (seq_before(max, end))
			flow->max = end;
	} else if (end != seq) {
		if (!is_outstanding)
			flow->head_sent_ns = now_ns;
		flow->max = end;
		start_timing(flow, end, now_ns);
	}
	/* Negative where seq is just half the number space away. */
	__s32 repeated_bytes = 0;
	if (is_repeat && !is_probe) {
		__s32 below = (__s32)(max - seq);

		repeated_bytes = below < (__s32)length ? below : (__s32)length;
	}

	__u32 reason = 0;
	if (!is_outstanding && is_idle_gap(flow, now_ns, settings)) {
		begin_flowlet(flow, settings);
		reason = REASON_FNE_IDLE_GAP;
	} else if (is_repeat && seq == una && flow->timeouts >= settings->fne_after_timeouts) {
		give_path_up(flow, counters);
		reason = REASON_FNE_TIMEOUTS;
	} else if (has_flag(flow, FLAG_FLOWLET_DUE)) {
		begin_flowlet(flow, settings);
		reason = REASON_FNE_APPLICATION;
	} else if (has_flag(flow, FLAG_PATH_SUSPECT) && !is_repeat) {
		give_path_up(flow, counters);
		reason = REASON_FNE_PEER_REPEATS;
	} else if (has_flag(flow, FLAG_ANSWER_DUE)) {
		reason = REASON_FNE_ANSWER;
	}
	/* A repeat with the window closed is the probe of a sender whose peer took its window back. */
	int is_zero_window_repeat = is_window_zero && seq == una;
	if (repeated_bytes > 0) {
		int is_tfo = is_tfo_repeat(flow, seq, end);

		if (is_tfo)
			counters->excluded_bytes[EXCLUSION_TFO] += repeated_bytes;
		else if (is_zero_window_repeat)
			counters->excluded_bytes[EXCLUSION_ZERO_WINDOW] += repeated_bytes;
		else if (reason)
			counters->excluded_bytes[EXCLUSION_FNE_REPEAT] += repeated_bytes;
		if (reason)
			return reason;
		if (is_tfo)
			return REASON_LECT_TFO_REPEAT;
		if (is_zero_window_repeat)
			return REASON_LECT_ZERO_WINDOW_PROBE;
		counters->lex_payload_bytes += length;
		return REASON_LEX_RETRANSMISSION;
	}
	if (reason)
		return reason;
	if (is_probe)
		return REASON_LECT_ZERO_WINDOW_PROBE;
	return length > 0 ? REASON_LECT_DATA : REASON_LECT_ACK;
}

/* datagram.ts */

static __always_inline int may_ask(const struct lex_flow *flow, __s64 now_ns, const struct lex_settings *settings)
{
	return has_flag(flow, FLAG_HEARD) || now_ns - flow->last_fne_ns > settings->flowlet_gap_ns;
}

static __always_inline __u32 send_datagram(struct lex_flow *flow, const struct packet *packet, int is_first,
					   int is_retransmission, __s64 now_ns, const struct lex_settings *settings,
					   struct lex_counters *counters)
{
	if (is_first) {
		reset_flow(flow, IDLE_CLASS_DATAGRAM);
		return REASON_FNE_FIRST_PACKET;
	}
	if (is_idle_gap(flow, now_ns, settings)) {
		begin_flowlet(flow, settings);
		return REASON_FNE_IDLE_GAP;
	}
	if (has_flag(flow, FLAG_FLOWLET_DUE) && may_ask(flow, now_ns, settings)) {
		begin_flowlet(flow, settings);
		return REASON_FNE_APPLICATION;
	}
	if (has_flag(flow, FLAG_ANSWER_DUE))
		return REASON_FNE_ANSWER;
	if (is_retransmission) {
		counters->lex_payload_bytes += packet->payload_length;
		return REASON_LEX_APPLICATION;
	}
	return REASON_LECT_DATAGRAM;
}

/* exchange.ts */

/* The path ID that the packet carries, 0 for none. */
static __always_inline __u32 note_sent(struct lex_flow *flow, __u32 codepoint, __s64 now_ns,
				       const struct lex_settings *settings)
{
	flow->last_seen_ns = now_ns;
	flow->last_out_ns = now_ns;
	if (codepoint == CODEPOINT_FNE) {
		flow->last_fne_ns = now_ns;
		flow->flags &= ~(FLAG_ANSWER_DUE | FLAG_PATH_SUSPECT);
		if (settings->assignment_codepoint != CODEPOINT_FNE)
			return 0;
	}
	return flow->path;
}

static __always_inline int owes_answer(const struct lex_flow *flow, __s64 now_ns, const struct lex_settings *settings)
{
	__s64 since_last_fne_ns = now_ns - flow->last_fne_ns;
	__s64 rto_us = rto_estimate_us(flow);

	if (since_last_fne_ns <= settings->flowlet_gap_ns)
		return 0;
	return since_last_fne_ns > (rto_us ? rto_us : UNKNOWN_RTO_US) * NS_PER_US;
}

static __always_inline __u32 receive_mark(struct lex_flow *flow, __u32 mark, __u32 assigned, __s64 now_ns,
					  const struct lex_settings *settings, struct lex_counters *counters)
{
	int is_fne = assigned || (mark & 3) == CODEPOINT_FNE;

	if (is_fne && owes_answer(flow, now_ns, settings))
		flow->flags |= FLAG_ANSWER_DUE;
	if (assigned) {
		take_assignment(flow, assigned, counters);
		return REASON_IN_ASSIGNMENT;
	}
	if (can_be_answer(flow, now_ns))
		settle_without_assignment(flow, counters);
	return is_fne ? REASON_IN_FNE : REASON_IN_FEEDBACK;
}

/* tcp-feedback.ts */

static __always_inline int is_repeat_by_timer(const struct lex_flow *flow, const struct packet *packet, __s64 now_ns)
{
	if (packet->payload_length <= 1 || seq_before(flow->ack_sent, packet->seq + packet->payload_length))
		return 0;
	return now_ns - flow->last_out_ns >= timeout_gap_ns(flow) + PEER_TIMER_BEYOND_NS;
}

static __always_inline void note_window(struct lex_flow *flow, const struct packet *packet, int is_syn)
{
	int is_first = is_syn || !has_flag(flow, FLAG_ACK_SEEN);

	if (!is_first && seq_before(packet->seq, flow->wl1))
		return;
	flow->wl1 = packet->seq;
	if (packet->window == 0)
		flow->flags |= FLAG_ZERO_WINDOW;
	else
		flow->flags &= ~FLAG_ZERO_WINDOW;
}

/* is_sack: the segment has SACK blocks; asked only where it has payload. */
static __always_inline void receive_segment(struct lex_flow *flow, const struct packet *packet, int is_sack,
					    __s64 now_ns, struct lex_counters *counters)
{
	__u32 flags = packet->tcp_flags;

	if (flags & TCP_RST) {
		flow->idle_class = IDLE_CLASS_CLOSED;
	} else if (flags & TCP_FIN) {
		flow->flags |= FLAG_FIN_IN;
		if (has_flag(flow, FLAG_FIN_OUT))
			flow->idle_class = IDLE_CLASS_CLOSED;
	}
	if (!(flags & TCP_ACK))
		return;

	__u32 ack = packet->ack;
	if (seq_before(flow->max, ack)) {
		if (has_flag(flow, FLAG_SYN_SEEN | FLAG_ACK_SEEN)) {
			counters->impossible_acks++;
			return;
		}
		flow->max = ack;
	}
	__u32 una = flow->una;
	if (seq_before(ack, una))
		return;
	int is_syn = (flags & TCP_SYN) != 0;
	if (is_syn && ack == flow->isn + 1 && seq_before(ack, flow->tfo_end))
		flow->flags |= FLAG_TFO_REFUSED;
	if (ack != una) {
		flow->una = ack;
		flow->timeouts = 0;
		flow->last_ack_ns = now_ns;
		take_rtt_sample(flow, ack, now_ns);
	} else if (packet->payload_length == 0 || is_sack) {
		flow->last_ack_ns = now_ns;
	}
	if (is_syn)
		flow->ack_sent = packet->seq;
	else if (is_repeat_by_timer(flow, packet, now_ns))
		flow->flags |= FLAG_PATH_SUSPECT;
	note_window(flow, packet, is_syn);
	flow->flags |= FLAG_ACK_SEEN;
}

#endif
