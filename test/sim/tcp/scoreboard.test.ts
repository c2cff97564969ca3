import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { DUP_THRESHOLD, Scoreboard } from '../../../lib/sim/tcp/scoreboard.ts';

/** A SACK option at offset 0. */
function sack(blocks: readonly (readonly [number, number])[]): DataView {
  const view = new DataView(new ArrayBuffer(40));
  view.setUint8(0, 5);
  view.setUint8(1, 2 + 8 * blocks.length);
  blocks.forEach(([left, right], i) => {
    view.setInt32(2 + 8 * i, left);
    view.setInt32(6 + 8 * i, right);
  });
  return view;
}

/** The plain model: one object a segment, everything computed from scratch. */
class Model {
  segments: { seq: number; sacked: boolean; lost: boolean; again: boolean }[] = [];
  pipe(): number {
    // RFC 6675 SetPipe: what is not SACKed counts unless lost, and once more when it was sent again.
    return this.segments.reduce(
      (sum, s) => sum + (s.sacked ? 0 : (s.lost ? 0 : 1000) + (s.again ? 1000 : 0)),
      0,
    );
  }
  markLost(): void {
    this.segments.forEach((s, i) => {
      const above = this.segments.slice(i + 1).filter((other) => other.sacked).length;
      if (!s.sacked && above >= DUP_THRESHOLD) s.lost = true;
    });
  }
}

const BASE = 0x7ffff000; // The numbers wrap.
const seqOf = (i: number): number => (BASE + 1000 * i) | 0;

describe('Scoreboard', () => {
  it('keeps the pipe, the losses and the next retransmission as a plain model computes them', () => {
    const operation = fc.oneof(
      { weight: 3, arbitrary: fc.record({ kind: fc.constant('push' as const) }) },
      {
        weight: 4,
        arbitrary: fc.record({
          kind: fc.constant('sack' as const),
          blocks: fc.array(fc.tuple(fc.nat(30), fc.integer({ min: 1, max: 5 })), {
            minLength: 1,
            maxLength: 4,
          }),
        }),
      },
      {
        weight: 2,
        arbitrary: fc.record({ kind: fc.constant('ack' as const), by: fc.integer({ min: 1, max: 4 }) }),
      },
      { weight: 2, arbitrary: fc.record({ kind: fc.constant('retransmit' as const) }) },
      { weight: 1, arbitrary: fc.record({ kind: fc.constant('timeout' as const) }) },
    );
    fc.assert(
      fc.property(fc.array(operation, { maxLength: 120 }), (operations) => {
        const board = new Scoreboard();
        const model = new Model();
        let pushed = 0;
        let acked = 0;
        for (const op of operations) {
          if (op.kind === 'push') {
            board.push(seqOf(pushed), 1000, false, pushed);
            model.segments.push({ seq: pushed++, sacked: false, lost: false, again: false });
          } else if (op.kind === 'sack') {
            const ranges = op.blocks
              .map(([from, length]) => [acked + from, Math.min(acked + from + length, pushed)] as const)
              .filter(([from, to]) => from < to);
            if (ranges.length === 0) continue;
            board.applySack(sack(ranges.map(([from, to]) => [seqOf(from), seqOf(to)])), 0, seqOf(acked));
            for (const [from, to] of ranges) {
              for (const s of model.segments) if (s.seq >= from && s.seq < to) s.sacked = true;
            }
            board.markLost();
            model.markLost();
          } else if (op.kind === 'ack') {
            acked = Math.min(acked + op.by, pushed);
            board.acknowledge(seqOf(acked));
            model.segments = model.segments.filter((s) => s.seq >= acked);
          } else if (op.kind === 'retransmit') {
            const index = board.nextLost();
            const expected = model.segments.findIndex((s) => s.lost && !s.again && !s.sacked);
            expect(index < 0 ? -1 : index - board.first).toBe(expected);
            if (index < 0) continue;
            board.retransmit(index, 1e9);
            model.segments[expected].again = true;
          } else {
            board.markAllLost();
            for (const s of model.segments) {
              if (s.sacked) continue;
              s.lost = true;
              s.again = false;
            }
          }
          expect(board.pipeBytes).toBe(model.pipe());
          expect(board.end - board.first).toBe(model.segments.length);
          expect(board.sackedSegments).toBe(model.segments.filter((s) => s.sacked).length);
          expect(board.lostSegments).toBe(
            model.segments.filter((s) => s.lost && !s.again && !s.sacked).length,
          );
        }
      }),
      { numRuns: 300 },
    );
  });

  it('tells the send times of what was sent once, and nothing after a retransmission', () => {
    const board = new Scoreboard();
    for (let i = 0; i < 4; i++) board.push(1000 * i, 1000, false, 10 + i);
    board.acknowledge(2000);
    expect([board.oldestSentNs, board.newestSentNs, board.hasAckedRetransmission]).toEqual([10, 11, false]);
    board.retransmit(2, 50);
    board.acknowledge(4000);
    expect([board.newestSentNs, board.hasAckedRetransmission]).toEqual([13, true]);
  });

  it('keeps the rest of a segment that was acknowledged in part', () => {
    const board = new Scoreboard();
    board.push(0, 1000, true, 0);
    board.acknowledge(400);
    expect([board.seqAt(0), board.lengthAt(0), board.hasFinAt(0), board.pipeBytes]).toEqual([
      400,
      600,
      true,
      600,
    ]);
  });
});
