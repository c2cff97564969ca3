/** The Grafana dashboard asks for nothing that is not exported. */
import { readFileSync } from 'node:fs';
import { describe, expect, it } from 'vitest';
import { gatewayFamilies } from '../../lib/web/metrics/gateway-metrics.ts';
import { hostFamilies } from '../../lib/web/metrics/host-metrics.ts';
import { measuredGateway, measuredHost } from './measured.ts';

interface Panel {
  readonly id: number;
  readonly title: string;
  readonly type: string;
  readonly gridPos: { readonly x: number; readonly y: number; readonly w: number; readonly h: number };
  readonly targets?: readonly { readonly expr: string; readonly legendFormat: string }[];
}

const { panels, templating } = JSON.parse(
  readFileSync(new URL('../../docs/samples/grafana-dashboard.json', import.meta.url), 'utf8'),
) as {
  readonly panels: readonly Panel[];
  readonly templating: { readonly list: readonly { readonly query: string }[] };
};

/** Labels of each series by its name: those of the metric, and for histograms of their parts. */
const labelsOf = new Map<string, readonly string[]>();
const betas = { equal: 0, conservative: 0, loss: 1 };
for (const { labels = [], name, type } of [
  ...gatewayFamilies(measuredGateway([['192.0.2.0/24']]), () => ({ strategy: 'loss', betas })),
  ...hostFamilies(measuredHost()),
]) {
  if (type !== 'histogram') labelsOf.set(name, labels);
  else for (const part of ['bucket', 'sum', 'count']) labelsOf.set(`${name}_${part}`, [...labels, 'le']);
}
/** Labels that Prometheus adds. */
const ADDED = ['instance', 'job'];

const queries = [
  ...panels.flatMap(({ targets = [] }) => targets.map(({ expr }) => expr)),
  ...templating.list.map(({ query }) => query),
];

describe('the dashboard', () => {
  it('queries metrics that exist, by labels that they have', () => {
    let selectors = 0;
    for (const query of queries) {
      for (const [, name = '', matchers = ''] of query.matchAll(
        /\b((?:preflex|process|nodejs)_\w+)(?:\{([^}]*)\})?/g,
      )) {
        selectors++;
        const labels = labelsOf.get(name);
        expect(labels, name).toBeDefined();
        for (const [, label = ''] of matchers.matchAll(/(\w+)\s*(?:=~|!~|!=|=)/g))
          expect([...(labels ?? []), ...ADDED], query).toContain(label);
      }
    }
    expect(selectors).toBeGreaterThan(40);
  });

  it('names series by labels that they have', () => {
    for (const { targets = [] } of panels) {
      for (const { expr, legendFormat } of targets) {
        const names = [...expr.matchAll(/\b(?:preflex|process|nodejs)_\w+/g)].flatMap(
          ([name]) => labelsOf.get(name) ?? [],
        );
        for (const [, label = ''] of legendFormat.matchAll(/\{\{(\w+)\}\}/g))
          expect([...names, ...ADDED], legendFormat).toContain(label);
      }
    }
  });

  it('has panels that do not lie over each other, each with a number of its own', () => {
    expect(new Set(panels.map(({ id }) => id)).size).toBe(panels.length);
    const taken = new Set<string>();
    for (const { gridPos, title } of panels) {
      expect(gridPos.x + gridPos.w).toBeLessThanOrEqual(24);
      for (let x = gridPos.x; x < gridPos.x + gridPos.w; x++) {
        for (let y = gridPos.y; y < gridPos.y + gridPos.h; y++) {
          expect(taken.has(`${x} ${y}`), title).toBe(false);
          taken.add(`${x} ${y}`);
        }
      }
    }
  });
});
