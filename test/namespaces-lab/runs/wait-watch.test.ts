/** How long processes waited for a processor, from what the kernel says. */
import { describe, expect, it } from 'vitest';
import { parseSchedstat, processWait } from '../../../namespaces-lab/runs/wait-watch.ts';

describe('the wait of a process', () => {
  it('is the part of the time in which it could run that it waited', () => {
    const start = parseSchedstat('1000000000 500000000 100\n');
    const end = parseSchedstat('4000000000 1500000000 600\n');
    expect(processWait(start, end)).toEqual({
      ranSeconds: 3,
      waitedSeconds: 1,
      waitedRatio: 0.25,
      meanWaitMs: 2,
    });
  });

  it('is none where it never could', () => {
    const idle = parseSchedstat('5 7 9\n');
    expect(processWait(idle, idle)).toEqual({
      ranSeconds: 0,
      waitedSeconds: 0,
      waitedRatio: 0,
      meanWaitMs: 0,
    });
  });
});
