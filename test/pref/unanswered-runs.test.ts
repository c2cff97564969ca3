import { describe, expect, test } from 'vitest';
import { UnansweredRuns } from '../../lib/pref/unanswered-runs.ts';
import { bytesAllocatedPerCall } from '../support/allocation.ts';

const RTT_MS = 100;
const GROUP = 3;

/** A route by which a packet is sent each millisecond, if nothing else is said. */
function route() {
  const runs = new UnansweredRuns(8);
  runs.begin(GROUP, 0);
  let nowMs = 0;
  let answeredMs = 0;
  const answer = (): void => {
    runs.noteAnswer(GROUP, nowMs - answeredMs, nowMs, RTT_MS);
    answeredMs = nowMs;
  };
  return {
    /** Goes on for so long; what was sent an RTT before is answered, or not. */
    goOn(ms: number, becomes: 'answered' | 'silent', everyMs = 1): void {
      for (const endMs = nowMs + ms; nowMs < endMs;) {
        nowMs += everyMs;
        runs.noteSent(GROUP, nowMs, RTT_MS);
        if (becomes === 'answered') answer();
      }
    },
    shareOf: (factor: number, known = 0) =>
      runs.shareOf(GROUP, nowMs - answeredMs, nowMs, RTT_MS, factor, known),
    /** A burst takes all packets for so long; they are exposed when the next ones are answered. */
    lose(ms: number): void {
      this.goOn(ms, 'silent');
      answer();
      for (let i = 0; i < ms; i++) {
        nowMs++;
        runs.noteSent(GROUP, nowMs, RTT_MS);
        runs.noteExposed(GROUP, i % 20, nowMs, RTT_MS);
        answer();
      }
      this.goOn(400, 'answered');
    },
    /** A flow sends so many packets again at once. */
    repeatWindow(packets: number): void {
      for (let i = 0; i < packets; i++) runs.noteExposed(GROUP, 1, nowMs, RTT_MS);
    },
    answer,
    /** Each of twenty flows exposes a loss. */
    expose(): void {
      for (let i = 0; i < 20; i++) runs.noteExposed(GROUP, i, nowMs, RTT_MS);
    },
  };
}

describe('packets without an answer', () => {
  test('are enough, however few, of a route that had no burst of losses', () => {
    const one = route();
    one.goOn(1000, 'answered');
    one.goOn(30, 'silent');
    expect(one.shareOf(4)).toBe(1);
  });

  test('must be several times as many as a burst took before', () => {
    const one = route();
    one.goOn(1000, 'answered');
    one.lose(25);
    one.goOn(60, 'silent');
    expect(one.shareOf(4)).toBeLessThan(0.8);
    one.goOn(60, 'silent');
    expect(one.shareOf(4)).toBe(1);
  });

  test('were taken by a gap only as far as they are exposed soon after it, and not by an outage later on', () => {
    const one = route();
    one.goOn(1000, 'answered');
    one.goOn(25, 'silent');
    one.answer();
    one.goOn(RTT_MS + 250, 'silent');
    one.expose();
    one.goOn(500, 'answered');
    one.goOn(30, 'silent');
    expect(one.shareOf(4)).toBe(1);
  });

  test('say less the fewer are sent, for however long', () => {
    const one = route();
    one.goOn(1000, 'answered');
    one.lose(25);
    one.goOn(400, 'answered', 40);
    one.goOn(1000, 'silent', 40);
    expect(one.shareOf(4)).toBeLessThan(0.4);
  });

  test('are counted as of the flows that are known to wait where more of them than were seen to be sent do', () => {
    const one = route();
    one.goOn(1000, 'answered');
    one.lose(25);
    one.goOn(20, 'silent');
    expect(one.shareOf(4, 101)).toBe(1);
  });
});

describe('a run that ended', () => {
  test('is no burst when no losses are exposed after it', () => {
    const one = route();
    one.goOn(1000, 'answered');
    one.goOn(40, 'silent');
    one.goOn(400, 'answered');
    one.goOn(30, 'silent');
    expect(one.shareOf(4)).toBe(1);
  });

  test('is no burst when a single flow repeats its window', () => {
    const one = route();
    one.goOn(1000, 'answered');
    one.goOn(40, 'silent');
    one.answer();
    one.repeatWindow(30);
    one.goOn(400, 'answered');
    one.goOn(30, 'silent');
    expect(one.shareOf(4)).toBe(1);
  });

  test('asks for no more than a burst of 32 packets would, since a longer one was an outage', () => {
    const one = route();
    one.goOn(1000, 'answered');
    one.lose(300);
    one.goOn(130, 'silent');
    expect(one.shareOf(4)).toBe(1);
  });

  test('is forgotten within minutes', () => {
    const one = route();
    one.goOn(1000, 'answered');
    one.lose(25);
    one.goOn(500_000, 'answered');
    one.goOn(30, 'silent');
    expect(one.shareOf(4)).toBe(1);
  });
});

test('watching what is sent allocates nothing', () => {
  const runs = new UnansweredRuns(8);
  runs.begin(GROUP, 0);
  const allocated = bytesAllocatedPerCall((call) => {
    runs.noteSent(GROUP, call, RTT_MS);
    if (call % 7 === 0) runs.noteExposed(GROUP, call & 31, call, RTT_MS);
    if (call % 50 === 0) runs.noteAnswer(GROUP, 50, call, RTT_MS);
  }, 400_000);
  expect(allocated).toBeLessThan(1);
});
