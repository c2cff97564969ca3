/**
 * Line charts as SVG text: panels one below the other over one axis of time. Readable on light and dark ground, and
 * without colour: series differ in dashes or are named at their legend. Pure and deterministic.
 *
 * ```
 *   title
 *   subtitle
 *   panel title        -- a  -- b  -- c     legend
 *   y |
 *     |________________________________ x
 * ```
 */
import { scaleLinear } from 'd3-scale';
import { curveLinear, curveStepAfter, line } from 'd3-shape';
import { coordinate, element, text } from './svg.ts';

/** A line. */
export interface Series {
  readonly label: string;
  /** Number of the colour, 0..5. */
  readonly color: number;
  readonly dash?: 'solid' | 'dashed' | 'dotted';
  /** A thin line in the background, left out of the legend. */
  readonly isFaint?: boolean;
  /** Each value holds until the next point; default: points are joined. */
  readonly isStep?: boolean;
  readonly points: readonly (readonly [number, number])[];
}

/** One set of axes. */
export interface Panel {
  readonly title: string;
  readonly yUnit: 'percent' | 'count' | 'ratio';
  /** Upper end of the y axis, beyond which lines are cut off; default: what the points need. */
  readonly yMax?: number;
  readonly series: readonly Series[];
  /** Shaded times. */
  readonly bands?: readonly { readonly from: number; readonly to: number; readonly label: string }[];
  /** Horizontal lines. */
  readonly guides?: readonly { readonly y: number; readonly label: string }[];
}

/** A figure. */
export interface Figure {
  readonly title: string;
  readonly subtitle: string;
  readonly xLabel: string;
  readonly xMax: number;
  readonly panels: readonly Panel[];
}

const WIDTH = 880;
const LEFT = 64;
const RIGHT = 24;
const TOP = 64;
const PANEL_TITLE = 34;
const PLOT_HEIGHT = 220;
const PANEL_GAP = 26;
const BOTTOM = 48;
const LEGEND_LINE = 22;
const CHARACTER = 6.6;

const STYLE = `
.ground{fill:#fff}
text{font:12px "DejaVu Sans",Verdana,sans-serif;fill:#24292f}
.title{font-size:16px;font-weight:bold}
.subtitle,.tick{fill:#57606a}
.panel{font-size:13px;font-weight:bold}
.grid{stroke:#d0d7de;stroke-width:1}
.axis{stroke:#57606a;stroke-width:1}
.band{fill:#8c959f;fill-opacity:.2}
.guide{stroke:#57606a;stroke-width:1;stroke-dasharray:2 4}
.s{fill:none;stroke-width:2;stroke-linejoin:round}
.faint{stroke-width:1;stroke-opacity:.55}
.dashed{stroke-dasharray:7 4}
.dotted{stroke-dasharray:2 3}
.c0{stroke:#0969da}.c1{stroke:#bc4c00}.c2{stroke:#1a7f37}.c3{stroke:#8250df}.c4{stroke:#bf3989}.c5{stroke:#4d5a66}
@media (prefers-color-scheme:dark){
.ground{fill:#0d1117}
text{fill:#e6edf3}
.subtitle,.tick{fill:#9da7b3}
.grid{stroke:#2b323b}
.axis,.guide{stroke:#9da7b3}
.c0{stroke:#58a6ff}.c1{stroke:#ff9d57}.c2{stroke:#56d364}.c3{stroke:#c297ff}.c4{stroke:#ff8fd0}.c5{stroke:#b8c2cc}
}
`;

/** The figure as an SVG document. */
export function renderFigure(figure: Figure): string {
  const panelHeight = PANEL_TITLE + PLOT_HEIGHT + PANEL_GAP;
  const height = TOP + figure.panels.length * panelHeight + BOTTOM - PANEL_GAP;
  const children = [
    element('style', {}, STYLE),
    element('rect', { class: 'ground', width: WIDTH, height }),
    text(figure.title, { class: 'title', x: 16, y: 28 }),
    text(figure.subtitle, { class: 'subtitle', x: 16, y: 48 }),
    ...figure.panels.map((panel, i) => renderPanel(panel, figure, i, TOP + i * panelHeight)),
  ];
  const attributes = {
    xmlns: 'http://www.w3.org/2000/svg',
    width: WIDTH,
    height,
    viewBox: `0 0 ${WIDTH} ${height}`,
    role: 'img',
    'aria-label': figure.title,
  };
  return `${element('svg', attributes, ...children.map((child) => `\n${child}`), '\n')}\n`;
}

