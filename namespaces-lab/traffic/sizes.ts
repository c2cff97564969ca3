/** Sizes of transfers: the simulator's. Re-exports only. */
export { drawSize, PAPER_SIZES } from '../../lib/sim/scenarios/sizes.ts';
export type { SizeModel } from '../../lib/sim/scenarios/sizes.ts';
