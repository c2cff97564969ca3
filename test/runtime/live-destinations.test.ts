/** Destinations that are exchanged while the gateway runs. */
import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { PrefGateway } from '../../lib/pref/gateway.ts';
import type { GatewayDestination } from '../../lib/runtime/live-destinations.ts';
import { LiveDestinations } from '../../lib/runtime/live-destinations.ts';
import { FNE, ROUTES, SYN, lectOn, sendOut, tcpOut } from '../pref/gateway-fixture.ts';

const ALL = '0.0.0.0/0';
const NET = '198.51.100.0/24';
const OTHER = '203.0.113.0/24';

function start(...destinations: GatewayDestination[]): { gateway: PrefGateway; live: LiveDestinations } {
  const gateway = new PrefGateway({ routes: ROUTES });
  return { gateway, live: new LiveDestinations(gateway, destinations) };
}

const bytesOn = (gateway: PrefGateway, index: number, pathId: number): number =>
  gateway.destinationStatus(index).routes.find((route) => route.pathId === pathId)?.total.bytes ?? NaN;

describe('live destinations', () => {
  it('one that stays keeps its index, ratios and counters when a prefix comes and another goes', () => {
    const { gateway, live } = start({ prefixes: [NET, OTHER], pathIds: [1, 2] });
    const [{ index }] = live.entries;
    sendOut(gateway, tcpOut({ dscp: lectOn(1) }));
    const before = bytesOn(gateway, index, 1);
    expect(before).toBeGreaterThan(0);
    live.replace([{ prefixes: [NET, ALL], pathIds: [2, 1] }]);
    expect(live.entries.map((entry) => entry.index)).toEqual([index]);
    expect(gateway.destinationStatus(index).prefixes).toEqual([ALL, NET]);
    expect(bytesOn(gateway, index, 1)).toBe(before);
  });

  it('a prefix moves from one destination to another', () => {
    const { gateway, live } = start(
      { prefixes: [ALL], pathIds: [1, 2, 3] },
      { prefixes: [NET, OTHER], pathIds: [1, 2] },
    );
    live.replace([
      { prefixes: [ALL, NET], pathIds: [1, 2, 3] },
      { prefixes: [OTHER], pathIds: [1, 2] },
    ]);
    const prefixes = live.entries.map(({ index }) => [...gateway.destinationStatus(index).prefixes].sort());
    expect(prefixes).toEqual([[ALL, NET], [OTHER]]);
  });

  it('one whose routes change begins anew, and what the routes carried before is still counted', () => {
    const { gateway, live } = start({ prefixes: [NET], pathIds: [1, 2] });
    sendOut(gateway, tcpOut({ dscp: lectOn(1) }));
    const total = gateway.status().routes[0].total.bytes;
    live.replace([{ prefixes: [NET], pathIds: [1, 3] }]);
    const { routes } = gateway.destinationStatus(live.entries[0].index);
    expect(routes.map(({ pathId, total: { bytes } }) => [pathId, bytes])).toEqual([
      [1, 0],
      [3, 0],
    ]);
    expect(gateway.status().routes[0].total.bytes).toBe(total);
  });

  it('a flow that is pinned stays on its path across a change', () => {
    const { gateway, live } = start({ prefixes: [ALL], pathIds: [1, 2, 3] });
    const { pathId } = sendOut(gateway, tcpOut({ dscp: FNE, tcpFlags: SYN }));
    live.replace([
      { prefixes: [ALL], pathIds: [1, 2, 3] },
      { prefixes: [NET], pathIds: [1, 2, 3] },
    ]);
    expect(sendOut(gateway, tcpOut({ dscp: lectOn(pathId) }))).toMatchObject({ pathId, reason: 'outPathId' });
  });

  it('whatever the changes, the gateway has what the last list says', () => {
    const pool = [ALL, NET, OTHER, '192.0.2.0/24', '2001:db8::/32', '::/0'];
    // Each prefix belongs to one of three destinations, or to none.
    const lists = fc.array(fc.constantFrom(0, 1, 2, 3), { minLength: pool.length, maxLength: pool.length });
    const toDestinations = (owners: readonly number[]): GatewayDestination[] =>
      [
        [1, 2],
        [1, 3],
        [1, 2, 3],
      ]
        .map((pathIds, i) => ({ pathIds, prefixes: pool.filter((_, k) => owners[k] === i) }))
        .filter(({ prefixes }) => prefixes.length > 0);
    fc.assert(
      fc.property(fc.array(lists, { minLength: 1, maxLength: 5 }), (changes) => {
        const { gateway, live } = start();
        for (const owners of changes) {
          const wanted = toDestinations(owners);
          live.replace(wanted);
          const has = live.entries.map(({ index }) => {
            const status = gateway.destinationStatus(index);
            return {
              pathIds: status.routes.map((route) => route.pathId),
              prefixes: [...status.prefixes].sort(),
            };
          });
          expect(has).toEqual(wanted.map((w) => ({ ...w, prefixes: [...w.prefixes].sort() })));
          expect(gateway.status().destinationCount).toBe(wanted.length);
        }
      }),
      { numRuns: 50 },
    );
  });
});
