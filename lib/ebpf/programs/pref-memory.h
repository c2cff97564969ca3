/* What the gateway remembers and counts: the twin of lib/pref/fne-memory.ts, fne-limiter.ts and meter.ts. */
#ifndef PREFLEX_PREF_MEMORY_H
#define PREFLEX_PREF_MEMORY_H

#define NS_PER_MS 1000000
#define NOT_OLD 0x7fffffff

static __always_inline __u32 ms_of(struct pref_step *step)
{
	return (__u64)now_of(step) / NS_PER_MS;
}

static __always_inline int state_of(__u32 meta)
{
	return meta & 3;
}

static __always_inline __u32 slot_of(__u32 meta)
{
	return (meta >> 2) & 0xf;
}

static __always_inline __u32 tried_of(__u32 meta)
{
	return meta >> 8;
}

static __always_inline int has_slot(__u32 mask, __u32 slot)
{
	return (mask >> (slot & 15)) & 1;
}

static __always_inline int is_over(__u32 time_ms, __u32 now_ms, __s32 lifetime_ms)
{
	__s32 age_ms = now_ms - time_ms;

	return age_ms < 0 || age_ms > lifetime_ms;
}

/* The way of a set that remembers the flow, under its lock; MEMORY_WAYS for none. */
static __always_inline __u32 way_of(const struct pref_memory_set *found, __u32 h1, __u32 h2)
{
	for (__u32 way = 0; way < MEMORY_WAYS; way++) {
		const struct pref_memory_entry *entry = &found->entries[way];

		if (entry->h1 == h1 && entry->h2 == h2 && entry->meta != 0)
			return way;
	}
	return MEMORY_WAYS;
}

/* FneMemory.find: state, slot and tried slots of the flow whose hash is in the step; 0 for none. */
__noinline int find_fne(struct pref_step *step)
{
	const struct pref_settings *set = find_settings();
	__u32 meta = 0, time_ms = 0;

	if (!step || !set)
		return 0;
	__u32 h1 = step->h1, h2 = step->h2;
	__u32 index = h1 & set->memory_set_mask;
	struct pref_memory_set *found = bpf_map_lookup_elem(&fne_memory, &index);
	if (!found)
		return 0;
	bpf_spin_lock(&found->lock);
	__u32 way = way_of(found, h1, h2);
	if (way < MEMORY_WAYS) {
		meta = found->entries[way].meta;
		time_ms = found->entries[way].time_ms;
	}
	bpf_spin_unlock(&found->lock);
	return !meta || is_over(time_ms, ms_of(step), set->memory_lifetime_ms) ? 0 : meta;
}

/* FneMemory.remove. */
__noinline int remove_fne(struct pref_step *step)
{
	const struct pref_settings *set = find_settings();

	if (!step || !set)
		return 0;
	__u32 h1 = step->h1, h2 = step->h2;
	__u32 index = h1 & set->memory_set_mask;
	struct pref_memory_set *found = bpf_map_lookup_elem(&fne_memory, &index);
	if (!found)
		return 0;
	bpf_spin_lock(&found->lock);
	__u32 way = way_of(found, h1, h2);
	if (way < MEMORY_WAYS)
		found->entries[way].meta = 0;
	bpf_spin_unlock(&found->lock);
	return 0;
}

