/** What of a gateway's doing becomes an event: a real gateway in virtual time, and made-up decisions. */
import { describe, expect, it } from 'vitest';
import { equal } from '../../lib/pref/balancers/equal.ts';
import type { FailureEvent } from '../../lib/pref/failure-events.ts';
import type { PrefGateway } from '../../lib/pref/gateway.ts';
import type { GatewayOptions } from '../../lib/pref/gateway-options.ts';
import { GatewayCounters } from '../../lib/pref/reasons.ts';
import type { EventBody } from '../../lib/runtime/events.ts';
import { EventLog } from '../../lib/runtime/events.ts';
import { DESTINATIONS_A_LOOK, GatewayWatch, MOVES_A_LOOK } from '../../lib/runtime/gateway-watch.ts';
import { FNE, OUTSIDE_PREFIX, ROUTES, S, gatewayWithRoutes, letIn, tcpIn } from '../pref/gateway-fixture.ts';

const ENTRY = { index: 0, prefixes: [OUTSIDE_PREFIX], pathIds: [1, 2, 3] };
const nameOf = (pathId: number): string => ROUTES.find((route) => route.pathId === pathId)?.name ?? '?';

function start(options: Partial<GatewayOptions> = {}): {
  gateway: PrefGateway;
  log: EventLog;
  watch: GatewayWatch;
} {
  const gateway = gatewayWithRoutes({ balancer: equal(), ...options });
  const log = new EventLog();
  return { gateway, log, watch: new GatewayWatch(gateway, { entries: [ENTRY] }, log, nameOf) };
}

const kindsOf = (log: EventLog): string[] => log.since().map(({ kind }) => kind);

describe('the watch over limits', () => {
  it('tells once that a limit was reached, and once that it was left, with the count', () => {
    const { gateway, log, watch } = start({ fneRatePerDestination: 1, fneBurstPerDestination: 2 });
    let port = 0;
    const flood = (nowNs: number): void => {
      for (let i = 0; i < 10; i++) letIn(gateway, tcpIn({ dscp: FNE, srcPort: ++port }), nowNs);
    };
    flood(1 * S);
    watch.handleTimeout(1 * S);
    flood(1.1 * S);
    watch.handleTimeout(1.2 * S);
    expect(log.since()).toMatchObject([{ kind: 'limitReached', limit: 'prefix' }]);
    for (let look = 0; look < 10; look++) watch.handleTimeout((2 + look) * S);
    expect(log.since(1)).toMatchObject([{ kind: 'limitLeft', limit: 'prefix', packets: 18 }]);
    flood(20 * S);
    watch.handleTimeout(20 * S);
    expect(kindsOf(log)).toEqual(['limitReached', 'limitLeft', 'limitReached']);
  });

  it('is due again a fifth of a second later', () => {
    const { watch } = start();
    expect(watch.pollTimeout()).toBe(0);
    watch.handleTimeout(7 * S);
    expect(watch.pollTimeout()).toBe(7.2 * S);
  });
});

