import { describe, expect, it } from 'vitest';
import { OnOff } from '../../../lib/sim/apps/on-off.ts';
import { startTransfer, sink } from '../../../lib/sim/apps/transfer.ts';
import type { TcpConnection } from '../../../lib/sim/tcp/connection.ts';
import { SimPair } from '../../support/sim-pair.ts';

const MSS = 1460;

/** Sequence number of segment `i` of a transfer, from 0. */
const seqOf = (i: number): number => 1 + i * MSS;

/** A transfer from `a` to a sink on `b`; Infinity never ends. */
function transfer(pair: SimPair, bytes: number): TcpConnection {
  pair.b.stack.listen(80, () => sink);
  return startTransfer(pair.a.stack, pair.b.addr, 80, bytes);
}

/** Drops the first transmission of these segments, or as many as told. */
function dropSegments(pair: SimPair, segments: readonly number[], times = 1): void {
  const left = new Map(segments.map((i) => [seqOf(i), times]));
  pair.drop = ({ from, payload, seq }) => {
    const count = left.get(seq) ?? 0;
    if (from !== 'a' || payload === 0 || count === 0) return false;
    left.set(seq, count - 1);
    return true;
  };
}

/** Segments of data sent in each 100 ms, from the end of the handshake on. */
function perRound(pair: SimPair, rounds: number): number[] {
  return Array.from(
    { length: rounds },
    (_, i) => pair.data.filter(({ timeMs }) => timeMs >= 100 * (i + 1) && timeMs < 100 * (i + 2)).length,
  );
}

describe('slow start', () => {
  it('begins with ten segments and doubles with every round trip', () => {
    const pair = new SimPair();
    transfer(pair, Infinity);
    pair.runMs(550);
    expect(perRound(pair, 4)).toEqual([10, 20, 40, 80]);
  });

  it('doubles with delayed acknowledgements as without', () => {
    const pair = new SimPair({ tcp: { ackDelayNs: 0 } });
    transfer(pair, Infinity);
    pair.runMs(550);
    expect(perRound(pair, 4)).toEqual([10, 20, 40, 80]);
  });

  it('does not grow a window that the application does not fill', () => {
    const pair = new SimPair();
    pair.b.stack.listen(80, () => sink);
    // Bursts of two segments, without an idle time that would reset the window.
    const app = new OnOff({ burstBytes: () => 2 * MSS, gapNs: () => 1e6, count: 50 });
    const c = pair.a.stack.connect(pair.b.addr, 80, app);
    pair.runMs(4000);
    expect(app.done).toBeGreaterThan(30);
    expect(c.cwndBytes).toBe(10 * MSS);
  });

  it.each(['linux', 'rfc9406'] as const)(
    'overshoots far less with HyStart (%s), which ends it early',
    (kind) => {
      const run = (hystart: false | 'linux' | 'rfc9406'): TcpConnection => {
        const pair = new SimPair({ tcp: { hystart }, link: { rateBitsPerSec: 25e6, queueBytes: 625_000 } });
        const c = transfer(pair, Infinity);
        pair.runMs(3000);
        return c;
      };
      const [careful, plain] = [run(kind), run(false)];
      expect(careful.retransmittedSegments).toBeLessThan(plain.retransmittedSegments / 3);
      // And the link is full after the first second all the same.
      expect(careful.sentBytes).toBeGreaterThan((0.8 * 3 * 25e6) / 8);
    },
  );
});

