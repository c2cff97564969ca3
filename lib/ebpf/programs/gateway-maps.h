/*
 * What the gateway's programs and the process share: the layouts and the maps. The process fills in settings, devices,
 * prefixes, destinations and failing flows; the programs write the rest, which the process reads.
 *
 *      packet --> prefixes4|6 --> destination d --> destinations[d]        which routes, their weights
 *                                                   destination_states[d]  credits, tokens
 *                                                   meters[d * routes + i] T_di, L_di
 *
 * Destinations and slots are those of lib/pref/route-table.ts. Layouts reach TypeScript by BTF (lib/ebpf/btf.ts). Long because
 * every layout that the two sides share is here.
 */
#ifndef PREFLEX_GATEWAY_MAPS_H
#define PREFLEX_GATEWAY_MAPS_H

#define MAX_ROUTES 16
#define PREF_REASON_SLOTS 64
#define PREF_EVENT_SLOTS 16

/*
 * Options of the gateway: lib/ebpf/gateway-settings.ts. Written while packets pass: no field means anything together
 * with another one that can change, so a packet that meets half of an update does what it would have done before or
 * after it. Scheme and routes never change.
 */
struct pref_settings {
	/* A token of the limit for FNE packets from outside, and how far ahead of now a bucket may be: fne-limiter.ts. */
	__s64 token_ns;
	__s64 ahead_ns;
	__s64 total_token_ns;
	__s64 total_ahead_ns;
	/* When a route was suspended last, ms: FailureDetector.mayProbe. It may be weeks ago. */
	__s64 suspended_at_ms;
	/* Until when the program sends packets itself, by redirect_table_of; CLOCK_MONOTONIC. 0: never. */
	__u64 redirect_until_ns;
	/* The FNE memory. */
	__u32 memory_set_mask;
	__s32 memory_lifetime_ms;
	__u32 route_count;
	/* Slots that are up at all: takes a route away from all destinations at once. */
	__u32 up_mask;
	/* Where skb->mark carries the path ID. */
	__u32 mark_mask;
	__u32 mark_shift;
	__u32 assignment_codepoint;
	__u32 infers_from_syn;
	__u32 infers_from_answer;
	__u32 hashes_not_lect;
	/* Failures are inferred: events are reported, suspended routes probed. */
	__u32 is_watching;
	/* The balancer asks for the flowlet turnover: every flowlet that begins and every LEx packet is reported. */
	__u32 measures_turnover;
	/* FlowHash. */
	__u32 seed1;
	__u32 seed2;
	__u8 decode_table[64];
	__u8 encode_table[64];
	/* By path ID, 0 = default route. */
	__u8 is_exposed[64];
	/* NO_SLOT for a path ID without route. */
	__u8 slot_of[64];
	__u8 path_id_of[MAX_ROUTES];
	/* By path ID: the route's table is the gateway's own, which holds a default route and nothing else. */
	__u8 has_own_table[64];
	/*
	 * The routing table of a route whose packets the program sends itself until redirect_until_ns, by path ID; 0: the
	 * kernel forwards them.
	 */
	__u32 redirect_table_of[64];
};

/* What the kernel's routing said last of a route with a table of the gateway's own. */
struct pref_next_hop {
	/* When, in jiffies. */
	__u64 at;
	__u32 table;
	__u32 ifindex;
	/* Longest packet. */
	__u32 mtu;
	/* AF_INET or AF_INET6, and the address as the kernel has it. */
	__u32 family;
	__u32 address[4];
};

/* The device of a route, by its index. */
struct pref_device {
	/* Bytes in front of the IP header. */
	__u32 link_header_bytes;
	/* Of the route. */
	__u32 path_id;
};

/* The device toward the inside. */
struct pref_inside_device {
	/* 0 while there is none. */
	__u32 ifindex;
	__u32 link_header_bytes;
};

/* Keys of the prefix tries, addresses in network order. */
struct prefix4 {
	__u32 length;
	__be32 address;
};

struct prefix6 {
	__u32 length;
	__be32 address[4];
};

/* Values of inside4 and inside6: the domain's prefixes, and the gateway's own addresses, left alone. */
#define INSIDE_DOMAIN 1
#define INSIDE_GATEWAY 2

