import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { ReceiveQueue } from '../../../lib/sim/tcp/receive-queue.ts';

const BASE = -5; // The numbers wrap from -1 to 0.

function blocksOf(queue: ReceiveQueue): [number, number][] {
  const view = new DataView(new ArrayBuffer(32));
  const { blocks } = queue;
  queue.writeBlocks(view, 0);
  return Array.from({ length: blocks }, (_, i) => [view.getInt32(8 * i), view.getInt32(8 * i + 4)]);
}

describe('ReceiveQueue', () => {
  it('holds exactly the bytes that a plain set holds, and gives them out in order', () => {
    const range = fc.tuple(fc.integer({ min: 1, max: 60 }), fc.integer({ min: 1, max: 8 }));
    fc.assert(
      fc.property(fc.array(range, { maxLength: 40 }), (ranges) => {
        const queue = new ReceiveQueue();
        const bytes = new Set<number>();
        for (const [from, length] of ranges) {
          queue.insert((BASE + from) | 0, (BASE + from + length) | 0);
          for (let i = 0; i < length; i++) bytes.add(from + i);
        }
        // A range ends wherever a byte is missing.
        const ranges2 = [...bytes].filter((byte) => !bytes.has(byte + 1)).length;
        expect(queue.count).toBe(ranges2);
        let next = 1;
        while (bytes.has(next)) next++;
        expect((queue.advance((BASE + 1) | 0) - BASE) | 0).toBe(next);
      }),
    );
  });

  it('tells the newest range first and then the others by recency, four at most', () => {
    const queue = new ReceiveQueue();
    for (const left of [10, 30, 50, 70, 90]) queue.insert(left, left + 5);
    expect(blocksOf(queue)).toEqual([
      [90, 95],
      [70, 75],
      [50, 55],
      [30, 35],
    ]);
    queue.insert(35, 40);
    expect(blocksOf(queue)[0]).toEqual([30, 40]);
  });

  it('tells a duplicate once, in front', () => {
    const queue = new ReceiveQueue();
    queue.insert(10, 20);
    queue.insert(12, 18);
    expect(blocksOf(queue)).toEqual([
      [12, 18],
      [10, 20],
    ]);
    expect(blocksOf(queue)).toEqual([[10, 20]]);
  });
});
