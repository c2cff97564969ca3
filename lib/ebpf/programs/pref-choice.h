/*
 * The hash of a flow and the choice of a route: the twin of lib/pref/flow-hash.ts, log2.ts and selector.ts, function by
 * function. What is long is a function of its own to the verifier, which checks it once.
 */
#ifndef PREFLEX_PREF_CHOICE_H
#define PREFLEX_PREF_CHOICE_H

#define NO_ROUTE (-1)

/*
 * Always all of them, without a branch on what a slot holds: the verifier would follow all combinations. Not unrolled:
 * the programs would outgrow the stack.
 */
#define FOR_EACH_SLOT _Pragma("clang loop unroll(disable)") for (__u32 slot = 0; slot < MAX_ROUTES; slot++)

/* The packet in hand, and what was found out about it. */
struct pref_step {
	/* 0 as long as nobody has asked: now_of. */
	__s64 now_ns;
	struct packet packet;
	/* Whether the packet has ports: PARSE_OK. */
	__u32 has_ports;
	__u32 codepoint;
	/* Path ID of the packet's own mark. */
	__u32 path;
	/* On the wire. */
	__u32 bytes;
	__u32 destination;
	/* What look_up found last: where the address is inside (INSIDE_*), and its destination. */
	__u32 found_inside;
	__u32 found_destination;
	/* Slots that lead there, those that are up, those that are suspended. */
	__u32 allowed;
	__u32 up;
	__u32 suspended;
	/* FlowHash. */
	__u32 h1;
	__u32 h2;
	__u32 reason;
	/* Where the program is to send the packet itself, once find_next_hop found that it can; 0: the kernel forwards. */
	__u32 out_ifindex;
	struct bpf_redir_neigh next_hop;
};

static const __u32 log2_steps[] = LOG2_STEPS;

static __always_inline const struct pref_settings *find_settings(void)
{
	__u32 zero = 0;

	return bpf_map_lookup_elem(&settings, &zero);
}

/* Reading the clock takes as long as several look-ups, and most packets need no time. */
static __always_inline __s64 now_of(struct pref_step *step)
{
	if (!step->now_ns)
		step->now_ns = bpf_ktime_get_ns();
	return step->now_ns;
}

static __always_inline __u32 mix_bits(__u32 h)
{
	h = (h ^ (h >> 16)) * 0x85ebca6b;
	h = (h ^ (h >> 13)) * 0xc2b2ae35;
	return h ^ (h >> 16);
}

static __always_inline void add_word(__u32 *h1, __u32 *h2, __u32 seed1, __u32 word)
{
	__u32 k = word * 0xcc9e2d51;
	__u32 h;

	k = ((k << 15) | (k >> 17)) * 0x1b873593;
	h = *h1 ^ k;
	h = (h << 13) | (h >> 19);
	*h1 = h * 5 + 0xe6546b64;
	k = (word ^ seed1) * 0xab0e9789;
	k = ((k << 16) | (k >> 16)) * 0x38b34ae5;
	h = *h2 ^ k;
	h = (h << 17) | (h >> 15);
	*h2 = h * 5 + 0x561ccd1b;
}

/* FlowHash.compute; the hash is in the step. */
__noinline int hash_flow(struct pref_step *step, __u32 is_inbound, __u32 has_ports)
{
	const struct pref_settings *set = find_settings();

	if (!step || !set)
		return 0;
	const struct packet *packet = &step->packet;
	__u32 seed1 = set->seed1;
	__u32 h1 = seed1;
	__u32 h2 = set->seed2;
	for (int i = 0; i < 4; i++) {
		if (i > 0 && packet->version == 4)
			break;
		add_word(&h1, &h2, seed1, is_inbound ? packet->dst[i] : packet->src[i]);
	}
	for (int i = 0; i < 4; i++) {
		if (i > 0 && packet->version == 4)
			break;
		add_word(&h1, &h2, seed1, is_inbound ? packet->src[i] : packet->dst[i]);
	}
	if (has_ports) {
		__u32 inside = is_inbound ? packet->dst_port : packet->src_port;
		__u32 outside = is_inbound ? packet->src_port : packet->dst_port;

		add_word(&h1, &h2, seed1, (inside << 16) | outside);
	}
	add_word(&h1, &h2, seed1, packet->protocol);
	h1 = mix_bits(h1);
	step->h1 = h1;
	step->h2 = mix_bits(h2 ^ h1);
	return 0;
}

