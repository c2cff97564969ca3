/**
 * Sizes of transfers. The paper's: Weibull with shape 0.5 and scale 10^6, taken as bytes; mean 2.0 MB, median 0.48 MB,
 * and the largest tenth carries 59 % of the bytes.
 */
import type { RandomStream } from '../../lib/sim/random.ts';
import type { SizeModel } from './flow-class.ts';

/** The paper's sizes. @see paper section 4 */
export const PAPER_SIZES: SizeModel = { weibull: { shape: 0.5, scaleBytes: 1e6 } };

/** Draws a size, bytes, at least 1. */
export function drawSize(model: SizeModel, random: RandomStream): number {
  if ('bytes' in model) return model.bytes;
  return Math.max(1, Math.round(random.weibull(model.weibull.shape, model.weibull.scaleBytes)));
}
