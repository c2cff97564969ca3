/** Rows that nobody but the links tells of. */
import { describe, expect, it } from 'vitest';
import type { LaneCounters } from '../../../namespaces-lab/links/fabric-core.ts';
import { IntervalRecorder } from '../../../namespaces-lab/runs/interval-recorder.ts';

const PLACE = { name: 'l1', port: 'p-l1', link: 'L1', rateBitsPerSec: 8e6 };

function lane(offeredBytes: number, droppedBytes: number, forwardedBytes: number): LaneCounters {
  return {
    link: 'L1',
    direction: 'forward',
    isDown: false,
    forwardedPackets: 0,
    forwardedBytes,
    droppedPackets: {},
    droppedBytes: {},
    heldPackets: 0,
    ingress: { 'p-l1': { offeredPackets: 0, offeredBytes, droppedPackets: 0, droppedBytes } },
  };
}

describe('rows without a PREFLEX gateway', () => {
  it('are the differences of the links counters, and null for what only the gateway knows', () => {
    const recorder = new IntervalRecorder([PLACE], [{ name: 'c', prefix: '10.0.0.0/8' }], {
      seconds: 0,
      lanes: [lane(1000, 0, 5000)],
    });
    recorder.addByLinks({ seconds: 2, lanes: [lane(401_000, 100_000, 1_005_000)] });
    recorder.addByLinks({ seconds: 4.0004, lanes: [lane(401_000, 100_000, 1_005_000)] });
    const route = {
      name: 'l1',
      up: true,
      bytes: 400_000,
      lexBytes: null,
      fneRepeatBytes: null,
      lossRatio: null,
      trueDropRatio: 0.25,
      flowletRatio: null,
      flowlets: null,
      utilisation: 0.5,
    };
    expect(recorder.intervals).toEqual([
      { t: 2, routes: [route] },
      { t: 4, routes: [{ ...route, bytes: 0, trueDropRatio: 0, utilisation: 0 }] },
    ]);
  });
});
