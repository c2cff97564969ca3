/**
 * The event log of a daemon: what changed, in short, for whoever shows it (`preflex explain`, `preflex top`, the web
 * page, metrics). One log for each daemon, bounded, numbered.
 *
 *     { "sequence": 17, "time": "2026-03-01T12:00:00.000Z", "timeNs": 5e9, "kind": "routeDown", "route": "north" }
 *
 * `route` is the name of a route and `prefix` the first prefix of a destination wherever an event has one. Numbers
 * count from 0 and have no gaps, so a reader who asks for everything since the number after its last event, and gets a
 * later one first, knows how many it missed.
 */
import type { FailureDecision, FailureEvent } from '../pref/failure-events.ts';
import { nowNs } from '../sys/clock.ts';

/** The evidence of a decision about a failed route; the fields are those of a gateway's failure event. */
export type DecisionEvidence = Pick<
  FailureEvent,
  | 'by'
  | 'sampleFlows'
  | 'failingFlows'
  | 'overdueFlows'
  | 'answeredFlows'
  | 'exposures'
  | 'silenceNs'
  | 'probeAnswers'
  | 'usualFailingShare'
>;

/** A flowlet ratio before and after, 0..1. */
export interface RatioMove {
  readonly route: string;
  readonly before: number;
  readonly after: number;
}

/** What happened. */
export type EventBody =
  /** The device or the table entry of a route went, or came back; or somebody drained the route, or took it back. */
  | { readonly kind: 'routeDown' | 'routeUp' | 'routeDrained' | 'routeUndrained'; readonly route: string }
  /** The marks say that a route failed for a destination, or works again. @see FailureDecision */
  | {
      readonly kind: FailureDecision;
      readonly prefix: string;
      readonly route: string;
      readonly evidence: DecisionEvidence;
    }
  /** Flowlet ratios of a destination that moved by {@link RATIO_STEP} or more since they were last told. */
  | { readonly kind: 'ratioMoved'; readonly prefix: string; readonly routes: readonly RatioMove[] }
  /** The same for many destinations at once, of which only the number is told. */
  | { readonly kind: 'ratiosMoved'; readonly destinations: number }
  /** There is no room in the kernel for so many destinations, and prefixes of others: packets do not find them there. */
  | { readonly kind: 'destinationsLeftOut'; readonly destinations: number; readonly prefixes: number }
  /** Who sends packets by their routes from now on, with a datapath in the kernel that decides that itself. */
  | { readonly kind: 'forwarding'; readonly by: 'kernel' | 'redirect'; readonly reason: string | null }
  /** Somebody took away rules, routes or settings that the daemon had made, and it made them again. */
  | { readonly kind: 'putBack'; readonly what: readonly string[] }
  /** FNE packets go on without assignment, since one prefix or all together are over their limit. */
  | { readonly kind: 'limitReached'; readonly limit: 'prefix' | 'total' }
  /** That is over. `packets` is how many there were. */
  | { readonly kind: 'limitLeft'; readonly limit: 'prefix' | 'total'; readonly packets: number }
  /** The device of a host whose packets stay in the kernel went, or one of its name came and has the programs. */
  | { readonly kind: 'deviceWent' | 'deviceCame'; readonly device: string }
  /** Flows of this host gave up their path after timeouts. */
  | { readonly kind: 'pathsGivenUp'; readonly flows: number }
  /** The configuration file was read again: the fields that changed, or why it was refused. */
  | { readonly kind: 'reload'; readonly ok: true; readonly changed: readonly string[] }
  | { readonly kind: 'reload'; readonly ok: false; readonly message: string }
  /** `preflex set` changed these fields. */
  | { readonly kind: 'set'; readonly changed: readonly string[] };

/** Which kinds of event there are. */
export type EventKind = EventBody['kind'];

/** An event of the log. */
export type DaemonEvent = EventBody & {
  /** Counts from 0. */
  readonly sequence: number;
  /** ISO 8601; the wall clock may be set between two events. */
  readonly time: string;
  /** Monotonic time since the daemon started, ns. */
  readonly timeNs: number;
};

/** Events kept. */
export const MAX_EVENTS = 512;
/** By how much a flowlet ratio moves before that is an event. */
export const RATIO_STEP = 0.05;

/** The log of one daemon. */
export class EventLog {
  readonly #capacity: number;
  readonly #events: DaemonEvent[] = [];
  #next = 0;

  /** @param capacity - events kept, 1 or more */
  constructor(capacity = MAX_EVENTS) {
    this.#capacity = capacity;
  }

