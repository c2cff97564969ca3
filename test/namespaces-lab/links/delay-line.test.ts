/** The packets under way: copies in order, however many. */
import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { PacketBatch } from '../../../lib/device/packet-batch.ts';
import { DelayLine, WordBatch } from '../../../namespaces-lab/links/delay-line.ts';

const MTU = 200;

describe('DelayLine', () => {
  it('is a queue of packets, their virtio headers, times and outputs', () => {
    const packet = fc.record({
      bytes: fc.uint8Array({ minLength: 1, maxLength: MTU }),
      header: fc.uint8Array({ minLength: 10, maxLength: 10 }),
      out: fc.nat(20),
      pops: fc.nat(2),
    });
    fc.assert(
      fc.property(fc.array(packet, { maxLength: 400 }), (packets) => {
        const line = new DelayLine(MTU);
        const source = new WordBatch(new PacketBatch(3));
        const sink = new WordBatch();
        const model: { bytes: Uint8Array; header: Uint8Array; out: number; due: number }[] = [];
        const pop = (): void => {
          const expected = model.shift();
          expect(line.headDueNs()).toBe(expected?.due ?? Infinity);
          if (expected === undefined) return;
          expect(line.headOut()).toBe(expected.out);
          line.shiftInto(sink);
          expect([...sink.batch.packet(0)]).toEqual([...expected.bytes]);
          expect([...sink.batch.virtioHeader(0)]).toEqual([...expected.header]);
        };
        for (const [i, { bytes, header, out, pops }] of packets.entries()) {
          source.batch.count = i % 3;
          source.batch.push(bytes, header);
          line.push(source, i % 3, i * 10, out);
          model.push({ bytes, header, out, due: i * 10 });
          for (let n = 0; n < pops && i % 5 === 0; n++) pop();
          expect(line.size).toBe(model.length);
        }
        while (model.length > 0) pop();
        pop();
      }),
      { numRuns: 30 },
    );
  });

  it('refuses a packet longer than its MTU', () => {
    const source = new WordBatch();
    source.batch.push(new Uint8Array(MTU + 1));
    expect(() => new DelayLine(MTU).push(source, 0, 0, 0)).toThrow(/MTU of 200/);
  });
});
