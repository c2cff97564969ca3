import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { PreflexError } from '../../lib/errors.ts';
import {
  Link,
  LINK_DROP_BLACKHOLE,
  LINK_DROP_LOSS,
  LINK_DROP_QUEUE_FULL,
  LINK_DROPPED,
} from '../../lib/sim/link.ts';
import { seededRandom } from '../../lib/device/random.ts';

describe('Link', () => {
  it('delivers at once without rate and delay', () => {
    expect(new Link().offer(1500, 7)).toBe(7);
  });

  it('takes the time of transmission and then the delay', () => {
    // 1500 bytes at 12 Mbit/s take 1 ms.
    const link = new Link({ rateBitsPerSec: 12e6, delayNs: 10e6 });
    expect(link.offer(1500, 0)).toBe(11e6);
    expect(link.offer(1500, 0)).toBe(12e6);
    expect(link.offer(750, 5e6)).toBe(15.5e6);
  });

  it('drops at the tail when the queue holds its limit of packets', () => {
    const link = new Link({ rateBitsPerSec: 12e6, queuePackets: 2 });
    expect(link.offer(1500, 0)).toBe(1e6);
    expect(link.offer(1500, 0)).toBe(2e6);
    expect(link.offer(1500, 0)).toBe(LINK_DROPPED);
    expect(link.lastDrop).toBe(LINK_DROP_QUEUE_FULL);
    expect(link.offer(1500, 1e6)).toBe(3e6);
    expect(link.queuedPackets(1e6)).toBe(2);
  });

  it('drops at the tail when the queue holds its limit of bytes', () => {
    const link = new Link({ rateBitsPerSec: 12e6, queueBytes: 2000 });
    expect(link.offer(1500, 0)).toBe(1e6);
    expect(link.offer(501, 0)).toBe(LINK_DROPPED);
    expect(link.offer(500, 0)).toBe(1e6 + 500 * 8 * (1e9 / 12e6));
    expect(link.queuedBytes(0)).toBe(2000);
    expect(link.queuedBytes(1e6)).toBe(500);
  });

  it('drops everything offered to a blackhole and forwards again afterwards', () => {
    const link = new Link();
    link.isBlackhole = true;
    expect(link.offer(100, 0)).toBe(LINK_DROPPED);
    expect(link.droppedPackets[LINK_DROP_BLACKHOLE]).toBe(1);
    link.isBlackhole = false;
    expect(link.offer(100, 1)).toBe(1);
  });

  it('loses the stated share at random', () => {
    const link = new Link({ loss: 0.05, random: seededRandom(1) });
    for (let i = 0; i < 100_000; i++) link.offer(1, i);
    // Five standard deviations of a binomial: 5 * sqrt(1e5 * 0.05 * 0.95) = 345.
    expect(Math.abs(link.droppedPackets[LINK_DROP_LOSS] - 5000)).toBeLessThan(345);
  });

  it('loses in bursts of the stated mean length with two states', () => {
    const link = new Link({ loss: { goodToBad: 0.01, badToGood: 0.25 }, random: seededRandom(2) });
    let bursts = 0;
    let wasLost = false;
    for (let i = 0; i < 200_000; i++) {
      const isLost = link.offer(1, i) === LINK_DROPPED;
      if (isLost && !wasLost) bursts++;
      wasLost = isLost;
    }
    // Stationary share of bad: 0.01 / 0.26; mean stay in bad: 1 / 0.25.
    expect(link.droppedPackets[LINK_DROP_LOSS] / 200_000).toBeCloseTo(0.01 / 0.26, 2);
    expect(link.droppedPackets[LINK_DROP_LOSS] / bursts).toBeCloseTo(4, 0);
  });

  it('conserves packets and bytes, keeps their order and never exceeds its rate', () => {
    const packets = fc.array(
      fc.tuple(fc.integer({ min: 20, max: 9000 }), fc.integer({ min: 0, max: 2_000_000 })),
      {
        maxLength: 300,
      },
    );
    fc.assert(
      fc.property(packets, fc.integer({ min: 1, max: 50 }), (offers, queuePackets) => {
        const link = new Link({
          rateBitsPerSec: 25e6,
          delayNs: 10e6,
          queuePackets,
          loss: 0.1,
          random: seededRandom(3),
        });
        let now = 0;
        let bytes = 0;
        let lastDue = 0;
        for (const [size, gapNs] of offers) {
          now += gapNs;
          bytes += size;
          const due = link.offer(size, now);
          if (due === LINK_DROPPED) continue;
          const transmissionNs = size * 320;
          expect(due).toBeGreaterThanOrEqual(now + transmissionNs + 10e6 - 1e-3);
          expect(due - lastDue).toBeGreaterThanOrEqual(lastDue === 0 ? 0 : transmissionNs - 1e-3);
          expect(link.queuedPackets(now)).toBeLessThanOrEqual(queuePackets);
          lastDue = due;
        }
        const dropped = link.droppedPackets.reduce((sum, n) => sum + n, 0);
        const droppedBytes = link.droppedBytes.reduce((sum, n) => sum + n, 0);
        expect(link.forwardedPackets + dropped).toBe(offers.length);
        expect(link.forwardedBytes + droppedBytes).toBe(bytes);
      }),
    );
  });

  it.each([
    [{ rateBitsPerSec: 0 }, 'link.rateBitsPerSec'],
    [{ delayNs: -1 }, 'link.delayNs'],
    [{ queuePackets: 1.5 }, 'link.queuePackets'],
    [{ loss: 1.1, random: Math.random }, 'link.loss'],
    [{ loss: 0.1 }, 'link.random'],
    [{ los: 0.1 } as object, 'link.los'],
  ])('refuses %j and names the field', (options, field) => {
    expect(() => new Link(options)).toThrow(PreflexError);
    expect(() => new Link(options)).toThrow(field);
  });
});
