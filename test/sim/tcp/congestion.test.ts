import { describe, expect, it } from 'vitest';
import { TcpConnection } from '../../../lib/sim/tcp/connection.ts';
import { cubic, CUBIC_ALPHA, CUBIC_C } from '../../../lib/sim/tcp/cubic.ts';
import { newReno } from '../../../lib/sim/tcp/newreno.ts';
import { HystartState } from '../../../lib/sim/tcp/hystart.ts';
import type { CongestionControl } from '../../../lib/sim/tcp/congestion.ts';

const MSS = 1000;

/** A connection in congestion avoidance with that window in segments. */
function connection(control: CongestionControl, segments: number, rttMs: number): TcpConnection {
  const c = new TcpConnection(0);
  c.mss = MSS;
  c.srttNs = rttMs * 1e6;
  c.cwndBytes = segments * MSS;
  control.begin(c);
  return c;
}

/** Acknowledges window after window, one a round trip, and returns the windows in segments after each. */
function rounds(control: CongestionControl, c: TcpConnection, count: number, startNs = 0): number[] {
  return Array.from({ length: count }, (_, i) => {
    const window = c.cwndBytes;
    for (let acked = 0; acked < window; acked += 2 * MSS) {
      control.onAck(c, 2 * MSS, startNs + (i + acked / window) * c.srttNs);
    }
    return c.cwndBytes / MSS;
  });
}

describe('NewReno', () => {
  it('halves at a loss and grows by one segment a round trip', () => {
    const c = connection(newReno, 40, 100);
    newReno.onLoss(c, 40 * MSS, 0);
    expect([c.cwndBytes, c.ssthreshBytes]).toEqual([20 * MSS, 20 * MSS]);
    const windows = rounds(newReno, c, 10);
    expect(windows[9]).toBeGreaterThan(29);
    expect(windows[9]).toBeLessThan(30.5);
  });

  it('never sets the threshold below two segments', () => {
    const c = connection(newReno, 2, 100);
    newReno.onTimeout(c, MSS, 0);
    expect(c.ssthreshBytes).toBe(2 * MSS);
  });

  it('opens the window in slow start by at most two segments an acknowledgement, up to the threshold', () => {
    const c = connection(newReno, 10, 100);
    c.ssthreshBytes = 13.5 * MSS;
    newReno.onAck(c, 5 * MSS, 0);
    expect(c.cwndBytes).toBe(12 * MSS);
    newReno.onAck(c, 2 * MSS, 0);
    // The half segment beyond the threshold counts in congestion avoidance.
    expect(c.cwndBytes).toBeCloseTo(13.5 * MSS + (0.5 * MSS) / 13.5, 6);
  });
});

describe('CUBIC', () => {
  it('takes 0.7 of the window at a loss and is back at the old one after K seconds', () => {
    const c = connection(cubic, 1000, 100);
    cubic.onLoss(c, 1000 * MSS, 0);
    expect(c.cwndBytes).toBeCloseTo(700 * MSS, 6);
    const k = Math.cbrt(300 / CUBIC_C); // 9.09 s
    const windows = rounds(cubic, c, 120);
    const at = (seconds: number): number => windows[Math.round(seconds * 10) - 1];
    expect(at(k) / 1000).toBeCloseTo(1, 2);
    // Concave before, convex after: W_cubic(t) = C (t - K)^3 + W_max.
    for (const seconds of [3, 6, 11]) {
      expect(at(seconds) / (CUBIC_C * (seconds - k) ** 3 + 1000)).toBeCloseTo(1, 1.5);
    }
  });

  it('leaves room for others when it did not come back to its last maximum (fast convergence)', () => {
    const c = connection(cubic, 1000, 100);
    cubic.onLoss(c, 1000 * MSS, 0);
    expect(c.cubic!.wMax).toBe(1000);
    cubic.onLoss(c, 700 * MSS, 1e9);
    expect(c.cubic!.wMax).toBeCloseTo(700 * 0.85, 6);
  });

  it('grows like an AIMD flow with its own factors where the cubic function would be slower', () => {
    // A small window and a short round trip: K is 2.5 s = 250 round trips.
    const c = connection(cubic, 20, 10);
    cubic.onLoss(c, 20 * MSS, 0);
    const windows = rounds(cubic, c, 10);
    expect(windows[9] - 14).toBeCloseTo(10 * CUBIC_ALPHA, 0);
    // Beyond the window of the last loss by one segment a round trip, as NewReno.
    const later = rounds(cubic, c, 20, 10 * c.srttNs);
    expect(later[19] - later[18]).toBeGreaterThan(0.9);
  });

  it("grows by 5 % a round trip with Linux's HyStart while no loss has told what the path holds, then no more", () => {
    const c = connection(cubic, 100, 100);
    c.ssthreshBytes = c.cwndBytes;
    c.hystart = new HystartState(0, 0, true);
    const windows = rounds(cubic, c, 3);
    for (const [i, window] of windows.entries()) expect(window / (100 * 1.05 ** (i + 1))).toBeCloseTo(1, 2);
    cubic.onLoss(c, 100 * MSS, 1e9);
    expect(rounds(cubic, c, 1, 60e9)[0] / (c.ssthreshBytes / MSS)).toBeLessThan(1.04);
  });

  it('begins on its plateau after a timeout', () => {
    const c = connection(cubic, 100, 100);
    cubic.onTimeout(c, 100 * MSS, 0);
    expect(c.ssthreshBytes).toBeCloseTo(70 * MSS, 6);
    c.cwndBytes = 70 * MSS;
    cubic.onAck(c, 2 * MSS, 5e9);
    expect([c.cubic!.k, c.cubic!.wMax, c.cubic!.epochNs]).toEqual([0, 70, 5e9]);
  });

  it('does not count time without data as time of growth', () => {
    const c = connection(cubic, 100, 100);
    cubic.onLoss(c, 100 * MSS, 0);
    cubic.onAck(c, 2 * MSS, 1e9);
    cubic.onIdle(c, 7e9);
    expect(c.cubic!.epochNs).toBe(8e9);
  });
});