describe('fast recovery', () => {
  it('repeats a lost segment once, after three segments behind it were SACKed, and halves the window', () => {
    const pair = new SimPair();
    // Segment 12 is the third of the second round.
    dropSegments(pair, [12]);
    const c = transfer(pair, Infinity);
    pair.runMs(349);
    const again = pair.data.filter(({ seq }) => seq === seqOf(12));
    expect(again.map(({ timeMs, isDropped }) => [timeMs, isDropped])).toEqual([
      [200, true],
      [300, false],
    ]);
    expect(c.retransmittedSegments).toBe(1);
    expect(c.recoveryCount).toBe(1);
    expect(c.timeoutCount).toBe(0);
    // Of 21 segments outstanding: 20 of the second round, one sent when segments 10 and 11 were acknowledged... half.
    expect(c.ssthreshBytes / MSS).toBeGreaterThanOrEqual(10);
    expect(c.ssthreshBytes / MSS).toBeLessThanOrEqual(11.5);
  });

  it('repeats each of several segments lost in one window once, within one recovery', () => {
    const pair = new SimPair();
    dropSegments(pair, [11, 14, 15, 20]);
    const c = transfer(pair, Infinity);
    pair.runMs(800);
    expect(pair.data.filter(({ isDropped }) => isDropped).length).toBe(4);
    expect(c.retransmittedSegments).toBe(4);
    expect([c.recoveryCount, c.timeoutCount, c.probeCount]).toEqual([1, 0, 0]);
  });

  it('keeps the link busy with new data while it recovers', () => {
    const pair = new SimPair();
    dropSegments(pair, [12]);
    transfer(pair, Infinity);
    pair.runMs(399);
    // Between detection and the end of the recovery: half a window of new segments.
    const fresh = pair.data.filter(({ timeMs, seq }) => timeMs === 300 && seq > seqOf(29));
    expect(fresh.length).toBeGreaterThanOrEqual(5);
  });

  it('answers an acknowledgement of half a lost window by no burst, but by two segments at most', () => {
    const pair = new SimPair({ link: { rateBitsPerSec: 12e6 } });
    // Every second segment of the third round.
    dropSegments(
      pair,
      Array.from({ length: 20 }, (_, i) => 31 + 2 * i),
    );
    const c = transfer(pair, Infinity);
    pair.runMs(1000);
    expect([c.recoveryCount, c.timeoutCount]).toEqual([1, 0]);
    const firstMs = pair.data.find(
      ({ seq }, i) => pair.data.findIndex((other) => other.seq === seq) < i,
    )!.timeMs;
    const perInstant = new Map<number, number>();
    for (const { timeMs } of pair.data) {
      if (timeMs > firstMs && timeMs < firstMs + 100) {
        perInstant.set(timeMs, (perInstant.get(timeMs) ?? 0) + 1);
      }
    }
    expect(Math.max(...perInstant.values())).toBeLessThanOrEqual(2);
    expect(perInstant.size).toBeGreaterThan(8);
    // When it is over, the window is half of what was under way.
    expect(c.ssthreshBytes / MSS).toBeGreaterThan(15);
    expect(c.retransmittedSegments).toBe(20);
  });

  it('finds a retransmission that is lost again by its timer', () => {
    const pair = new SimPair();
    dropSegments(pair, [12], 2);
    const c = transfer(pair, 60 * MSS);
    pair.runMs(5000);
    const again = pair.data.filter(({ seq }) => seq === seqOf(12));
    expect(again.length).toBe(3);
    expect(c.timeoutCount).toBe(1);
    expect(pair.b.stack.totals.receivedBytes).toBe(60 * MSS);
  });

  it('delivers every byte once whatever is lost, and closes', () => {
    const pair = new SimPair({
      link: { loss: 0.08, back: { delayNs: 50e6, loss: 0.08 } },
      tcp: { congestionControl: 'cubic' },
    });
    transfer(pair, 2e6);
    pair.runMs(300_000);
    expect(pair.b.stack.totals.receivedBytes).toBe(2e6);
    expect([pair.a.stack.size, pair.b.stack.size]).toEqual([0, 0]);
    expect(pair.a.stack.totals.timeouts).toBeGreaterThan(0);
  });
});

describe('tail loss probe', () => {
  it('repairs a lost last segment after two round trips, without a timeout, and halves the window', () => {
    const pair = new SimPair();
    pair.b.stack.listen(80, () => sink);
    const c = pair.a.stack.connect(pair.b.addr, 80, {});
    pair.a.stack.write(c, 10 * MSS);
    dropSegments(pair, [9]);
    pair.runMs(2000);
    const [first, probe] = pair.data.filter(({ seq }) => seq === seqOf(9));
    expect(first.timeMs).toBe(100);
    // Segment 8 stands alone and is acknowledged 40 ms late, at 240 ms. A single segment is left: 2 srtt + 200 ms,
    // but not beyond the timeout; srtt is 100 ms + 40 / 8.
    expect(c.srttNs).toBeGreaterThan(100e6);
    expect(probe.timeMs).toBeGreaterThan(240 + 200);
    expect(probe.timeMs).toBeLessThan(240 + 2 * 106 + 200);
    expect([c.probeCount, c.timeoutCount, c.recoveryCount]).toEqual([1, 0, 0]);
    expect(pair.b.stack.totals.receivedBytes).toBe(10 * MSS);
  });

  it('starts the recovery of several lost last segments', () => {
    const pair = new SimPair();
    dropSegments(pair, [7, 8, 9]);
    const c = transfer(pair, 10 * MSS);
    pair.runMs(590);
    // All were acknowledged up to segment 6 at 200 ms plus delay; the probe repeats segment 9, whose SACK shows the hole.
    expect(pair.data.filter(({ seq }) => seq === seqOf(9)).length).toBe(2);
    expect(pair.data.filter(({ seq }) => seq === seqOf(7)).length).toBe(2);
    expect([c.probeCount, c.timeoutCount]).toEqual([1, 0]);
    pair.runMs(2000);
    expect(pair.b.stack.totals.receivedBytes).toBe(10 * MSS);
    expect(pair.a.stack.totals.retransmittedSegments).toBe(3);
  });

  it('leaves the window alone when only the acknowledgement was lost', () => {
    const pair = new SimPair();
    pair.drop = ({ from, timeMs, flags }) => from === 'b' && flags === 'ACK' && timeMs < 300;
    pair.b.stack.listen(80, () => sink);
    const c = pair.a.stack.connect(pair.b.addr, 80, {});
    pair.a.stack.write(c, 2 * MSS);
    pair.runMs(2000);
    expect(c.probeCount).toBe(1);
    expect(c.retransmittedSegments).toBe(1);
    expect([c.cwndBytes, c.ssthreshBytes, c.isProbing]).toEqual([10 * MSS, Infinity, false]);
  });

  it('is not sent when it is switched off', () => {
    const pair = new SimPair({ tcp: { tailLossProbe: false } });
    dropSegments(pair, [9]);
    const c = transfer(pair, 10 * MSS);
    pair.runMs(2000);
    expect([pair.a.stack.totals.probes, pair.a.stack.totals.timeouts]).toEqual([0, 1]);
    expect(c.timeoutCount).toBe(1);
  });
});

