/** The event log: bounded, numbered, described. */
import { describe, expect, it } from 'vitest';
import type { EventBody } from '../../lib/runtime/events.ts';
import { EventLog, MAX_EVENTS, describeEvent, eventLevel } from '../../lib/runtime/events.ts';
import { nowNs } from '../../lib/sys/clock.ts';

const EVIDENCE = {
  by: 'losses' as const,
  sampleFlows: 12,
  failingFlows: 9,
  overdueFlows: 2,
  answeredFlows: 1,
  exposures: 20,
  probeAnswers: 3,
  silenceNs: 0,
  usualFailingShare: 0.05,
};

describe('an event log', () => {
  it('numbers events from 0 and returns those from a number on', () => {
    const log = new EventLog();
    for (const route of ['a', 'b', 'c']) log.add({ kind: 'routeDown', route });
    expect(log.since(1)).toMatchObject([
      { sequence: 1, kind: 'routeDown', route: 'b' },
      { sequence: 2, route: 'c' },
    ]);
    expect([log.next, log.since(3), log.since().length]).toEqual([3, [], 3]);
  });

  it('keeps the newest, and the number of the first tells how many a reader missed', () => {
    const log = new EventLog();
    for (let i = 0; i < MAX_EVENTS + 5; i++) log.add({ kind: 'pathsGivenUp', flows: i });
    const kept = log.since(2);
    expect([kept.length, kept[0].sequence - 2, kept.at(-1)?.sequence]).toEqual([MAX_EVENTS, 3, log.next - 1]);
  });

  it('dates an event that happened earlier back', () => {
    const log = new EventLog();
    const before = Date.now();
    log.add({ kind: 'routeUp', route: 'a' }, nowNs() - 60e9);
    const [event] = log.since();
    expect(Math.abs(Date.parse(event.time) - (before - 60_000))).toBeLessThan(30_000);
    expect(nowNs() - event.timeNs).toBeGreaterThanOrEqual(60e9);
  });

  it('lets a time be given, and no field of an event can hide its number', () => {
    const log = new EventLog();
    log.add({ kind: 'routeUp', route: 'a' }, 5);
    expect(log.since()[0]).toMatchObject({ sequence: 0, timeNs: 5 });
  });
});

describe('an event in words', () => {
  it.each<[EventBody, string, string]>([
    [{ kind: 'routeDown', route: 'a' }, 'warning', 'route a went down'],
    [{ kind: 'routeUp', route: 'a' }, 'info', 'route a came up'],
    [{ kind: 'routeDrained', route: 'a' }, 'info', 'route a was drained'],
    [{ kind: 'routeUndrained', route: 'a' }, 'info', 'route a is no longer drained'],
    [
      { kind: 'suspended', prefix: '0.0.0.0/0', route: 'a', evidence: EVIDENCE },
      'warning',
      'route a suspended for 0.0.0.0/0: 9 of 12 sampled flows failing with 20 timeouts, 2 overdue, 1 just answered',
    ],
    [
      {
        kind: 'suspended',
        prefix: '0.0.0.0/0',
        route: 'a',
        evidence: { ...EVIDENCE, by: 'repeats' as const },
      },
      'warning',
      'route a suspended for 0.0.0.0/0: what was acknowledged over it came again, 20 times in 9 of 12 sampled flows, 1 just went on',
    ],
    [
      { kind: 'returned', prefix: '0.0.0.0/0', route: 'a', evidence: EVIDENCE },
      'info',
      'route a back for 0.0.0.0/0: 3 probes in a row answered',
    ],
    [
      { kind: 'allFailing', prefix: '0.0.0.0/0', route: 'a', evidence: EVIDENCE },
      'warning',
      'every route of 0.0.0.0/0 looks failed, nothing changed; a: 9 of 12 sampled flows failing with 20 timeouts, 2 overdue, 1 just answered',
    ],
    [
      { kind: 'lifted', prefix: '0.0.0.0/0', route: 'a', evidence: EVIDENCE },
      'info',
      'route a used again for 0.0.0.0/0: the others look failed as well',
    ],
    [
      { kind: 'withdrawn', prefix: '0.0.0.0/0', route: 'a', evidence: EVIDENCE },
      'info',
      'route a, suspended for 0.0.0.0/0, was taken down',
    ],
    [
      {
        kind: 'ratioMoved',
        prefix: '::/0',
        routes: [
          { route: 'a', before: 0.5, after: 0.25 },
          { route: 'b', before: 0.5, after: 0.75 },
        ],
      },
      'info',
      'ratios of ::/0: a 50 to 25, b 50 to 75 %',
    ],
    [{ kind: 'ratiosMoved', destinations: 7 }, 'info', 'ratios of 7 more destinations moved'],
    [
      { kind: 'destinationsLeftOut', destinations: 3, prefixes: 40 },
      'warning',
      'no room in the kernel for 3 destinations and 40 prefixes of others: see maxDestinations',
    ],
    [
      { kind: 'forwarding', by: 'kernel', reason: 'table filter of iptables' },
      'info',
      'the kernel forwards: table filter of iptables',
    ],
    [
      { kind: 'forwarding', by: 'redirect', reason: null },
      'info',
      'the programs send packets by their routes: nobody wants to see them on their way',
    ],
    [
      { kind: 'limitReached', limit: 'prefix' },
      'warning',
      'limit of FNE packets reached, of one prefix: they go on without assignment',
    ],
    [
      { kind: 'limitLeft', limit: 'total', packets: 12 },
      'info',
      'FNE packets within the limit again, in total; 12 were not assigned',
    ],
    [{ kind: 'pathsGivenUp', flows: 1 }, 'warning', '1 flow gave up the path after timeouts'],
    [{ kind: 'pathsGivenUp', flows: 2 }, 'warning', '2 flows gave up the path after timeouts'],
    [{ kind: 'reload', ok: true, changed: [] }, 'info', 'reloaded, changed: nothing'],
    [{ kind: 'reload', ok: false, message: 'no' }, 'warning', 'reload refused: no'],
    [{ kind: 'set', changed: ['strategy', 'betas.loss'] }, 'info', 'set: strategy, betas.loss'],
  ])('%j', (event, level, words) => {
    expect([eventLevel(event), describeEvent(event)]).toEqual([level, words]);
  });
});
