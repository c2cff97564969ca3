/** preflex/udp against node:dgram: every scenario on both, and the same must happen. */
import { describe, expect, it } from 'vitest';
import { SCENARIOS } from './scenarios.ts';
import { runOnBoth } from './trace.ts';

describe('a socket of preflex/udp does what one of node:dgram does', () => {
  it.each(Object.entries(SCENARIOS))('%s', async (_name, scenario) => {
    const [expected, actual] = await runOnBoth(scenario);
    expect(expected.length).toBeGreaterThan(0);
    expect(actual).toEqual(expected);
  });
});
