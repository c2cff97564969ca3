/*
 * Where an address leads: the longest prefix of the destinations (lib/pref/prefix-table.ts) and of what is inside.
 *
 * A trie takes a cache miss a level, so what was found for an address is kept. Each processor has entries of its own,
 * which nobody else writes meanwhile: the programs run in softirqs, and test runs hold these off. The process makes
 * all of them stale by the generation, after it has changed a trie.
 */
#ifndef PREFLEX_PREF_LOOKUP_H
#define PREFLEX_PREF_LOOKUP_H

#define NO_DESTINATION 0xffffffff

/* Written by the process. */
struct pref_lookup_state {
	/* Entries of another generation are stale; never 0. */
	__u32 generation;
	/* Entries of each processor, a power of two, less one; and processors that have entries. */
	__u32 entry_mask;
	__u32 processors;
};

/* What was found for an address. */
struct pref_target {
	__u32 address[4];
	__u32 version;
	__u32 generation;
	/* NO_DESTINATION where there is none. */
	__u32 destination;
	/* INSIDE_DOMAIN, INSIDE_GATEWAY, or 0 for an address outside. */
	__u32 inside;
};

struct {
	__uint(type, BPF_MAP_TYPE_ARRAY);
	__uint(max_entries, 1);
	__type(key, __u32);
	__type(value, struct pref_lookup_state);
} lookup_state SEC(".maps");

/* Processor * entries + hash. */
struct {
	__uint(type, BPF_MAP_TYPE_ARRAY);
	__uint(max_entries, 4096);
	__type(key, __u32);
	__type(value, struct pref_target);
} targets SEC(".maps");

/* Both longest prefixes of an address, by the tries. */
__noinline int search_tries(struct pref_target *target)
{
	const __u32 *destination, *inside;

	if (!target)
		return 0;
	if (target->version == 4) {
		struct prefix4 key = { .length = 32, .address = bpf_htonl(target->address[0]) };

		destination = bpf_map_lookup_elem(&prefixes4, &key);
		inside = bpf_map_lookup_elem(&inside4, &key);
	} else {
		struct prefix6 key = { .length = 128 };

		for (int i = 0; i < 4; i++)
			key.address[i] = bpf_htonl(target->address[i]);
		destination = bpf_map_lookup_elem(&prefixes6, &key);
		inside = bpf_map_lookup_elem(&inside6, &key);
	}
	target->destination = destination ? *destination : NO_DESTINATION;
	target->inside = inside ? *inside : 0;
	return 0;
}

/* The entry of this processor for an address, whoever's it is; 0 for none. */
static __always_inline struct pref_target *entry_of(const struct pref_target *target,
						    const struct pref_lookup_state *state)
{
	__u32 hash = target->address[0] * 0x9e3779b1;
	__u32 processor = bpf_get_smp_processor_id();

	if (target->version == 6) {
		for (int i = 1; i < 4; i++)
			hash = (hash ^ (hash >> 15) ^ target->address[i]) * 0x9e3779b1;
	}
	if (processor >= state->processors)
		return 0;
	__u32 index = processor * (state->entry_mask + 1) + ((hash ^ (hash >> 16)) & state->entry_mask);
	return bpf_map_lookup_elem(&targets, &index);
}

/*
 * Looks the destination address up, the source address where is_source: found_inside and found_destination of the step.
 * Returns whether there is a destination.
 */
__noinline int look_up(struct pref_step *step, __u32 is_source)
{
	struct pref_target target = {};
	__u32 zero = 0;

	if (!step)
		return 0;
	const struct pref_lookup_state *state = bpf_map_lookup_elem(&lookup_state, &zero);
	if (!state)
		return 0;
	const struct packet *packet = &step->packet;
	target.version = packet->version;
	/* Before the tries: what they say may be older than the next generation. */
	target.generation = *(volatile const __u32 *)&state->generation;
	target.address[0] = is_source ? packet->src[0] : packet->dst[0];
	if (packet->version == 6) {
		for (int i = 1; i < 4; i++)
			target.address[i] = is_source ? packet->src[i] : packet->dst[i];
	}
	struct pref_target *entry = entry_of(&target, state);
	if (entry && entry->generation == target.generation && entry->version == target.version &&
	    entry->address[0] == target.address[0] && entry->address[1] == target.address[1] &&
	    entry->address[2] == target.address[2] && entry->address[3] == target.address[3]) {
		step->found_destination = entry->destination;
		step->found_inside = entry->inside;
		return entry->destination != NO_DESTINATION;
	}
	search_tries(&target);
	if (entry)
		*entry = target;
	step->found_destination = target.destination;
	step->found_inside = target.inside;
	return target.destination != NO_DESTINATION;
}

#endif