describe('the retransmission timeout', () => {
  it('comes after srtt + 200 ms and doubles while nothing comes back', () => {
    const pair = new SimPair({ tcp: { tailLossProbe: false } });
    pair.drop = ({ payload }) => payload > 0;
    transfer(pair, Infinity);
    pair.runMs(20_000);
    const heads = pair.data.filter(({ seq }) => seq === 1).map(({ timeMs }) => timeMs);
    // One RTT sample of 100 ms: rttvar is 50 ms, four times that is 200 ms. 300, 600, 1200 ... after 100.
    expect(heads).toEqual([100, 400, 1000, 2200, 4600, 9400, 19_000]);
    // Nothing but the head goes out again.
    expect(pair.data.length).toBe(10 + heads.length - 1);
  });

  it('is never longer than 120 s, and the connection is given up after 15', () => {
    const pair = new SimPair({ tcp: { tailLossProbe: false } });
    pair.drop = ({ payload }) => payload > 0;
    transfer(pair, Infinity);
    pair.runMs(2_000_000);
    const heads = pair.data.filter(({ seq }) => seq === 1).map(({ timeMs }) => timeMs);
    expect(heads.length).toBe(16);
    expect(heads[15] - heads[14]).toBe(120_000);
    expect(pair.a.stack.totals.timedOut).toBe(1);
  });

  it('begins again with one segment and slow start, and repeats nothing that was SACKed', () => {
    const pair = new SimPair({ tcp: { tailLossProbe: false } });
    // Only segments 4 and 5 arrive, and there is no more: two SACKs are not enough to prove a loss.
    dropSegments(pair, [0, 1, 2, 3, 6, 7, 8, 9]);
    const c = transfer(pair, 10 * MSS);
    pair.runMs(499);
    expect(
      pair.data
        .slice(10)
        .map(({ seq }) => seq)
        .filter((seq) => seq <= seqOf(9)),
    ).toEqual([seqOf(0)]);
    expect(c.cwndBytes).toBe(MSS);
    pair.runMs(3000);
    expect(pair.data.filter(({ seq }) => seq === seqOf(4) || seq === seqOf(5)).length).toBe(2);
    expect(c.retransmittedSegments).toBe(8);
  });

  it('measures no round trip by a segment that was sent twice', () => {
    const pair = new SimPair({ tcp: { tailLossProbe: false } });
    dropSegments(pair, [0, 1, 2, 3, 4, 5, 6, 7, 8, 9]);
    const c = transfer(pair, 10 * MSS);
    pair.runMs(501);
    expect(c.srttNs).toBe(100e6);
  });
});

describe('restart after idle', () => {
  function burstAfterPause(pauseMs: number, restartAfterIdle: boolean): number {
    const pair = new SimPair({ tcp: { restartAfterIdle } });
    pair.b.stack.listen(80, () => sink);
    const c = pair.a.stack.connect(pair.b.addr, 80, {});
    pair.a.stack.write(c, 150 * MSS);
    pair.runMs(1000);
    expect(c.una).toBe(c.nxt);
    const lastMs = pair.data.at(-1)!.timeMs;
    pair.runMs(lastMs + pauseMs);
    const before = pair.data.length;
    pair.a.stack.write(c, 500 * MSS);
    return pair.data.length - before;
  }

  it('sends at most the initial window after a silence longer than the timeout', () => {
    expect(burstAfterPause(1000, true)).toBe(10);
  });

  it('keeps the window over a shorter silence, or when switched off', () => {
    expect(burstAfterPause(601, false)).toBeGreaterThan(70);
    expect(burstAfterPause(1000, false)).toBeGreaterThan(70);
  });
});
