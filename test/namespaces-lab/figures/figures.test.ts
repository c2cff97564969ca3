/** The figures as SVG. To renew the golden files: `npx vitest run --project unit test/namespaces-lab/figures -u`. */
import { describe, expect, it } from 'vitest';
import { renderFigure } from '../../../namespaces-lab/figures/chart.ts';
import { comparisonFiles, figureFiles } from '../../../namespaces-lab/figures/figures.ts';
import { coordinate, element, escapeText } from '../../../namespaces-lab/figures/svg.ts';
import { sampleBaseline, sampleResult } from '../experiment-result.ts';

describe('SVG', () => {
  it('escapes text', () => {
    expect(escapeText('a < b & "c" > d')).toBe('a &lt; b &amp; &quot;c&quot; &gt; d');
  });

  it('rounds numbers to two decimals, without minus zero', () => {
    expect([1.005, -0.001, 3, 2.346].map(coordinate)).toEqual(['1', '0', '3', '2.35']);
  });

  it('leaves undefined attributes out', () => {
    expect(element('a', { x: 1, y: undefined, z: 'q' })).toBe('<a x="1" z="q"/>');
  });
});

describe('figures', () => {
  for (const { name, svg } of figureFiles(sampleResult())) {
    it(`draws ${name} as it always did`, async () => {
      await expect(svg).toMatchFileSnapshot(`../../golden/lab-${name}`);
    });

    it(`draws ${name} without a number that is none`, () => {
      expect(svg).not.toMatch(/NaN|Infinity|undefined|null/);
    });
  }

  it('puts several runs into one figure, a panel each', async () => {
    const [figure3] = comparisonFiles([sampleResult(), sampleResult()]);
    expect(figure3.svg.match(/class="panel"/g)).toHaveLength(2);
    await expect(figure3.svg).toMatchFileSnapshot('../../golden/lab-comparison3.svg');
  });

  it('draws no flowlet ratios without PREFLEX, and of losses only those of the links', () => {
    const files = figureFiles(sampleBaseline());
    expect(files.map(({ name }) => name)).toEqual(['figure2.svg', 'figure3.svg']);
    const lines = [...files[1].svg.matchAll(/<path class="([^"]*)"( d=)?/g)];
    expect(lines.filter(([, name, path]) => path !== undefined && !name.includes('faint'))).toEqual([]);
    expect(files[1].svg).not.toMatch(/NaN|undefined|null/);
  });

  it('compares flowlet ratios of the runs that have them', () => {
    const files = comparisonFiles([sampleBaseline(), sampleResult()]);
    expect(files.map(({ svg }) => svg.match(/class="panel"/g)!.length)).toEqual([2, 1]);
  });

  it('draws a run that ended before its first interval', () => {
    for (const { svg } of figureFiles(sampleResult({ intervals: [], transfers: [] }))) {
      expect(svg).not.toMatch(/NaN|Infinity/);
    }
  });

  it('has colours for dark ground', () => {
    const svg = renderFigure({ title: 't', subtitle: 's', xLabel: 'x', xMax: 1, panels: [] });
    expect(svg).toContain('@media (prefers-color-scheme:dark)');
  });
});
