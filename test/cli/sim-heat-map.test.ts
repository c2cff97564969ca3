/** Heat maps. */
import { describe, expect, it } from 'vitest';
import { renderHeatMap } from '../../lib/cli/sim-heat-map.ts';

const MAP = {
  title: 'a < b',
  subtitle: 'for tests',
  xTitle: 'x',
  yTitle: 'y',
  xLabels: ['1', '2'],
  yLabels: ['low', 'high'],
  rows: [
    [0, 0.5],
    [null, 1.23456],
  ],
};

describe('a heat map', () => {
  const svg = renderHeatMap(MAP);

  it('has a cell with its number for each value, and none for what is not there', () => {
    expect(svg.match(/class="cell"/g)).toHaveLength(3);
    for (const number of ['>0<', '>0.5<', '>1.23<']) expect(svg).toContain(number);
  });

  it('is light for the least value and dark for the greatest, with text that can be read on it', () => {
    expect(svg).toContain('fill="rgb(255,247,188)"');
    expect(svg).toContain('fill="rgb(8,48,107)"');
    expect(svg).toMatch(/class="onLight"[^>]*>0</);
    expect(svg).toMatch(/class="onDark"[^>]*>1.23</);
  });

  it('escapes its titles, and is drawn for equal values too', () => {
    expect(svg).toContain('a &lt; b');
    expect(renderHeatMap({ ...MAP, rows: [[2, 2]], yLabels: ['only'] })).not.toContain('NaN');
  });
});
