import { describe, expect, it } from 'vitest';
import { PreflexError } from '../../lib/errors.ts';
import { Link, LINK_DROP_EARLY, LINK_DROP_QUEUE_FULL, LINK_DROPPED } from '../../lib/sim/link.ts';
import { RandomStreams } from '../../lib/sim/random.ts';
import { RedQueue } from '../../lib/sim/red.ts';

/** ns to send a byte at 12 Mbit/s: a packet of 1500 bytes takes 1 ms. */
const NS_PER_BYTE = 1e6 / 1500;

function red(options: Partial<ConstructorParameters<typeof RedQueue>[0]>, random: () => number): RedQueue {
  return new RedQueue({ minPackets: 5, maxPackets: 15, weight: 1, ...options }, NS_PER_BYTE, random);
}

/** Share of arrivals dropped while the queue stays at one length. */
function dropShare(queue: RedQueue, packets: number): number {
  let dropped = 0;
  for (let i = 0; i < 20_000; i++) if (queue.isDropped(packets, 0, i)) dropped++;
  return dropped / 20_000;
}

describe('RED', () => {
  it('drops nothing below the minimum and everything beyond the end of the ramp', () => {
    expect(
      dropShare(
        red({}, () => 0),
        4,
      ),
    ).toBe(0);
    expect(
      dropShare(
        red({}, () => 0.999),
        30,
      ),
    ).toBe(1);
    expect(
      dropShare(
        red({ gentle: false }, () => 0.999),
        15,
      ),
    ).toBe(1);
  });

  it('spreads its drops evenly: at probability p the gaps between them are uniform on 1 to 1 / p - 1', () => {
    const stream = new RandomStreams(1).next();
    const queue = red({}, () => stream.uniform());
    const gaps: number[] = [];
    let gap = 0;
    for (let i = 0; i < 100_000; i++) {
      gap++;
      if (!queue.isDropped(10, 0, i)) continue;
      gaps.push(gap);
      gap = 0;
    }
    // p_b at 10 packets is half of 0.1. The paper's pseudo-code counts the packet at hand: 1 to 19, 10 in the mean.
    expect(Math.max(...gaps)).toBe(19);
    expect(gaps.reduce((sum, g) => sum + g, 0) / gaps.length).toBeCloseTo(10, 0);
  });

  it('rises gently from the maximum to twice of it', () => {
    const stream = new RandomStreams(2).next();
    const share = dropShare(
      red({}, () => stream.uniform()),
      22,
    );
    // p_b = 0.1 + 0.9 * 7 / 15 = 0.52, so nearly every gap is one packet.
    expect(share).toBeGreaterThan(0.5);
    expect(share).toBeLessThan(1);
  });

  it('averages the queue exponentially and lets the average decay while the link is idle', () => {
    const queue = red({ weight: 0.002 }, () => 1);
    for (let i = 0; i < 1000; i++) queue.isDropped(4, 0, 0);
    expect(queue.averagePackets).toBeCloseTo(4 * (1 - 0.998 ** 1000), 9);
    const before = queue.averagePackets;
    // 100 ms idle at 1 ms a packet.
    queue.isDropped(0, 1e6, 101e6);
    expect(queue.averagePackets).toBeCloseTo(before * 0.998 ** 100, 9);
  });

  it('drops early in a link, and still at the tail when a burst outruns the average', () => {
    const stream = new RandomStreams(5).next();
    const link = new Link({
      rateBitsPerSec: 12e6,
      queuePackets: 40,
      red: { minPackets: 5, maxPackets: 15 },
      random: () => stream.uniform(),
    });
    // 100 packets at once: the average cannot follow.
    for (let i = 0; i < 100; i++) link.offer(1500, 0);
    expect(link.droppedPackets[LINK_DROP_QUEUE_FULL]).toBe(60);
    // A third more than the link carries, for 10 s.
    let dropped = 0;
    for (let i = 0; i < 13_333; i++) if (link.offer(1500, 200e6 + i * 0.75e6) === LINK_DROPPED) dropped++;
    expect(link.droppedPackets[LINK_DROP_EARLY]).toBeGreaterThan(0.9 * dropped);
    expect(dropped / 13_333).toBeCloseTo(0.25, 1);
  });

  it.each([
    [{ minPackets: 5, maxPackets: 5 }, 'link.red.maxPackets'],
    [{ minPackets: 5, maxPackets: 15, weight: 2 }, 'link.red.weight'],
    [{ minPackets: 5, maxPackets: 15, maxProbabilty: 0.1 }, 'link.red.maxProbabilty'],
  ])('refuses %j and names the field', (options, field) => {
    const make = (): Link => new Link({ rateBitsPerSec: 1e6, red: options, random: () => 0 });
    expect(make).toThrow(PreflexError);
    expect(make).toThrow(field);
  });

  it('needs a rate and a generator', () => {
    const options = { minPackets: 5, maxPackets: 15 };
    expect(() => new Link({ red: options, random: () => 0 })).toThrow('rateBitsPerSec');
    expect(() => new Link({ red: options, rateBitsPerSec: 1e6 })).toThrow('link.random');
  });
});