/*
 * What the process says of a destination: written with BPF_F_LOCK, read under the lock, so no packet sees half of new
 * weights. The masks lie in one word, which packets that need no weights read alone.
 */
struct pref_destination {
	struct bpf_spin_lock lock;
	__u32 reserved;
	/* Slots that lead there | those that are up << 16 | suspended ones << 32. */
	__u64 masks;
	/* Flowlet ratio by slot in parts of 2^24: weightOf in lib/pref/route-table.ts. */
	__u32 weights[MAX_ROUTES];
};

/* What the programs know of a destination: under the lock in what the process says of it. */
struct pref_destination_state {
	/* When the bucket of FNE packets from there is full again, ns. */
	__s64 full_at_ns;
	/* Claims to the next flowlet, in parts of 2^24. */
	__s64 credits[MAX_ROUTES];
};

/* What a route carried to a destination, since the start: lib/pref/meter.ts. */
struct pref_meter {
	__u64 bytes;
	__u64 lex_bytes;
	__u64 fne_repeat_bytes;
	__u64 flowlets;
};

#define MEMORY_WAYS 4

struct pref_memory_entry {
	__u32 h1;
	__u32 h2;
	/* State | slot << 2 | tried slots << 8; 0 = free. */
	__u32 meta;
	/* ms modulo 2^32. */
	__u32 time_ms;
};

/* A set of the FNE memory: lib/pref/fne-memory.ts. */
struct pref_memory_set {
	struct bpf_spin_lock lock;
	__u32 reserved;
	struct pref_memory_entry entries[MEMORY_WAYS];
};

/* The bucket of all FNE packets from outside. */
struct pref_limiter {
	struct bpf_spin_lock lock;
	__u32 reserved;
	__s64 full_at_ns;
};

/* lib/pref/reasons.ts, GatewayCounters. Only grows. */
struct pref_counters {
	__u64 packets[PREF_REASON_SLOTS];
	__u64 events[PREF_EVENT_SLOTS];
	/* By path ID of the route. */
	__u64 not_lect_bytes[64];
	__u64 inbound_bytes[64];
	__u64 unrouted_lex_marked_bytes;
	/* Reports for the detector of failures that found no room. */
	__u64 reports_lost;
	/* Packets that did not go through the kernel's forwarding. */
	__u64 redirected;
};

/* Kinds of reports. */
#define REPORT_LOSS 1
#define REPORT_FLOWLET 2
#define REPORT_INBOUND 3
#define REPORT_DATA 4
#define REPORT_SENDING 5
/* For TurnoverMeter: noteFlowlet and noteLoss. */
#define REPORT_BEGUN 6
#define REPORT_LEX 7

/*
 * What FailureDetector is to be told: noteLoss, noteFlowlet, noteInbound or noteSending, with the time. Destination and
 * slot are 0 in a report of an inbound segment, and the fields of TCP are filled in for that and for REPORT_DATA only.
 *
 * REPORT_DATA is noteAck and noteInboundData in one: an inbound segment with payload; where the flow's acknowledgments
 * go, and the highest of them.
 */
struct pref_report {
	__u64 time_ns;
	__u32 kind;
	__u32 destination;
	__u32 slot;
	__u32 h1;
	__u32 h2;
	__u32 seq;
	__u32 ack;
	__u32 payload_length;
	__u32 tcp_flags;
	/*
	 * The processor's number << 24 | reports that it had no room for, modulo 2^24. After a gap an answer may be unknown:
	 * which flows wait for one is forgotten.
	 */
	__u32 lost;
};

/*
 * A flow that was reported: only of such are inbound segments reported. Found by its hash alone, and overwritten by the
 * next flow there, which costs evidence.
 */
struct pref_watched_flow {
	__u32 h2;
	/* ms modulo 2^32: last report of any kind. */
	__u32 time_ms;
	/* A loss was reported and no inbound segment since. */
	__u32 is_exposed;
	__u32 is_used;
	/* It was reported to send, and no answer since: until then every inbound segment is reported. */
	__u32 is_waiting;
	/* The last acknowledgment that was reported, and where data from outside ended, if has_ack. */
	__u32 has_ack;
	__u32 ack;
	__u32 end;
};