static __always_inline __u32 score_of(const struct pref_step *step, __u32 path_id)
{
	return mix_bits(mix_bits(step->h1 ^ (path_id * 0x9e3779b1)) ^ step->h2);
}

/* distanceOf in log2.ts. */
__noinline int distance_of(__u32 score)
{
	__u32 rest = score;
	__u64 bits = 0;

	for (__u32 half = 16; half > 0; half >>= 1) {
		if (rest >> half) {
			bits += half;
			rest >>= half;
		}
	}
	bits += rest;
	__u32 fraction = (2ULL * score + 1) << (32 - bits);
	__u32 step = fraction >> 24;
	__u64 from = log2_steps[step];
	__u64 part = ((log2_steps[step + 1] - from) * ((fraction >> 8) & 0xffff)) >> 16;
	return ((33 - bits) << LOG2_FRACTION_BITS) - from - part;
}

/* The masks of the destination. */
static __always_inline void load_masks(struct pref_step *step, const struct pref_settings *set)
{
	__u32 destination = step->destination;
	const struct pref_destination *found = bpf_map_lookup_elem(&destinations, &destination);

	if (!found)
		return;
	__u64 masks = *(volatile const __u64 *)&found->masks;
	step->allowed = masks & 0xffff;
	step->up = (masks >> 16) & 0xffff & set->up_mask;
	__u32 suspended = (masks >> 32) & 0xffff;
	/* Suspensions.maskOf: not when nothing else is up. */
	step->suspended = (step->up & ~suspended) ? suspended : 0;
}

/* The weights of a destination; the mask of the routes that are up is returned, 0 for no destination. */
static __always_inline __u32 load_weights(const struct pref_step *step, __u32 *weights)
{
	const struct pref_settings *set = find_settings();
	__u32 destination = step->destination;
	struct pref_destination *found = bpf_map_lookup_elem(&destinations, &destination);

	if (!set || !found)
		return 0;
	__u32 up_mask = set->up_mask;
	bpf_spin_lock(&found->lock);
	__u32 up = (found->masks >> 16) & 0xffff & up_mask;
	FOR_EACH_SLOT
		weights[slot] = found->weights[slot];
	bpf_spin_unlock(&found->lock);
	return up;
}

static __always_inline __u64 count_bits(__u64 mask)
{
	mask = (mask & 0x5555) + ((mask >> 1) & 0x5555);
	mask = (mask & 0x3333) + ((mask >> 2) & 0x3333);
	mask = (mask & 0x0f0f) + ((mask >> 4) & 0x0f0f);
	return (mask & 0xff) + (mask >> 8);
}

/* All bits set where the number is below 0, else none; without a branch, also in the compiler's eyes. */
static __always_inline __u64 mask_below_zero(__s64 number)
{
	__s64 mask = number;

	barrier_var(mask);
	mask >>= 63;
	barrier_var(mask);
	return mask;
}

/* All bits set for a route that is up and has a weight. */
static __always_inline __u64 claim_of(const struct pref_destination *found, __u64 up, __u32 slot)
{
	return mask_below_zero(-(__s64)(found->weights[slot] & -((up >> slot) & 1)));
}

/* settleCredits in selector.ts; under the lock of the destination. */
static __always_inline void settle_credits(const struct pref_destination *found, struct pref_destination_state *state,
					   __u64 up)
{
	__s64 sum = 0, count = 0;

	FOR_EACH_SLOT {
		__u64 has_claim = claim_of(found, up, slot);
		__s64 credit = state->credits[slot] & has_claim;

		state->credits[slot] = credit;
		sum += credit;
		count -= has_claim;
	}
	if (sum == 0)
		return;
	/* Division knows no sign: mean = floor(sum / count). */
	__s64 mean = sum < 0 ? -(__s64)(((__u64)-sum + count - 1) / count) : (__s64)((__u64)sum / count);
	__s64 rest = sum - mean * count;
	FOR_EACH_SLOT {
		__u64 has_claim = claim_of(found, up, slot);

		/* One more as long as rest > 0. */
		state->credits[slot] -= (mean - mask_below_zero(-rest)) & has_claim;
		rest += has_claim;
	}
}

/* ditherOf in selector.ts. */
static __always_inline __s64 dither_of(__u32 h1, __u32 slot)
{
	return (__u64)(mix_bits(h1 + slot * 0x9e3779b1) >> (32 - DITHER_BITS)) * DITHER_STEP;
}

