import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { ConnectionTable } from '../../../lib/sim/tcp/connection-table.ts';

describe('ConnectionTable', () => {
  it('finds what a Map finds, through additions and removals', () => {
    const key = fc.tuple(fc.nat(5), fc.nat(40));
    fc.assert(
      fc.property(fc.array(fc.tuple(fc.boolean(), key), { maxLength: 400 }), (steps) => {
        const table = new ConnectionTable();
        const map = new Map<string, number>();
        steps.forEach(([isAddition, [addr, ports]], i) => {
          const text = `${addr} ${ports}`;
          if (!isAddition) {
            table.remove(addr, ports);
            map.delete(text);
          } else if (!map.has(text)) {
            table.add(addr, ports, i);
            map.set(text, i);
          }
          expect(table.find(addr, ports)).toBe(map.get(text) ?? -1);
          expect(table.size).toBe(map.size);
        });
        for (const [text, index] of map) {
          const [addr, ports] = text.split(' ').map(Number);
          expect(table.find(addr, ports)).toBe(index);
        }
      }),
    );
  });
});