describe('the watch over ratios', () => {
  it('tells all ratios of a destination when one moved far enough, and not again', () => {
    const { gateway, log, watch } = start();
    watch.lookAtRatios();
    expect(kindsOf(log)).toEqual([]);
    gateway.setRouteUp(3, false);
    watch.lookAtRatios();
    watch.lookAtRatios();
    const third = expect.closeTo(1 / 3, 9) as number;
    expect(log.since()).toMatchObject([
      {
        kind: 'ratioMoved',
        prefix: OUTSIDE_PREFIX,
        routes: [
          { route: 'west', before: third, after: 0.5 },
          { route: 'north', before: third, after: 0.5 },
          { route: 'east', before: third, after: 0 },
        ],
      },
    ]);
  });

  it('looks at so many destinations at a time, tells some and counts the others', () => {
    const count = DESTINATIONS_A_LOOK + 100;
    let ratio = 0.2;
    let asked = 0;
    const gateway = {
      counters: new GatewayCounters(),
      failureEvents: () => [],
      flowletRatio: () => {
        asked++;
        return ratio;
      },
    };
    const entries = Array.from({ length: count }, (_, index) => ({
      index,
      prefixes: [`10.${index >> 8}.${index & 255}.0/24`],
      pathIds: [1],
    }));
    const log = new EventLog();
    const watch = new GatewayWatch(gateway, { entries }, log, nameOf);
    ratio = 0.3;
    asked = 0;
    watch.lookAtRatios();
    expect(asked).toBe(DESTINATIONS_A_LOOK);
    const told: EventBody['kind'][] = Array.from({ length: MOVES_A_LOOK }, () => 'ratioMoved');
    expect(kindsOf(log)).toEqual([...told, 'ratiosMoved']);
    expect(log.since().at(-1)).toMatchObject({ destinations: DESTINATIONS_A_LOOK - MOVES_A_LOOK });
    // The next look begins where this one ended; what it sees for the first time has not moved.
    ratio = 0.4;
    watch.lookAtRatios();
    expect(log.since().at(-1)).toMatchObject({
      kind: 'ratiosMoved',
      destinations: DESTINATIONS_A_LOOK - 100 - MOVES_A_LOOK,
    });
  });

  it('has nothing to tell of a gateway without destinations', () => {
    const log = new EventLog();
    const gateway = { counters: new GatewayCounters(), failureEvents: () => [], flowletRatio: () => 1 };
    new GatewayWatch(gateway, { entries: [] }, log, nameOf).lookAtRatios();
    expect(log.next).toBe(0);
  });
});

describe('the watch over what has no room', () => {
  it('tells of it, once a minute at most, and only of more', () => {
    const gateway = { counters: new GatewayCounters(), failureEvents: () => [], flowletRatio: () => 1 };
    const log = new EventLog();
    let leftOut = { destinations: 0, prefixes: 0 };
    const watch = new GatewayWatch(gateway, { entries: [] }, log, nameOf, () => leftOut);
    const lookAt = (seconds: number, now: typeof leftOut): number => {
      leftOut = now;
      watch.handleTimeout(seconds * S);
      return log.next;
    };
    expect(lookAt(1, leftOut)).toBe(0);
    expect(lookAt(2, { destinations: 3, prefixes: 0 })).toBe(1);
    expect(lookAt(3, { destinations: 3, prefixes: 40 })).toBe(1);
    expect(lookAt(63, leftOut)).toBe(2);
    expect(lookAt(200, { destinations: 2, prefixes: 0 })).toBe(2);
    expect(lookAt(300, { destinations: 2, prefixes: 1 })).toBe(3);
    expect(log.since()).toMatchObject([
      { kind: 'destinationsLeftOut', destinations: 3, prefixes: 0 },
      { kind: 'destinationsLeftOut', destinations: 3, prefixes: 40 },
      { kind: 'destinationsLeftOut', destinations: 2, prefixes: 1 },
    ]);
  });
});

describe('the watch over failures', () => {
  it('tells each decision once, with its time and evidence', () => {
    const evidence = {
      by: 'losses' as const,
      sampleFlows: 10,
      failingFlows: 8,
      overdueFlows: 0,
      answeredFlows: 0,
      exposures: 16,
      probeAnswers: 0,
      silenceNs: 0,
      usualFailingShare: 0.05,
    };
    const events: FailureEvent[] = [
      {
        number: 0,
        timeNs: 3 * S,
        destination: 0,
        pathId: 2,
        decision: 'suspended',
        windowNs: 1,
        ...evidence,
      },
      {
        number: 1,
        timeNs: 4 * S,
        destination: 9,
        pathId: 1,
        decision: 'withdrawn',
        windowNs: 1,
        ...evidence,
      },
    ];
    const gateway = {
      counters: new GatewayCounters(),
      failureEvents: (since = 0) => events.filter(({ number }) => number >= since),
      flowletRatio: () => 1,
    };
    const log = new EventLog();
    const watch = new GatewayWatch(gateway, { entries: [ENTRY] }, log, nameOf);
    watch.handleTimeout(5 * S);
    watch.handleTimeout(6 * S);
    expect(log.since()).toMatchObject([
      { kind: 'suspended', timeNs: 3 * S, prefix: OUTSIDE_PREFIX, route: 'north', evidence },
      { kind: 'withdrawn', timeNs: 4 * S, prefix: 'destination 9', route: 'west' },
    ]);
  });
});
