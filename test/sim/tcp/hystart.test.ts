import { describe, expect, it } from 'vitest';
import { TcpConnection } from '../../../lib/sim/tcp/connection.ts';
import { HystartState, takeHystartRtt } from '../../../lib/sim/tcp/hystart.ts';

const MSS = 1000;
const MS = 1e6;

/** A connection in slow start with that window in segments, and round trips of 100 ms so far. */
function slowStart(segments: number, seesTrains = true): TcpConnection {
  const c = new TcpConnection(0);
  c.mss = MSS;
  c.cwndBytes = segments * MSS;
  c.nxt = segments * MSS;
  c.hystart = new HystartState(c.nxt, 0, seesTrains);
  takeHystartRtt(c, 100 * MS, 0);
  return c;
}

/** A round of so many acknowledgements, each that long after the one before, with that round trip. */
function round(c: TcpConnection, count: number, gapMs: number, rttMs: number, startMs = 1000): void {
  c.una = c.nxt + 1;
  c.nxt = c.una + c.cwndBytes;
  for (let i = 0; i < count; i++) takeHystartRtt(c, rttMs * MS, (startMs + i * gapMs) * MS);
}

describe('HyStart as in Linux', () => {
  it('ends slow start when the first round trips of a round are an eighth longer than the least one', () => {
    const c = slowStart(40);
    round(c, 9, 5, 113);
    expect(c.ssthreshBytes).toBe(c.cwndBytes);
  });

  it('goes on while they are not, and while there are fewer than eight to tell from', () => {
    const c = slowStart(40);
    round(c, 30, 5, 112);
    round(c, 8, 5, 150, 2000);
    expect(c.ssthreshBytes).toBe(Infinity);
  });

  it('goes by the least of the round, which one late acknowledgement does not change', () => {
    const c = slowStart(40);
    round(c, 1, 0, 100);
    for (let i = 1; i < 20; i++) takeHystartRtt(c, 150 * MS, (1000 + 5 * i) * MS);
    expect(c.ssthreshBytes).toBe(Infinity);
  });

  it('ends it when acknowledgements come in a train of half the least round trip', () => {
    const c = slowStart(40);
    round(c, 26, 2, 100);
    expect(c.ssthreshBytes).toBe(Infinity);
    takeHystartRtt(c, 100 * MS, 1052 * MS);
    expect(c.ssthreshBytes).toBe(c.cwndBytes);
  });

  it('takes acknowledgements more than 2 ms apart for no train', () => {
    const c = slowStart(40);
    round(c, 100, 2.1, 100);
    expect(c.ssthreshBytes).toBe(Infinity);
  });

  it('goes on through a train where it is told not to see trains, but not when delay rises', () => {
    const c = slowStart(40, false);
    round(c, 100, 1, 100);
    expect(c.ssthreshBytes).toBe(Infinity);
    round(c, 9, 1, 113, 2000);
    expect(c.ssthreshBytes).toBe(c.cwndBytes);
  });

  it('leaves windows below 16 segments alone', () => {
    const c = slowStart(15);
    round(c, 100, 1, 200);
    expect(c.ssthreshBytes).toBe(Infinity);
  });
});