/* GatewayCore.rememberFne: state | slot << 2 | tried << 8. */
__noinline int remember_fne(struct pref_step *step, __u32 meta)
{
	const struct pref_settings *set = find_settings();
	__u32 zero = 0, chosen = 0;
	__s32 oldest = -1;

	if (!step || !set)
		return 0;
	__u32 h1 = step->h1, h2 = step->h2, now_ms = ms_of(step);
	__u32 index = h1 & set->memory_set_mask;
	struct pref_memory_set *found = bpf_map_lookup_elem(&fne_memory, &index);
	struct pref_counters *count = bpf_map_lookup_elem(&counters, &zero);
	if (!found || !count)
		return 0;
	__s32 lifetime_ms = set->memory_lifetime_ms;

	bpf_spin_lock(&found->lock);
	for (int way = 0; way < MEMORY_WAYS; way++) {
		const struct pref_memory_entry *entry = &found->entries[way];

		if (entry->h1 == h1 && entry->h2 == h2 && entry->meta != 0) {
			chosen = way;
			oldest = -1;
			break;
		}
		__s32 age_ms = entry->meta == 0 ? NOT_OLD : (now_ms - entry->time_ms) & NOT_OLD;
		if (age_ms > oldest) {
			oldest = age_ms;
			chosen = way;
		}
	}
	struct pref_memory_entry *entry = &found->entries[chosen & (MEMORY_WAYS - 1)];
	int is_eviction = oldest >= 0 && entry->meta != 0 && !is_over(entry->time_ms, now_ms, lifetime_ms);
	entry->h1 = h1;
	entry->h2 = h2;
	entry->meta = meta;
	entry->time_ms = now_ms;
	bpf_spin_unlock(&found->lock);
	if (is_eviction)
		count->events[EVENT_MEMORY_EVICTION]++;
	return 0;
}

/*
 * FneLimiter.take. One lock at a time: the destination's token is given back when there is none for all; only its time
 * counts from now on then, which is the same.
 */
__noinline int take_token(struct pref_step *step)
{
	const struct pref_settings *set = find_settings();
	__u32 zero = 0;

	if (!step || !set)
		return LIMIT_TOTAL;
	__u32 destination = step->destination;
	__s64 now_ns = now_of(step), token_ns = set->token_ns, ahead_ns = set->ahead_ns;
	__s64 total_token_ns = set->total_token_ns, total_ahead_ns = set->total_ahead_ns;
	struct pref_destination *found = bpf_map_lookup_elem(&destinations, &destination);
	struct pref_destination_state *state = bpf_map_lookup_elem(&destination_states, &destination);
	struct pref_limiter *all = bpf_map_lookup_elem(&limiter, &zero);
	if (!found || !state || !all)
		return LIMIT_TOTAL;

	int is_full = 0;
	bpf_spin_lock(&found->lock);
	__s64 full_at_ns = state->full_at_ns;
	if (full_at_ns <= now_ns + ahead_ns) {
		is_full = 1;
		state->full_at_ns = (full_at_ns > now_ns ? full_at_ns : now_ns) + token_ns;
	}
	bpf_spin_unlock(&found->lock);
	if (!is_full)
		return LIMIT_DESTINATION;

	is_full = 0;
	bpf_spin_lock(&all->lock);
	full_at_ns = all->full_at_ns;
	if (full_at_ns <= now_ns + total_ahead_ns) {
		is_full = 1;
		all->full_at_ns = (full_at_ns > now_ns ? full_at_ns : now_ns) + total_token_ns;
	}
	bpf_spin_unlock(&all->lock);
	if (is_full)
		return LIMIT_NONE;
	bpf_spin_lock(&found->lock);
	state->full_at_ns -= token_ns;
	bpf_spin_unlock(&found->lock);
	return LIMIT_TOTAL;
}

static __always_inline struct pref_meter *find_meter(const struct pref_step *step, const struct pref_settings *set,
						     __u32 slot)
{
	__u32 index = step->destination * set->route_count + (slot & 15);

	return bpf_map_lookup_elem(&meters, &index);
}

/* Meter.addPacket. */
static __always_inline void add_packet(const struct pref_step *step, const struct pref_settings *set, __u32 slot,
				       int is_lex)
{
	struct pref_meter *meter = find_meter(step, set, slot);

	if (!meter)
		return;
	__sync_fetch_and_add(&meter->bytes, step->bytes);
	if (is_lex)
		__sync_fetch_and_add(&meter->lex_bytes, step->bytes);
}

/* Meter.addFneRepeat. */
static __always_inline void add_fne_repeat(const struct pref_step *step, const struct pref_settings *set, __u32 slot)
{
	struct pref_meter *meter = find_meter(step, set, slot);

	if (meter)
		__sync_fetch_and_add(&meter->fne_repeat_bytes, step->bytes);
}

#endif