/* Selector.pick; a slot, or NO_ROUTE when none is up. */
__noinline int pick(struct pref_step *step, __u32 exclude)
{
	const struct pref_settings *set = find_settings();
	__u64 total = 0, sum = 0, gains = 0, best = 0;
	__s64 best_credit = -(1LL << 60);

	if (!step || !set)
		return NO_ROUTE;
	__u32 up_mask = set->up_mask;
	__u32 destination = step->destination;
	__u32 h1 = step->h1;
	struct pref_destination *found = bpf_map_lookup_elem(&destinations, &destination);
	struct pref_destination_state *state = bpf_map_lookup_elem(&destination_states, &destination);
	if (!found || !state)
		return NO_ROUTE;

	bpf_spin_lock(&found->lock);
	__u64 up = (found->masks >> 16) & 0xffff & up_mask;
	__u64 candidates = up & ~(__u64)exclude;
	if (!candidates)
		candidates = up;
	FOR_EACH_SLOT {
		__u64 weight = found->weights[slot];

		total += weight & -((up >> slot) & 1);
		sum += weight & -((candidates >> slot) & 1);
	}
	/* Where all candidates have ratio 0 they count the same. */
	__u64 equal_gain = WEIGHT_SCALE / count_bits(candidates) & ~mask_below_zero(-(__s64)sum);
	if (sum)
		settle_credits(found, state, up);
	FOR_EACH_SLOT {
		__u64 gain = (found->weights[slot] * total / sum | equal_gain) & -((candidates >> slot) & 1);
		__s64 credit = state->credits[slot] + gain;
		__s64 dithered = credit + dither_of(h1, slot);
		/* Gains something, and is richer than those before. */
		__u64 is_best = mask_below_zero(-(__s64)gain) & mask_below_zero(best_credit - dithered);

		gains += gain;
		state->credits[slot] = credit;
		best_credit += (dithered - best_credit) & is_best;
		best ^= (best ^ slot) & is_best;
	}
	state->credits[best & (MAX_ROUTES - 1)] -= gains;
	bpf_spin_unlock(&found->lock);
	return candidates ? (int)(best & (MAX_ROUTES - 1)) : NO_ROUTE;
}

/* Selector.chooseEqually. */
__noinline int choose_equally(struct pref_step *step, __u32 exclude)
{
	const struct pref_settings *set = find_settings();
	__s64 best_score = -1;
	int best = NO_ROUTE;

	if (!step || !set)
		return NO_ROUTE;
	__u32 up = step->up & ~exclude;
	if (!up)
		up = step->up;
	for (int slot = 0; slot < MAX_ROUTES && up >> slot; slot++) {
		__s64 score = score_of(step, set->path_id_of[slot]);

		if (!((up >> slot) & 1) || score <= best_score)
			continue;
		best_score = score;
		best = slot;
	}
	return best;
}

struct pref_nearest {
	__u64 distance;
	__u64 weight;
	int slot;
};

/* One round of chooseByRatio: takes the slot if it is nearer. */
__noinline int try_slot(struct pref_step *step, struct pref_nearest *nearest, __u32 slot, __u64 weight)
{
	const struct pref_settings *set = find_settings();

	if (!step || !nearest || !set)
		return 0;
	__u64 distance = (__u32)distance_of(score_of(step, set->path_id_of[slot & (MAX_ROUTES - 1)]));
	if (nearest->slot >= 0 && distance * nearest->weight >= nearest->distance * weight)
		return 0;
	nearest->distance = distance;
	nearest->weight = weight;
	nearest->slot = slot;
	return 0;
}

/* Selector.chooseByRatio. */
__noinline int choose_by_ratio(struct pref_step *step, __u32 exclude)
{
	__u32 weights[MAX_ROUTES];
	struct pref_nearest nearest = { .slot = NO_ROUTE };

	if (!step)
		return NO_ROUTE;
	__u32 up = load_weights(step, weights);
	if (up & ~exclude)
		up &= ~exclude;
	if (!up)
		return NO_ROUTE;
	for (int slot = 0; slot < MAX_ROUTES; slot++) {
		if (((up >> slot) & 1) && weights[slot])
			try_slot(step, &nearest, slot, weights[slot]);
	}
	return nearest.slot < 0 ? choose_equally(step, exclude) : nearest.slot;
}

#endif
