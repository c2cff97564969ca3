/** A heat map as SVG text: a cell for each pair of values, with its number, darker where it is larger. Pure. */
import { element, text } from '../../namespaces-lab/figures/svg.ts';

/** What is drawn. */
export interface HeatMap {
  readonly title: string;
  readonly subtitle: string;
  readonly xTitle: string;
  readonly yTitle: string;
  readonly xLabels: readonly string[];
  readonly yLabels: readonly string[];
  /** Rows from the top, cells from the left; null is drawn empty. */
  readonly rows: readonly (readonly (number | null)[])[];
}

const CELL_HEIGHT = 40;
const MIN_CELL_WIDTH = 84;
const CHARACTER = 7;
const TOP = 84;
const BOTTOM = 56;
const RIGHT = 24;
const STYLE = `
.ground{fill:#fff}
text{font:12px "DejaVu Sans",Verdana,sans-serif;fill:#24292f}
.title{font-size:16px;font-weight:bold}
.subtitle{fill:#57606a}
.cell{stroke:#fff;stroke-width:1}
.onDark{fill:#fff}
.onLight{fill:#24292f}
@media (prefers-color-scheme:dark){
.ground{fill:#0d1117}
text{fill:#e6edf3}
.subtitle{fill:#9da7b3}
.cell{stroke:#0d1117}
.onDark{fill:#fff}
.onLight{fill:#24292f}
}
`;
/** Ends of the scale: light yellow to dark blue. */
const LIGHT = [255, 247, 188];
const DARK = [8, 48, 107];
/** The dark text, `.onLight`. */
const TEXT = [0x24, 0x29, 0x2f];

/** The heat map as an SVG document. */
export function renderHeatMap(map: HeatMap): string {
  const left = 40 + CHARACTER * Math.max(...map.yLabels.map(({ length }) => length));
  const longest = Math.max(...map.xLabels.map(({ length }) => length));
  const cellWidth = Math.max(MIN_CELL_WIDTH, 12 + CHARACTER * longest);
  const bottom = TOP + map.rows.length * CELL_HEIGHT;
  const right = left + map.xLabels.length * cellWidth;
  const width = Math.max(
    right + RIGHT,
    32 + CHARACTER * Math.max(map.title.length * 1.5, map.subtitle.length),
  );
  const values = map.rows.flat().filter((value): value is number => value !== null);
  const [min, max] = [Math.min(...values), Math.max(...values)];
  const parts = [
    element('style', {}, STYLE),
    element('rect', { class: 'ground', width, height: bottom + BOTTOM }),
    text(map.title, { class: 'title', x: 16, y: 28 }),
    text(map.subtitle, { class: 'subtitle', x: 16, y: 48 }),
    text(map.yTitle, { x: 16, y: TOP - 10 }),
    text(map.xTitle, { x: (left + right) / 2, y: bottom + 42, 'text-anchor': 'middle' }),
    ...map.yLabels.map((label, i) =>
      text(label, { x: left - 8, y: TOP + (i + 0.5) * CELL_HEIGHT + 4, 'text-anchor': 'end' }),
    ),
    ...map.xLabels.map((label, i) =>
      text(label, { x: left + (i + 0.5) * cellWidth, y: bottom + 20, 'text-anchor': 'middle' }),
    ),
  ];
  map.rows.forEach((row, i) => {
    row.forEach((value, k) => {
      if (value === null) return;
      const share = max > min ? (value - min) / (max - min) : 0;
      const [x, y] = [left + k * cellWidth, TOP + i * CELL_HEIGHT];
      const size = { width: cellWidth, height: CELL_HEIGHT };
      parts.push(element('rect', { class: 'cell', x, y, ...size, fill: colour(share) }));
      parts.push(
        text(formatValue(value), {
          class: isDark(share) ? 'onDark' : 'onLight',
          x: x + cellWidth / 2,
          y: y + CELL_HEIGHT / 2 + 4,
          'text-anchor': 'middle',
        }),
      );
    });
  });
  const attributes = {
    xmlns: 'http://www.w3.org/2000/svg',
    width,
    height: bottom + BOTTOM,
    viewBox: `0 0 ${width} ${bottom + BOTTOM}`,
    role: 'img',
    'aria-label': map.title,
  };
  return `${element('svg', attributes, ...parts.map((part) => `\n${part}`), '\n')}\n`;
}

/** Three digits. */
export function formatValue(value: number): string {
  return Number(value.toPrecision(3)).toString();
}

/** Red, green and blue of a share of the scale, 0 to 255. */
function shade(share: number): number[] {
  return LIGHT.map((light, i) => Math.round(light + share * (DARK[i] - light)));
}

function colour(share: number): string {
  return `rgb(${shade(share).join(',')})`;
}

/** Whether white can be read on it better than the dark text. @see WCAG 2.2, relative luminance and contrast ratio */
function isDark(share: number): boolean {
  const luminance = luminanceOf(shade(share));
  return 1.05 / (luminance + 0.05) > (luminance + 0.05) / (luminanceOf(TEXT) + 0.05);
}

function luminanceOf(rgb: readonly number[]): number {
  const [r, g, b] = rgb.map((value) => {
    const share = value / 255;
    return share <= 0.04045 ? share / 12.92 : ((share + 0.055) / 1.055) ** 2.4;
  });
  return 0.2126 * r + 0.7152 * g + 0.0722 * b;
}
