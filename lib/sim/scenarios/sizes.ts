/**
 * Sizes of transfers. The paper's: Weibull with shape 0.5 and scale 10^6, taken as bytes; mean 2.0 MB, median 0.48 MB,
 * and the largest tenth carries 59 % of the bytes.
 */
import type { RandomStream } from '../random.ts';

/** How large transfers are: a fixed size, or drawn from a Weibull distribution. */
export type SizeModel =
  { readonly bytes: number } | { readonly weibull: { readonly shape: number; readonly scaleBytes: number } };

/** The paper's sizes. @see paper section 4 */
export const PAPER_SIZES: SizeModel = { weibull: { shape: 0.5, scaleBytes: 1e6 } };

/** Draws a size, bytes, at least 1. */
export function drawSize(model: SizeModel, random: RandomStream): number {
  if ('bytes' in model) return model.bytes;
  return Math.max(1, Math.round(random.weibull(model.weibull.shape, model.weibull.scaleBytes)));
}
