/**
 * How many transfers are to run at the same time: piecewise constant in time, for each class of flows by itself. This
 * is what Figure 2 of the paper shows.
 */
import { invalidOption, requireInteger, requireNumber } from '../../errors.ts';

/** From a time on, so many concurrent flows. */
export interface ScheduleStep {
  /** Seconds after the start. */
  readonly fromSeconds: number;
  readonly flows: number;
}

/** Steps in the order of their times, the first at 0. */
export type FlowSchedule = readonly ScheduleStep[];

/** Checks a schedule and returns it. @throws PreflexError ERR_INVALID_OPTION */
export function requireSchedule(field: string, schedule: FlowSchedule): FlowSchedule {
  let before = -1;
  for (const [i, { fromSeconds, flows }] of schedule.entries()) {
    requireNumber(`${field}[${i}].fromSeconds`, fromSeconds, 0, 1e6);
    requireInteger(`${field}[${i}].flows`, flows, 0, 10_000);
    if (fromSeconds <= before)
      throw invalidOption(`${field}[${i}].fromSeconds`, fromSeconds, `more than ${before}`);
    before = fromSeconds;
  }
  if (schedule[0]?.fromSeconds !== 0) throw invalidOption(field, schedule, 'a first step at 0 seconds');
  return schedule;
}

/** Flows wanted at a time; 0 before the start. */
export function wantedFlows(schedule: FlowSchedule, seconds: number): number {
  let flows = 0;
  for (const step of schedule) {
    if (step.fromSeconds > seconds) break;
    flows = step.flows;
  }
  return flows;
}

/** The same schedule with every time multiplied. */
export function scaleSchedule(schedule: FlowSchedule, factor: number): FlowSchedule {
  return schedule.map(({ fromSeconds, flows }) => ({ fromSeconds: fromSeconds * factor, flows }));
}
