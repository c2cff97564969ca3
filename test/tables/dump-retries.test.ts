/** When interrupted dumps are asked for again. */
import { describe, expect, it } from 'vitest';
import { DumpRetries } from '../../lib/runtime/dump-retries.ts';

describe('a dump that is interrupted each time', () => {
  it('is asked for again after waits that double, up to a minute', () => {
    const retries = new DumpRetries<string>();
    const waits = Array.from({ length: 8 }, () => {
      retries.noteInterrupted('table', 5000);
      const waitMs = retries.dueAtMs - 5000;
      expect(retries.takeDue(retries.dueAtMs - 1)).toEqual([]);
      expect(retries.takeDue(retries.dueAtMs)).toEqual(['table']);
      return waitMs;
    });
    expect(waits).toEqual([1000, 2000, 4000, 8000, 16_000, 32_000, 60_000, 60_000]);
    expect(retries.dueAtMs).toBe(Infinity);
  });

  it('waits shortly again once it was whole', () => {
    const retries = new DumpRetries<string>();
    for (let i = 0; i < 3; i++) retries.noteInterrupted('table', 0);
    retries.noteWhole('table');
    expect(retries.dueAtMs).toBe(Infinity);
    retries.noteInterrupted('table', 0);
    expect(retries.dueAtMs).toBe(1000);
  });

  it('goes on with its longer waits when everything was asked for meanwhile', () => {
    const retries = new DumpRetries<string>();
    retries.noteInterrupted('table', 0);
    retries.cancel();
    expect(retries.dueAtMs).toBe(Infinity);
    retries.noteInterrupted('table', 0);
    expect(retries.dueAtMs).toBe(2000);
  });
});