#define WATCHED_FLOWS 16384
/* The detector forgets flows after 2 s of silence. */
#define WATCHED_MS 4000
/* A flow that waits for an answer keeps its place for so long. */
#define WAITING_MS 1000
/* Segments of a flow that is not in trouble are not all reported. */
#define REPORT_GAP_MS 5

/* A flow that is known to wait is reported to send again after so long: a tick of the detector. */
#define SENDING_GAP_MS 10

/*
 * How much the process is told, of all processors together; two that come at the same moment may count as one. Packets
 * of flows that only send: how many are looked at, which is FailureDetector.isToSample.
 */
struct pref_sampled {
	/* Up to when packets were granted, ns. */
	__u64 time_ns;
	/* When the process was woken last, ns. */
	__u64 woken_ns;
	/* Packets that may still be looked at until the time goes on. */
	__u32 left;
	__u32 reserved;
};

/*
 * Reports from which nothing is decided wake the process no more often, ns. It takes up what waits before it looks at the
 * time, so that it knows no less.
 */
#define WAKING_GAP_NS 5000000
#define SAMPLED_A_MS 8
/* The coarse clock goes on with the kernel's ticks, every 1 to 10 ms: what a pause grants is no more than the longest does. */
#define LONGEST_TICK_MS 10

/*
 * A flow that receives: lib/pref/repeat-watch.ts. Found by its hash alone; it keeps its place until it was idle for a
 * while.
 */
struct pref_receiver {
	__u32 h2;
	__u32 is_used;
	/* ms modulo 2^32: last acknowledgment or data. */
	__u32 time_ms;
	/* ms modulo 2^32: last report. */
	__u32 reported_ms;
	/* Where its acknowledgments go. */
	__u32 destination;
	__u32 slot;
	/* The highest of them on this route. */
	__u32 ack;
	/* Where its highest segment from outside ends, once there was one. */
	__u32 end;
	__u32 has_end;
	/*
	 * What was reported last had come again: new data is reported at once. is_exposed does not say it: the process, which
	 * is not told of all data, may have found an exposure where there is none here, and has to hear that it is over.
	 */
	__u32 is_repeated;
	/* ms modulo 2^32: new data, an exposure, or the first acknowledgment on this route, whichever was last. */
	__u32 quiet_from_ms;
	/* New data came after an acknowledgment. */
	__u32 is_answered;
	/* Data that was acknowledged by this route came again, and no new data since. */
	__u32 is_exposed;
};

#define RECEIVERS 1024
#define RECEIVER_IDLE_MS IDLE_MS
/* New data of a flow is not all reported, nor all of what comes again at once. */
#define DATA_GAP_MS 20
#define REPEAT_GAP_MS 1

struct pref_probe_key {
	__u32 h1;
	__u32 h2;
	__u32 destination;
	__u32 slot;
};

struct pref_flow_key {
	__u32 h1;
	__u32 h2;
};

struct pref_failing {
	__u32 destination;
	__u32 slot;
};

struct {
	__uint(type, BPF_MAP_TYPE_ARRAY);
	__uint(max_entries, 1);
	__type(key, __u32);
	__type(value, struct pref_settings);
} settings SEC(".maps");

struct {
	__uint(type, BPF_MAP_TYPE_HASH);
	__uint(max_entries, 64);
	__type(key, __u32);
	__type(value, struct pref_device);
} devices SEC(".maps");

struct {
	__uint(type, BPF_MAP_TYPE_ARRAY);
	__uint(max_entries, 1);
	__type(key, __u32);
	__type(value, struct pref_inside_device);
} inside_device SEC(".maps");

struct {
	__uint(type, BPF_MAP_TYPE_LPM_TRIE);
	__uint(max_entries, 65536);
	__uint(map_flags, BPF_F_NO_PREALLOC);
	__type(key, struct prefix4);
	__type(value, __u32);
} prefixes4 SEC(".maps");

struct {
	__uint(type, BPF_MAP_TYPE_LPM_TRIE);
	__uint(max_entries, 65536);
	__uint(map_flags, BPF_F_NO_PREALLOC);
	__type(key, struct prefix6);
	__type(value, __u32);
} prefixes6 SEC(".maps");

