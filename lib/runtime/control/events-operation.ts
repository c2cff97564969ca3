/** The operation `events`, which both daemons have. */
import { rejectUnknownKeys, requireInteger } from '../../errors.ts';
import { nowNs } from '../../sys/clock.ts';
import type { DaemonEvent, EventLog } from '../events.ts';
import type { ControlOperation } from './server.ts';

/** Answer of `events`. */
export interface EventsAnswer {
  /** What to ask for next: `since` this number. A daemon that was started again counts from 0. */
  readonly next: number;
  /** Now, on the clock of the events' `timeNs`. */
  readonly nowNs: number;
  /** From `since` on, oldest first; when the first has a later number, those before are not kept any more. */
  readonly events: readonly DaemonEvent[];
}

/** `events` with the argument `since`, a number from 0, default 0. */
export function eventsOperation(log: EventLog): ControlOperation {
  return (args): EventsAnswer => {
    rejectUnknownKeys('args', args, ['since']);
    const since = requireInteger('since', (args['since'] ?? 0) as number, 0, Number.MAX_SAFE_INTEGER);
    return { next: log.next, nowNs: nowNs(), events: log.since(since) };
  };
}

/** Events that an explanation tells at most. */
const TOLD_EVENTS = 10;

/** The last events that are meant, the newest first. */
export function recentEvents(log: EventLog, isMeant: (event: DaemonEvent) => boolean): DaemonEvent[] {
  return log.since().filter(isMeant).slice(-TOLD_EVENTS).reverse();
}
