import { describe, expect, it } from 'vitest';
import { benchUdp } from '../../lib/bench/udp-bench.ts';

describe('the benchmark udp', () => {
  it('measures sending and receiving, one at a time and in batches, both sizes, rates and processor time', async () => {
    const lines: string[] = [];
    const results = await benchUdp({ pairs: 2, datagrams: 128, onProgress: (line) => lines.push(line) });
    const names = results.map(({ name }) => name);
    for (const way of [
      'send, one at a time',
      'send, batches of 64',
      'receive, one at a time',
      'receive, batches of 64',
    ]) {
      for (const bytes of [64, 1200]) {
        expect(names).toContain(`${way}, ${bytes} bytes`);
        expect(names).toContain(`${way}, ${bytes} bytes, processor`);
      }
    }
    expect(lines).toHaveLength(results.length / 2);
    for (const { name, unit, pairs, ratio, against } of results) {
      expect(unit).toBe(name.endsWith('processor') ? 'ns/datagram' : 'datagrams/s');
      expect(against).toBe('node:dgram');
      expect(pairs).toHaveLength(2);
      for (const pair of pairs) for (const value of pair) expect(value).toBeGreaterThan(0);
      expect(ratio).toBeGreaterThan(0);
    }
  });

  it('can be told to measure only some', async () => {
    const results = await benchUdp({ pairs: 1, datagrams: 64, only: 'connected' });
    expect(results.map(({ name }) => name)).toEqual([
      'send, connected, one at a time, 64 bytes',
      'send, connected, one at a time, 64 bytes, processor',
      'send, connected, one at a time, 1200 bytes',
      'send, connected, one at a time, 1200 bytes, processor',
    ]);
  });
});
