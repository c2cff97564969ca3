import { describe, expect, it } from 'vitest';
import { LOSSES_A_REDUCTION, MAX_WINDOW, meanWindow } from '../../../lib/sim/fluid/tcp-model.ts';

describe('the mean window of a connection', () => {
  it('is the square root of 1.5 over p for NewReno at little loss', () => {
    for (const p of [1e-4, 1e-3]) {
      const law = Math.sqrt((1.5 * LOSSES_A_REDUCTION) / p);
      // Timeouts take 5 % at most there.
      expect(meanWindow(p, 0.2, false) / law).toBeGreaterThan(0.95);
      expect(meanWindow(p, 0.2, false) / law).toBeLessThan(1);
    }
  });

  it('falls well below the square root law where timeouts rule', () => {
    const p = 0.15;
    expect(meanWindow(p, 0.1, false)).toBeLessThan(0.6 * Math.sqrt((1.5 * LOSSES_A_REDUCTION) / p));
  });

  it('is larger for CUBIC where losses are rare and round trips long, the same elsewhere', () => {
    expect(meanWindow(1e-5, 0.2, true)).toBeGreaterThan(2 * meanWindow(1e-5, 0.2, false));
    expect(meanWindow(0.05, 0.05, true)).toBe(meanWindow(0.05, 0.05, false));
  });

  it('never grows with loss, and stays between one segment and the receive buffer', () => {
    for (const isCubic of [false, true]) {
      let before = Infinity;
      for (let p = 0; p <= 1; p = p === 0 ? 1e-8 : p * 1.5) {
        const window = meanWindow(p, 0.1, isCubic);
        expect(window).toBeLessThanOrEqual(before);
        expect(window).toBeGreaterThanOrEqual(1);
        expect(window).toBeLessThanOrEqual(MAX_WINDOW);
        before = window;
      }
    }
  });
});
