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

/** WCAG 2.2, contrast ratio: 1 to 21. */
function contrast(a: readonly number[], b: readonly number[]): number {
  const [x, y] = [a, b].map((rgb) => {
    const [r, g, blue] = rgb.map((v) =>
      v / 255 <= 0.04045 ? v / 255 / 12.92 : ((v / 255 + 0.055) / 1.055) ** 2.4,
    );
    return 0.2126 * r + 0.7152 * g + 0.0722 * blue + 0.05;
  });
  return Math.max(x, y) / Math.min(x, y);
}

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

  it('writes each number in the colour that stands out more from its cell', () => {
    const steps = Array.from({ length: 21 }, (_, i) => i / 20);
    const scale = renderHeatMap({ ...MAP, rows: [steps], xLabels: steps.map(String), yLabels: ['only'] });
    const fills = [...scale.matchAll(/fill="rgb\((\d+),(\d+),(\d+)\)"/g)].map((rgb) =>
      rgb.slice(1).map(Number),
    );
    const classes = [...scale.matchAll(/class="(onDark|onLight)"/g)].map(([, name]) => name);
    expect([fills.length, classes.length]).toEqual([21, 21]);
    for (const [i, fill] of fills.entries()) {
      const text = classes[i] === 'onDark' ? [255, 255, 255] : [0x24, 0x29, 0x2f];
      expect(contrast(fill, text), `${steps[i]}`).toBeGreaterThan(3.8);
    }
  });

  it('escapes its titles, and is drawn for equal values too', () => {
    expect(svg).toContain('a &lt; b');
    expect(renderHeatMap({ ...MAP, rows: [[2, 2]], yLabels: ['only'] })).not.toContain('NaN');
  });
});