struct {
	__uint(type, BPF_MAP_TYPE_LPM_TRIE);
	__uint(max_entries, 1024);
	__uint(map_flags, BPF_F_NO_PREALLOC);
	__type(key, struct prefix4);
	__type(value, __u32);
} inside4 SEC(".maps");

struct {
	__uint(type, BPF_MAP_TYPE_LPM_TRIE);
	__uint(max_entries, 1024);
	__uint(map_flags, BPF_F_NO_PREALLOC);
	__type(key, struct prefix6);
	__type(value, __u32);
} inside6 SEC(".maps");

struct {
	__uint(type, BPF_MAP_TYPE_ARRAY);
	__uint(max_entries, 4096);
	__type(key, __u32);
	__type(value, struct pref_destination);
} destinations SEC(".maps");

struct {
	__uint(type, BPF_MAP_TYPE_ARRAY);
	__uint(max_entries, 4096);
	__type(key, __u32);
	__type(value, struct pref_destination_state);
} destination_states SEC(".maps");

/* destination * routes + slot. The process reads it where it stands. */
struct {
	__uint(type, BPF_MAP_TYPE_ARRAY);
	__uint(map_flags, BPF_F_MMAPABLE);
	__uint(max_entries, 65536);
	__type(key, __u32);
	__type(value, struct pref_meter);
} meters SEC(".maps");

struct {
	__uint(type, BPF_MAP_TYPE_ARRAY);
	__uint(max_entries, 16384);
	__type(key, __u32);
	__type(value, struct pref_memory_set);
} fne_memory SEC(".maps");

struct {
	__uint(type, BPF_MAP_TYPE_ARRAY);
	__uint(max_entries, 1);
	__type(key, __u32);
	__type(value, struct pref_limiter);
} limiter SEC(".maps");

struct {
	__uint(type, BPF_MAP_TYPE_PERCPU_ARRAY);
	__uint(max_entries, 1);
	__type(key, __u32);
	__type(value, struct pref_counters);
} counters SEC(".maps");

/* Path ID * 2, + 1 for IPv6 packets. */
struct {
	__uint(type, BPF_MAP_TYPE_PERCPU_ARRAY);
	__uint(max_entries, 128);
	__type(key, __u32);
	__type(value, struct pref_next_hop);
} next_hops SEC(".maps");

struct {
	__uint(type, BPF_MAP_TYPE_RINGBUF);
	__uint(max_entries, 1048576);
} reports SEC(".maps");

struct {
	__uint(type, BPF_MAP_TYPE_ARRAY);
	__uint(max_entries, WATCHED_FLOWS);
	__type(key, __u32);
	__type(value, struct pref_watched_flow);
} watched SEC(".maps");

struct {
	__uint(type, BPF_MAP_TYPE_ARRAY);
	__uint(max_entries, 1);
	__type(key, __u32);
	__type(value, struct pref_sampled);
} sampled SEC(".maps");

struct {
	__uint(type, BPF_MAP_TYPE_ARRAY);
	__uint(max_entries, RECEIVERS);
	__type(key, __u32);
	__type(value, struct pref_receiver);
} receivers SEC(".maps");

/* Flowlets that probe a suspended route; made by the programs, deleted by the process when they expose loss. */
struct {
	__uint(type, BPF_MAP_TYPE_LRU_HASH);
	__uint(max_entries, 4096);
	__type(key, struct pref_probe_key);
	__type(value, __u32);
} probes SEC(".maps");

/* Flows found failing by the process: FailureDetector.failingSlot. */
struct {
	__uint(type, BPF_MAP_TYPE_LRU_HASH);
	__uint(max_entries, 8192);
	__type(key, struct pref_flow_key);
	__type(value, struct pref_failing);
} failing SEC(".maps");

/* Flows whose data came again, as the process found: FailureDetector.isRepeated. */
struct {
	__uint(type, BPF_MAP_TYPE_LRU_HASH);
	__uint(max_entries, 8192);
	__type(key, struct pref_flow_key);
	__type(value, __u32);
} repeated SEC(".maps");

#endif
