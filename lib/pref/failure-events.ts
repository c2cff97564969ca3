/** What was decided about failed routes, with the evidence: a bounded list, oldest first, for the log. */

/**
 * `suspended`: the route failed for the destination. `returned`: probes over it were answered. `allFailing`: it
 * looks failed, but so do all others, so nothing was changed. `lifted`: it was suspended, and since the last one
 * left looks failed as well, it is used as before. `regained`: it was not suspended, but had carried next to nothing, was
 * answered again, and has its usual ratio. `withdrawn`: it was suspended and was taken down. `switchedOff`: it
 * was suspended, and failures are no longer inferred.
 */
export type FailureDecision = (typeof FAILURE_DECISIONS)[number];

/** Every {@link FailureDecision}. */
export const FAILURE_DECISIONS = [
  'suspended',
  'returned',
  'allFailing',
  'lifted',
  'regained',
  'withdrawn',
  'switchedOff',
] as const;

/** What a suspension rests on: {@link FailureEvent.by}. */
export type EvidenceKind = 'losses' | 'repeats';

/** One decision. */
export interface FailureEvent {
  /** Counts from 0; a gap shows that older events were dropped. */
  readonly number: number;
  /** Monotonic time, ns. */
  readonly timeNs: number;
  readonly destination: number;
  readonly pathId: number;
  readonly decision: FailureDecision;
  /**
   * What `suspended` rests on. `losses`: hosts inside exposed loss, by LEx and repeated FNE packets. `repeats`: hosts
   * outside repeated what had been acknowledged over the route; then the sampled flows are those that receive, an
   * exposure is such a repeat, and an answer is new data.
   */
  readonly by: EvidenceKind;
  /** Flows of the sample that had an event within the last 2 s. */
  readonly sampleFlows: number;
  /** Of these: exposed loss within the window, and nothing has come back since. */
  readonly failingFlows: number;
  /**
   * Of these: sent, and have waited for an answer for twice the RTT, but expose no loss yet. With `repeats` 0.
   */
  readonly overdueFlows: number;
  /** Of these: answered a moment ago. */
  readonly answeredFlows: number;
  /** Timeouts that the failing flows exposed. */
  readonly exposures: number;
  /** How long none of the flows has been answered, ns. */
  readonly silenceNs: number;
  /** For `returned` and `regained`: answers in a row; else 0. */
  readonly probeAnswers: number;
  /** The part of the flows that is failing in ordinary times, 0..1. */
  readonly usualFailingShare: number;
  readonly windowNs: number;
}

/** What there was to decide about, of one kind of evidence. */
export interface EvidenceSum {
  /** Exposures of sampled flows so far: losses told by a sender's timer. */
  readonly exposures: number;
  /** How near a route has come to being suspended for them, of all that is asked for: 0..1, 1 = it came to it. */
  readonly closest: number;
}

/** Events kept. */
export const MAX_FAILURE_EVENTS = 256;

/** The list. */
export class FailureEvents {
  private readonly events: FailureEvent[] = [];
  private next = 0;
  private readonly counts = new Map<FailureDecision, number>();

  /** Adds an event; beyond {@link MAX_FAILURE_EVENTS} the oldest is dropped. */
  add(event: Omit<FailureEvent, 'number'>): void {
    if (this.events.length === MAX_FAILURE_EVENTS) this.events.shift();
    this.events.push({ number: this.next++, ...event });
    this.counts.set(event.decision, this.countOf(event.decision) + 1);
  }

  /** The events from this number on. A reader asks next for the number after the last one it got. */
  since(number: number): readonly FailureEvent[] {
    return this.events.filter((event) => event.number >= number);
  }

  /** How many events of a decision there were. */
  countOf(decision: FailureDecision): number {
    return this.counts.get(decision) ?? 0;
  }

  /** How many events there were. */
  get count(): number {
    return this.next;
  }
}