  /**
   * Adds an event; when the log is full, the oldest is dropped.
   *
   * @param timeNs - when it happened, monotonic; default now
   */
  add(event: EventBody, timeNs = nowNs()): void {
    if (this.#events.length === this.#capacity) this.#events.shift();
    const time = new Date(Date.now() - (nowNs() - timeNs) / 1e6).toISOString();
    this.#events.push({ sequence: this.#next++, time, timeNs, ...event });
  }

  /** The events from this number on that are still kept, oldest first. */
  since(sequence = 0): readonly DaemonEvent[] {
    return this.#events.filter((event) => event.sequence >= sequence);
  }

  /** The number that the next event will have. */
  get next(): number {
    return this.#next;
  }
}

/** Whether somebody should look: a warning, or for information. */
export function eventLevel(event: EventBody): 'info' | 'warning' {
  switch (event.kind) {
    case 'routeDown':
    case 'suspended':
    case 'allFailing':
    case 'limitReached':
    case 'destinationsLeftOut':
    case 'pathsGivenUp':
    case 'putBack':
    case 'deviceWent':
      return 'warning';
    case 'reload':
      return event.ok ? 'info' : 'warning';
    default:
      return 'info';
  }
}

/** An event in one sentence, without its time. */
export function describeEvent(event: EventBody): string {
  switch (event.kind) {
    case 'routeDown':
      return `route ${event.route} went down`;
    case 'routeUp':
      return `route ${event.route} came up`;
    case 'routeDrained':
      return `route ${event.route} was drained`;
    case 'routeUndrained':
      return `route ${event.route} is no longer drained`;
    case 'suspended':
      return `route ${event.route} suspended for ${event.prefix}: ${describeEvidence(event.evidence)}`;
    case 'returned':
      return `route ${event.route} back for ${event.prefix}: ${event.evidence.probeAnswers} probes in a row answered`;
    case 'allFailing':
      return `every route of ${event.prefix} looks failed, nothing changed; ${event.route}: ${describeEvidence(event.evidence)}`;
    case 'lifted':
      return `route ${event.route} used again for ${event.prefix}: the others look failed as well`;
    case 'regained':
      return `route ${event.route} has its usual ratio for ${event.prefix} again: ${event.evidence.probeAnswers} answers in a row after it had carried next to nothing`;
    case 'withdrawn':
      return `route ${event.route}, suspended for ${event.prefix}, was taken down`;
    case 'switchedOff':
      return `route ${event.route} used again for ${event.prefix}: failures are no longer inferred`;
    case 'ratioMoved': {
      const moves = event.routes.map(
        ({ route, before, after }) => `${route} ${percent(before)} to ${percent(after)}`,
      );
      return `ratios of ${event.prefix}: ${moves.join(', ')} %`;
    }
    case 'ratiosMoved':
      return `ratios of ${event.destinations} more destinations moved`;
    case 'destinationsLeftOut':
      return `no room in the kernel for ${event.destinations} destinations and ${event.prefixes} prefixes of others: see maxDestinations`;
    case 'forwarding':
      return event.by === 'redirect'
        ? 'the programs send packets by their routes: nobody wants to see them on their way'
        : `the kernel forwards: ${event.reason}`;
    case 'limitReached':
      return `limit of FNE packets reached, ${LIMIT_WORDS[event.limit]}: they go on without assignment`;
    case 'limitLeft':
      return `FNE packets within the limit again, ${LIMIT_WORDS[event.limit]}; ${event.packets} were not assigned`;
    case 'putBack':
      return `put back what somebody took away: ${event.what.join('; ')}`;
    case 'deviceWent':
      return `device ${event.device} is gone: nothing is marked until it comes again`;
    case 'deviceCame':
      return `device ${event.device} came, and is marked again`;
    case 'pathsGivenUp':
      return `${event.flows} ${event.flows === 1 ? 'flow' : 'flows'} gave up the path after timeouts`;
    case 'reload':
      return event.ok ? `reloaded, changed: ${listOf(event.changed)}` : `reload refused: ${event.message}`;
    case 'set':
      return `set: ${listOf(event.changed)}`;
  }
}

const LIMIT_WORDS = { prefix: 'of one prefix', total: 'in total' } as const;

function describeEvidence(evidence: DecisionEvidence): string {
  const { answeredFlows, by, exposures, failingFlows, overdueFlows, sampleFlows } = evidence;
  if (by === 'repeats') {
    return `what was acknowledged over it came again, ${exposures} times in ${failingFlows} of ${sampleFlows} sampled flows, ${answeredFlows} just went on`;
  }
  return `${failingFlows} of ${sampleFlows} sampled flows failing with ${exposures} timeouts, ${overdueFlows} overdue, ${answeredFlows} just answered`;
}

function percent(ratio: number): string {
  return (ratio * 100).toFixed(0);
}

function listOf(names: readonly string[]): string {
  return names.length === 0 ? 'nothing' : names.join(', ');
}
