/** What one gateway takes from the others: whole intervals of the right incarnation, for as long as they count. */
import { beforeEach, describe, expect, it } from 'vitest';
import type { IntervalFigures } from '../../../lib/pref/remote-figures.ts';
import { keyOfPrefixes } from '../../../lib/runtime/share/destination-keys.ts';
import type { IntervalMessage } from '../../../lib/runtime/share/message.ts';
import { MAX_DESTINATIONS } from '../../../lib/runtime/share/message.ts';
import { MAX_PEERS, Peers } from '../../../lib/runtime/share/peers.ts';
import { PrefGateway } from '../../../lib/pref/gateway.ts';

const S = 1e9;
const OWN = { gateway: 'gw1', incarnation: 'aaaaaaaaaaaaaaaa' };
const FIRST = 'bbbbbbbbbbbbbbbb';
const SECOND = 'cccccccccccccccc';
const PREFIX = '198.51.100.0/24';

/** The real gateway, and what it was told of others. */
class Gateway extends PrefGateway {
  readonly told: (readonly [peer: string, figures: IntervalFigures | undefined])[] = [];

  override setRemoteFigures(peer: string, figures: IntervalFigures, nowNs: number): void {
    this.told.push([peer, figures]);
    super.setRemoteFigures(peer, figures, nowNs);
  }

  override deleteRemoteFigures(peer: string, nowNs: number): void {
    this.told.push([peer, undefined]);
    super.deleteRemoteFigures(peer, nowNs);
  }
}

let gateway: Gateway;
let peers: Peers;
beforeEach(() => {
  gateway = new Gateway({
    routes: [
      { name: 'north', pathId: 1 },
      { name: 'south', pathId: 2 },
    ],
  });
  gateway.addDestination([PREFIX], [1, 2]);
  peers = new Peers(
    OWN,
    gateway,
    new Map([
      ['north', 1],
      ['south', 2],
    ]),
    3,
  );
});

function message(changes: Partial<IntervalMessage> = {}): IntervalMessage {
  return {
    gateway: 'gw2',
    incarnation: FIRST,
    sequence: 1,
    part: 0,
    parts: 1,
    intervalSeconds: 10,
    routes: [
      { name: 'south', pathId: 1, state: 'up' },
      { name: 'mobile', pathId: 3, state: 'down' },
      { name: 'north', pathId: 2, state: 'drained' },
    ],
    destinations: [{ key: PREFIX, usable: [0], figures: [100, 10, 1, 200, 20, 2, 300, 30, 3] }],
    ...changes,
  };
}

