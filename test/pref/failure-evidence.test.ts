import { describe, expect, test } from 'vitest';
import { FailureEvidence } from '../../lib/pref/failure-evidence.ts';
import { FlowSample } from '../../lib/pref/failure-sample.ts';

const WINDOW_MS = 500;

const DAY_MS = 86_400_000;

/** A group made at 0 of flows that are answered every 10 ms from then or later on, one after the other. */
function activeGroup(
  flows: number,
  untilMs: number,
  pauses: readonly (readonly [number, number])[] = [],
  fromMs = 0,
) {
  const sample = new FlowSample(256, 64);
  const evidence = new FailureEvidence(sample, WINDOW_MS, 0.5);
  const group = sample.makeGroup(0, 1, 0);
  evidence.begin(group, 0);
  const members = Array.from({ length: flows }, (_, i) => sample.join(i * 7 + 1, i + 1, group, 0, 0));
  for (let ms = fromMs + 10; ms <= untilMs; ms += 10) {
    if (pauses.some(([from, to]) => ms > from && ms < to)) continue;
    const flow = members[(ms / 10) % flows];
    sample.noteAnswer(flow, ms | 0);
    evidence.noteAnswer(group, ms | 0);
  }
  return {
    /** So many flows expose loss; is that enough? */
    isEnough(exposing: number, time: number): boolean {
      const atMs = time | 0;
      for (const flow of members.slice(0, exposing)) {
        if (sample.exposuresOf(flow) === 0) sample.addExposure(flow, atMs);
      }
      evidence.count(group, atMs);
      return evidence.isEnough(group, atMs);
    },
    /** So many flows have waited for an answer for a quarter of a second, and expose nothing; is that enough? */
    isOverdue(waiting: number, atMs: number): boolean {
      for (const flow of members.slice(0, waiting)) sample.noteSent(flow, atMs - 250);
      evidence.count(group, atMs);
      return evidence.isEnough(group, atMs);
    },
    /** All flows are answered. */
    answerAll(atMs: number): void {
      for (const flow of members) {
        const wasFailing = sample.exposuresOf(flow) > 0;
        sample.noteAnswer(flow, atMs);
        evidence.noteAnswer(group, atMs);
        if (wasFailing) evidence.learnSurge(group, atMs);
      }
    },
    silenceMs: (atMs: number) => evidence.silenceMsOf(group, atMs),
    useRtt: (rttMs: number) => evidence.useRtt(group, rttMs),
  };
}

describe('silence', () => {
  test('of a route is enough when so many of its active flows expose loss as hardly do by chance', () => {
    const route = activeGroup(20, 120_000);
    expect(route.isEnough(6, 120_160)).toBe(false);
    expect(route.isEnough(7, 120_170)).toBe(true);
    expect(route.silenceMs(120_170)).toBe(170);
  });

  test('shorter than 150 ms says nothing', () => {
    expect(activeGroup(20, 120_000).isEnough(10, 120_140)).toBe(false);
  });

  test.each([
    [230, 270, false],
    [230, 280, true],
    [90, 140, false],
    [90, 150, true],
  ])('with an RTT of %d ms is enough or not after %d ms: %s', (rttMs, silenceMs, isEnough) => {
    const route = activeGroup(20, 120_000);
    route.useRtt(rttMs);
    // Learns that flows hardly ever fail.
    expect(route.isEnough(0, 120_050)).toBe(false);
    expect(route.isEnough(7, 120_000 + silenceMs)).toBe(isEnough);
  });

  test.each([
    [0, 90, false],
    [0, 100, true],
    [120, 110, false],
    [120, 120, true],
  ])(
    'of very many flows, with an RTT of %d ms, is enough or not after %d ms: %s',
    (rttMs, silenceMs, isEnough) => {
      const route = activeGroup(20, 120_000);
      route.useRtt(rttMs);
      // Learns that flows hardly ever fail.
      expect(route.isEnough(0, 120_050)).toBe(false);
      // More exposures than this are enough without any silence.
      expect(route.isOverdue(14, 120_000 + silenceMs)).toBe(isEnough);
    },
  );

  test('of fewer than twelve flows says nothing', () => {
    expect(activeGroup(11, 120_000).isEnough(7, 120_300)).toBe(false);
  });

  test('must be three times the longest usual gap', () => {
    const route = activeGroup(20, 120_000, [[110_000, 110_200]]);
    // Learns that flows hardly ever fail.
    expect(route.isEnough(0, 120_050)).toBe(false);
    expect(route.isEnough(7, 120_400)).toBe(false);
    expect(route.isEnough(7, 120_640)).toBe(true);
  });

  test('that lasted for more than 2 s was an outage and is no usual gap', () => {
    const route = activeGroup(20, 120_000, [[100_000, 103_000]]);
    // Learns that flows hardly ever fail.
    expect(route.isEnough(0, 120_050)).toBe(false);
    expect(route.isEnough(7, 120_170)).toBe(true);
  });

  test.each([
    [170, false],
    [190, true],
  ])('of a route that is hardly known must be longer: %d ms, %s', (silenceMs, isEnough) => {
    const route = activeGroup(20, 12_000);
    expect(route.isEnough(0, 12_050)).toBe(false);
    expect(route.isEnough(9, 12_000 + silenceMs)).toBe(isEnough);
  });

  test('of a route that has been known for a month is believed as soon as of one that has for an hour', () => {
    const nowMs = 30 * DAY_MS;
    const route = activeGroup(20, nowMs, [], nowMs - 60_000);
    expect(route.isEnough(0, nowMs + 50)).toBe(false);
    expect(route.isEnough(7, nowMs + 170)).toBe(true);
  });

  test('of a route that is new, and so taken for a rough one, says nothing', () => {
    const route = activeGroup(20, 2000);
    expect(route.isEnough(0, 2050)).toBe(false);
    expect(route.isEnough(9, 2900)).toBe(false);
  });

  test('ends with an answer of any flow', () => {
    const route = activeGroup(20, 120_200, [[120_000, 120_200]]);
    expect(route.silenceMs(120_200)).toBe(0);
    expect(route.isEnough(5, 120_210)).toBe(false);
  });
});

describe('a surge of losses that ends with answers', () => {
  test.each([
    [1500, false],
    [2500, true],
  ])(
    'is a measure for the next one, unless it lasted as only an outage does: %d ms, %s',
    (lastedMs, isEnough) => {
      const route = activeGroup(20, 120_000);
      expect(route.isEnough(7, 120_140)).toBe(false);
      route.answerAll(120_000 + lastedMs);
      for (let ms = 122_500; ms <= 124_000; ms += 100) route.answerAll(ms);
      expect(route.isEnough(12, 124_100)).toBe(isEnough);
    },
  );
});