function renderPanel(panel: Panel, figure: Figure, index: number, top: number): string {
  const isLast = index === figure.panels.length - 1;
  const plotTop = top + PANEL_TITLE;
  const plotBottom = plotTop + PLOT_HEIGHT;
  const right = WIDTH - RIGHT;
  const x = scaleLinear([0, figure.xMax], [LEFT, right]);
  const values = panel.series.flatMap((series) => series.points.map(([, value]) => value));
  const guides = panel.guides ?? [];
  const most = Math.max(0, ...values, ...guides.map((guide) => guide.y));
  const y = scaleLinear([0, panel.yMax ?? (most > 0 ? most : 1)], [plotBottom, plotTop]);
  if (panel.yMax === undefined) y.nice(5);
  const parts: string[] = [text(panel.title, { class: 'panel', x: LEFT, y: top + 18 })];
  for (const { from, to, label } of panel.bands ?? []) {
    const width = x(Math.min(to, figure.xMax)) - x(from);
    parts.push(element('rect', { class: 'band', x: x(from), y: plotTop, width, height: PLOT_HEIGHT }));
    parts.push(text(label, { class: 'tick', x: x(from) + 4, y: plotTop + 14 }));
  }
  for (const tick of y.ticks(5)) {
    parts.push(element('line', { class: 'grid', x1: LEFT, x2: right, y1: y(tick), y2: y(tick) }));
    parts.push(
      text(formatTick(tick, panel.yUnit), {
        class: 'tick',
        x: LEFT - 8,
        y: y(tick) + 4,
        'text-anchor': 'end',
      }),
    );
  }
  for (const tick of x.ticks(10)) {
    parts.push(
      element('line', { class: 'axis', x1: x(tick), x2: x(tick), y1: plotBottom, y2: plotBottom + 5 }),
    );
    if (!isLast) continue;
    parts.push(
      text(String(tick), { class: 'tick', x: x(tick), y: plotBottom + 19, 'text-anchor': 'middle' }),
    );
  }
  parts.push(element('line', { class: 'axis', x1: LEFT, x2: right, y1: plotBottom, y2: plotBottom }));
  if (isLast) {
    parts.push(text(figure.xLabel, { x: (LEFT + right) / 2, y: plotBottom + 38, 'text-anchor': 'middle' }));
  }
  for (const { y: value, label } of guides) {
    parts.push(element('line', { class: 'guide', x1: LEFT, x2: right, y1: y(value), y2: y(value) }));
    parts.push(text(label, { class: 'tick', x: right - 4, y: y(value) - 5, 'text-anchor': 'end' }));
  }
  // Faint lines first, so that nothing is hidden behind them.
  const ordered = [...panel.series].sort((a, b) => Number(b.isFaint ?? false) - Number(a.isFaint ?? false));
  const area = { x: LEFT, y: plotTop - 2, width: right - LEFT, height: PLOT_HEIGHT + 4 };
  parts.push(element('clipPath', { id: `plot${index}` }, element('rect', area)));
  parts.push(
    element(
      'g',
      { 'clip-path': `url(#plot${index})` },
      ...ordered.map((series) => renderSeries(series, x, y)),
    ),
  );
  parts.push(renderLegend(panel.series, right, top + 14));
  return element('g', {}, ...parts.map((part) => `\n${part}`), '\n');
}

function renderSeries(series: Series, x: (value: number) => number, y: (value: number) => number): string {
  const path = line<readonly [number, number]>()
    .x(([at]) => Number(coordinate(x(at))))
    .y(([, value]) => Number(coordinate(y(value))))
    .digits(2)
    .curve(series.isStep ? curveStepAfter : curveLinear);
  return element('path', { class: classOf(series), d: path(series.points) ?? undefined });
}

/** Entries from the right end of the title's line to the left. */
function renderLegend(series: readonly Series[], right: number, y: number): string {
  const entries = series.filter((entry) => entry.isFaint !== true);
  const parts: string[] = [];
  let at = right;
  for (const entry of [...entries].reverse()) {
    at -= entry.label.length * CHARACTER;
    parts.unshift(text(entry.label, { x: at, y: y + 4 }));
    at -= LEGEND_LINE + 6;
    parts.unshift(element('line', { class: classOf(entry), x1: at, x2: at + LEGEND_LINE, y1: y, y2: y }));
    at -= 14;
  }
  return element('g', {}, ...parts);
}

function classOf(series: Series): string {
  const words = ['s', `c${series.color}`];
  if (series.dash === 'dashed' || series.dash === 'dotted') words.push(series.dash);
  if (series.isFaint) words.push('faint');
  return words.join(' ');
}

function formatTick(value: number, unit: Panel['yUnit']): string {
  if (unit === 'percent') return `${Number((value * 100).toFixed(6))} %`;
  return String(Number(value.toFixed(6)));
}
