/** How many transfers run at the same time: the simulator's schedules. Re-exports only. */
export { requireSchedule, scaleSchedule, wantedFlows } from '../../lib/sim/scenarios/schedule.ts';
export type { FlowSchedule, ScheduleStep } from '../../lib/sim/scenarios/schedule.ts';