describe('an interval of another gateway', () => {
  it('is handed on with the destinations and path IDs of this one, by prefixes and names', () => {
    const other = { key: '192.0.2.0/24', usable: [], figures: [9, 9, 9, 9, 9, 9, 9, 9, 9] };
    expect(peers.take(message({ destinations: [...message().destinations, other] }), S)).toBeUndefined();
    expect(gateway.told).toEqual([
      [
        'gw2',
        {
          lengthNs: 10 * S,
          destinations: [
            {
              destination: 0,
              routes: [
                { pathId: 2, isUsable: true, bytes: 100, lexBytes: 10, fneRepeatBytes: 1 },
                { pathId: 1, isUsable: false, bytes: 300, lexBytes: 30, fneRepeatBytes: 3 },
              ],
            },
          ],
        },
      ],
    ]);
    expect(peers.status(3 * S)).toEqual([
      {
        name: 'gw2',
        incarnation: FIRST,
        isLive: true,
        ageSeconds: 2,
        intervalSeconds: 10,
        destinations: 1,
        unknownDestinations: 1,
        routes: [
          { name: 'south', state: 'up', pathId: 1, ownPathId: 2, bytes: 100, lexBytes: 10 },
          { name: 'mobile', state: 'down', pathId: 3, ownPathId: null, bytes: 0, lexBytes: 0 },
          { name: 'north', state: 'drained', pathId: 2, ownPathId: 1, bytes: 300, lexBytes: 30 },
        ],
      },
    ]);
  });

  it('counts when all its parts are there, in any order', () => {
    gateway.addDestination(['203.0.113.0/24'], [1, 2]);
    const [destination] = message().destinations;
    const second = message({ part: 1, parts: 2, destinations: [{ ...destination, key: '203.0.113.0/24' }] });
    expect(peers.take(second, S)).toBeUndefined();
    expect(gateway.told).toEqual([]);
    expect(peers.take(second, S)).toBe('stale');
    expect(peers.take(message({ parts: 2 }), S)).toBeUndefined();
    expect(gateway.told[0][1]?.destinations.map((figures) => figures.destination)).toEqual([0, 1]);
  });

  it('that is incomplete gives way to the next, and is counted', () => {
    expect(peers.take(message({ parts: 2 }), S)).toBeUndefined();
    expect(peers.take(message({ sequence: 2 }), S)).toBe('incomplete');
    expect(gateway.told).toHaveLength(1);
    expect(peers.take(message({ part: 1, parts: 2 }), S)).toBe('stale');
  });

  it('that was heard before, or is older, is stale', () => {
    peers.take(message({ sequence: 5 }), S);
    expect(peers.take(message({ sequence: 5 }), S)).toBe('stale');
    expect(peers.take(message({ sequence: 4 }), S)).toBe('stale');
    expect(gateway.told).toHaveLength(1);
  });

  it('with more destinations than it may have is given up as a whole', () => {
    const destinations = Array.from({ length: MAX_DESTINATIONS }, (_, i) => ({
      key: `10.${i >> 8}.${i & 255}.0/24`,
      usable: [],
      figures: [],
    }));
    expect(peers.take(message({ parts: 2, destinations }), S)).toBeUndefined();
    expect(peers.take(message({ part: 1, parts: 2 }), S)).toBe('tooManyDestinations');
    expect(gateway.told).toEqual([]);
    expect(peers.take(message({ sequence: 2 }), S)).toBeUndefined();
  });

  it('whose keys are no prefixes at all has unknown destinations', () => {
    for (const [i, key] of ['1.2.3.4/99', '999.1.1.1/8', '10.0.0.1/8', ':::/0'].entries()) {
      const destinations = [{ ...message().destinations[0], key }];
      expect(peers.take(message({ sequence: i + 1, destinations }), S)).toBeUndefined();
      expect(peers.status(S)[0]).toMatchObject({ destinations: 0, unknownDestinations: 1 });
    }
  });

  it('of destinations that changed while its parts came in is not taken', () => {
    peers.take(message({ parts: 2 }), S);
    gateway.removeDestination(0);
    gateway.addDestination(['192.0.2.0/24'], [1]);
    expect(peers.take(message({ part: 1, parts: 2, destinations: [] }), S)).toBe('incomplete');
    expect(gateway.told).toEqual([]);
  });
});

describe('figures', () => {
  it('count for three intervals and no longer', () => {
    peers.take(message(), S);
    expect(peers.pollTimeout()).toBe(31 * S);
    peers.expire(30.9 * S);
    expect(gateway.told).toHaveLength(1);
    peers.expire(31 * S);
    expect(gateway.told.at(-1)).toEqual(['gw2', undefined]);
    expect([peers.pollTimeout(), peers.status(32 * S)[0]]).toEqual([
      Infinity,
      expect.objectContaining({ isLive: false, ageSeconds: 31 }),
    ]);
    expect(peers.take(message({ sequence: 2 }), 33 * S)).toBeUndefined();
    expect(peers.status(33 * S)[0].isLive).toBe(true);
  });

  it('count for a second where intervals are very short', () => {
    peers.take(message({ intervalSeconds: 0.01 }), 0);
    expect(peers.pollTimeout()).toBe(S);
  });

  it('of a gateway that says goodbye do not count any more, and those of its own name only', () => {
    peers.take(message(), S);
    expect(peers.dismiss({ gateway: 'gw2', incarnation: SECOND }, S)).toBe('formerIncarnation');
    expect(peers.dismiss({ gateway: 'gw3', incarnation: FIRST }, S)).toBe('stale');
    expect(peers.dismiss({ gateway: 'gw2', incarnation: FIRST }, S)).toBeUndefined();
    expect([gateway.told.at(-1), peers.status(S)]).toEqual([['gw2', undefined], []]);
  });
});

