/** The histogram of lateness. */
import { describe, expect, it } from 'vitest';
import { LatenessHistogram } from '../../../namespaces-lab/links/lateness.ts';

describe('LatenessHistogram', () => {
  it('gives quantiles to 5 us and the exact maximum', () => {
    const histogram = new LatenessHistogram();
    for (let i = 1; i <= 1000; i++) histogram.add(i * 2000);
    expect(histogram.report()).toEqual({
      packets: 1000,
      p50Ms: 1.005,
      p90Ms: 1.805,
      p99Ms: 1.985,
      p999Ms: 2,
      maxMs: 2,
      over1MsRatio: 0.501,
    });
  });

  it('gives the maximum for what lies beyond its last step', () => {
    const histogram = new LatenessHistogram();
    histogram.add(123e6);
    expect(histogram.report()).toMatchObject({ p50Ms: 123, maxMs: 123 });
  });

  it('says nothing without packets, and after reset', () => {
    const histogram = new LatenessHistogram();
    histogram.add(5);
    histogram.reset();
    expect(histogram.report()).toMatchObject({ packets: 0, p50Ms: null, maxMs: null, over1MsRatio: 0 });
  });
});