describe('a gateway that was restarted', () => {
  it('takes the place of the one before, whatever its numbers, and nothing of that is taken any more', () => {
    peers.take(message({ sequence: 100 }), S);
    expect(peers.take(message({ incarnation: SECOND, sequence: 1 }), 2 * S)).toBeUndefined();
    expect(peers.take(message({ sequence: 101 }), 3 * S)).toBe('formerIncarnation');
    expect(peers.status(3 * S)).toMatchObject([{ incarnation: SECOND, ageSeconds: 1 }]);
    expect(gateway.told.map(([peer]) => peer)).toEqual(['gw2', 'gw2']);
  });

  it('keeps its figures until it has told a whole interval', () => {
    peers.take(message(), S);
    peers.take(message({ incarnation: SECOND, parts: 2 }), 2 * S);
    expect([gateway.told.length, peers.status(2 * S)[0].isLive]).toEqual([1, true]);
    peers.expire(31 * S);
    expect(gateway.told.at(-1)).toEqual(['gw2', undefined]);
  });

  it('was not, if the one before goes on while the new one is silent: after three intervals it has its name again', () => {
    peers.take(message({ sequence: 100 }), S);
    peers.take(message({ incarnation: SECOND, intervalSeconds: 3600 }), 2 * S);
    const goesOn = [101, 102, 103].map((sequence) => peers.take(message({ sequence }), 3 * S));
    expect(goesOn).toEqual(['formerIncarnation', 'formerIncarnation', undefined]);
    expect(peers.status(3 * S)).toMatchObject([{ incarnation: FIRST, intervalSeconds: 10 }]);
    expect(peers.take(message({ incarnation: SECOND, sequence: 2 }), 4 * S)).toBe('formerIncarnation');
  });

  it('does not count what the one before has told already, or tells in several parts', () => {
    peers.take(message({ sequence: 100 }), S);
    peers.take(message({ incarnation: SECOND }), 2 * S);
    const refusals = [98, 99, 100, 101, 101, 101, 102].map((sequence) =>
      peers.take(message({ sequence }), 3 * S),
    );
    expect(new Set(refusals)).toEqual(new Set(['formerIncarnation']));
    expect(peers.take(message({ sequence: 103 }), 3 * S)).toBeUndefined();
  });

  it('keeps its name against one that goes on as long as it is heard itself', () => {
    peers.take(message({ sequence: 100 }), S);
    for (let sequence = 1; sequence < 10; sequence++) {
      expect(peers.take(message({ incarnation: SECOND, sequence }), 2 * S)).toBeUndefined();
      for (const more of [1, 2]) {
        const refusal = peers.take(message({ sequence: 100 + 2 * sequence + more }), 2 * S);
        expect(refusal).toBe('formerIncarnation');
      }
    }
  });

  it('and is gone leaves its name to whoever has it', () => {
    peers.take(message({ incarnation: FIRST }), S);
    peers.take(message({ incarnation: SECOND }), S);
    peers.expire(100 * S);
    expect(peers.take(message({ incarnation: FIRST, sequence: 9 }), 101 * S)).toBeUndefined();
  });
});

describe('the own name', () => {
  it('from somebody else is a conflict, and nothing is taken', () => {
    const twin = { gateway: 'gw1', incarnation: FIRST };
    expect(peers.take(message(twin), S)).toBe('nameConflict');
    expect([peers.greet(twin), peers.dismiss(twin, S)]).toEqual(['nameConflict', 'nameConflict']);
    expect([gateway.told, peers.status(S)]).toEqual([[], []]);
  });
});

describe('many gateways', () => {
  it('are known up to a number; one that is gone gives its place away', () => {
    for (let i = 0; i < MAX_PEERS; i++)
      expect(peers.take(message({ gateway: `peer${i}` }), i * S)).toBeUndefined();
    expect(peers.take(message({ gateway: 'late' }), 20 * S)).toBe('tooManyGateways');
    peers.expire(31 * S);
    expect(peers.take(message({ gateway: 'late' }), 31 * S)).toBeUndefined();
    const names = peers.status(31 * S).map(({ name }) => name);
    expect([names.length, names.includes('late'), names.includes('peer0')]).toEqual([MAX_PEERS, true, false]);
  });
});

describe('the key of a destination', () => {
  it('is the same for the same prefixes in any order, and another for others', () => {
    const key = keyOfPrefixes(['203.0.113.0/24', '192.0.2.0/24']);
    expect(key).toMatch(/^192\.0\.2\.0\/24\+1#[0-9a-f]{16}$/);
    expect(keyOfPrefixes(['192.0.2.0/24', '203.0.113.0/24'])).toBe(key);
    expect(keyOfPrefixes(['192.0.2.0/24', '198.51.100.0/24'])).not.toBe(key);
    expect(keyOfPrefixes(['192.0.2.0/24'])).toBe('192.0.2.0/24');
  });

  it('follows prefixes that come and go', () => {
    expect(peers.keys.keyOf(0)).toBe(PREFIX);
    gateway.addPrefix(0, '192.0.2.0/24');
    const both = keyOfPrefixes([PREFIX, '192.0.2.0/24']);
    expect([peers.keys.keyOf(0), peers.keys.destinationOf(both), peers.keys.destinationOf(PREFIX)]).toEqual([
      both,
      0,
      -1,
    ]);
    gateway.removePrefix(PREFIX);
    expect([peers.keys.destinationOf('192.0.2.0/24'), peers.keys.destinationOf(both)]).toEqual([0, -1]);
  });
});
