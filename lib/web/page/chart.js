/**
 * One chart: a line for each series, told apart by colour and by dashes; a legend that has the values; and for who does
 * not see it, or wants numbers, a table of the last points. Arrow keys read it point by point.
 */
import { make } from './dom.js';
import { NONE, formatTick, formatTime, formatValue } from './format.js';

/** @typedef {import('../ui/model.ts').UiChart} UiChart */
/** @typedef {import('../ui/model.ts').UiHistory} UiHistory */
/** @typedef {import('../ui/model.ts').UiLayout['clock']} Clock */

const COLORS = 6;
const DASHES = [[], [8, 4], [2, 3], [12, 3, 2, 3]];
const HEIGHT = 220;
/** Points in the table. */
const TABLE_ROWS = 20;

export class Chart {
  /** @type {HTMLElement} */
  element;
  /** @type {UiChart} */
  #chart;
  /** @type {Clock} */
  #clock;
  /** @type {UiHistory} */
  #history = { t: [], columns: {} };
  /** @type {uPlot | undefined} */
  #plot;
  #holder = make('div', { class: 'plot', tabindex: '0', role: 'img' });
  #moment = make('p', { class: 'moment', 'aria-live': 'polite' });
  #table = make('table');
  #details = make('details');
  /** @type {HTMLOutputElement[]} */
  #values = [];
  /** Upper end of the scale. */
  #top = 1;
  /** What there is to say of the scale. */
  #peak = '';
  /** The point that is read; undefined for the last. @type {number | undefined} */
  #at;
  #resizes = new ResizeObserver(() => {
    this.#resize();
  });

  /** @param {UiChart} chart @param {Clock} clock */
  constructor(chart, clock) {
    this.#chart = chart;
    this.#clock = clock;
    this.#values = chart.series.map(() => make('output'));
    const legend = make(
      'ul',
      { class: 'legend' },
      ...chart.series.map(({ label }, i) => make('li', {}, swatch(i), `${label} `, this.#values[i])),
    );
    this.#details.append(
      make('summary', {}, 'Last values as a table'),
      make(
        'div',
        { class: 'scroll', tabindex: '0', role: 'region', 'aria-label': `${chart.title}, values` },
        this.#table,
      ),
    );
    this.#details.addEventListener('toggle', () => {
      this.#fillTable();
    });
    this.#holder.addEventListener('keydown', (event) => {
      this.#onKey(event);
    });
    this.#holder.addEventListener('blur', () => {
      this.#read(undefined);
    });
    this.element = make(
      'figure',
      { class: 'chart', 'data-chart': chart.id },
      make('figcaption', {}, make('h2', {}, chart.title), make('p', { class: 'about' }, chart.about)),
      legend,
      this.#holder,
      this.#moment,
      this.#details,
    );
    this.#resizes.observe(this.#holder);
  }

  /** Shows a history. @param {UiHistory} history */
  show(history) {
    this.#history = history;
    const data = this.#data();
    this.#scale();
    if (history.t.length > 0 && this.#chart.series.length > 0) {
      if (this.#plot === undefined) this.#draw(data);
      else this.#plot.setData(data);
    } else {
      this.#holder.replaceChildren(make('p', { class: 'none' }, 'Nothing was measured yet'));
    }
    this.#describe();
    this.#fillTable();
  }

  /** Draws anew, in other colours. */
  redraw() {
    this.#plot?.destroy();
    this.#plot = undefined;
    this.show(this.#history);
  }

  /** Ends it. */
  close() {
    this.#resizes.disconnect();
    this.#plot?.destroy();
    this.element.remove();
  }

  /** @returns {uPlot.AlignedData} */
  #data() {
    const { t, columns } = this.#history;
    return /** @type {uPlot.AlignedData} */ ([
      t,
      ...this.#chart.series.map(({ key }) => columns[key] ?? t.map(() => null)),
    ]);
  }

  /** Chooses the scale: one that a few peaks, as of a link that died, do not stretch; what they are is said. */
  #scale() {
    const { series, unit } = this.#chart;
    const values = series.flatMap(({ key }) =>
      (this.#history.columns[key] ?? []).filter((value) => value !== null),
    );
    values.sort((a, b) => a - b);
    const max = values.at(-1) ?? 0;
    const usual = values[Math.floor(values.length * 0.97)] ?? 0;
    const isStretched = unit === 'percent' && usual > 0 && max > 3 * usual;
    const top = niceMax(isStretched ? usual * 1.3 : max);
    // Shares end at one; a hair above that is what rounding of times does to a full link.
    const isShare = unit === 'ratio' || (unit === 'percent' && max <= 1.1);
    this.#top = unit === 'ratio' ? Math.max(1, max) : isShare ? Math.min(Math.max(1, max), top) : top;
    this.#peak = isStretched ? `Peaks of up to ${formatValue(max, unit)} leave the chart` : '';
  }

  /** @param {uPlot.AlignedData} data */
  #draw(data) {
    const { guide, isStep, series, unit } = this.#chart;
    const colors = getComputedStyle(document.documentElement);
    const color = (/** @type {string} */ name) => colors.getPropertyValue(name).trim();
    const axis = {
      stroke: color('--quiet'),
      grid: { stroke: color('--grid'), width: 1 },
      ticks: { stroke: color('--grid'), width: 1, size: 4 },
      font: '12px system-ui, sans-serif',
    };
    const path = isStep ? uPlot.paths.stepped?.({ align: 1 }) : uPlot.paths.linear?.();
    this.#holder.replaceChildren();
    /** @type {uPlot.Options} */
    const options = {
      width: Math.max(120, this.#holder.clientWidth),
      height: HEIGHT,
      legend: { show: false },
      cursor: { drag: { x: false, y: false }, points: { size: 7 }, y: false },
      scales: {
        x: { time: this.#clock === 'wall' },
        y: { range: () => [0, this.#top] },
      },
      axes: [
        {
          ...axis,
          space: 70,
          size: 28,
          values: (_, splits) =>
            this.#clock === 'wall'
              ? splits.map((time) =>
                  new Date(time * 1000).toLocaleTimeString('en-GB').slice(0, isShort(splits) ? 8 : 5),
                )
              : splits.map((time) => `${Number(time.toFixed(1))} s`),
        },
        {
          ...axis,
          size: 74,
          values: (_, splits) => splits.map((value) => formatTick(value, unit)),
        },
      ],
      series: [
        {},
        ...series.map(({ label }, i) => ({
          label,
          stroke: color(`--c${i % COLORS}`),
          width: 2,
          dash: DASHES[i % DASHES.length],
          points: { show: data[0].length < 3, size: 6 },
          spanGaps: false,
          ...(path === undefined ? {} : { paths: path }),
        })),
      ],
      hooks: {
        setCursor: [
          (plot) => {
            this.#moved(plot.cursor.idx);
          },
        ],
        draw: guide === undefined ? [] : [(plot) => drawGuide(plot, guide, color('--quiet'))],
      },
    };
    this.#plot = new uPlot(options, data, this.#holder);
  }

  #resize() {
    const width = this.#holder.clientWidth;
    if (this.#plot !== undefined && width > 0 && width !== this.#plot.width)
      this.#plot.setSize({ width, height: HEIGHT });
  }

  /** @param {KeyboardEvent} event */
  #onKey(event) {
    const last = this.#history.t.length - 1;
    const at = this.#at ?? last;
    const moves = /** @type {Record<string, number | undefined>} */ ({
      ArrowLeft: this.#at === undefined ? at : Math.max(0, at - 1),
      ArrowRight: Math.min(last, at + 1),
      Home: 0,
      End: last,
    });
    if (last < 0) return;
    if (event.key === 'Escape') this.#read(undefined);
    else if (moves[event.key] === undefined) return;
    else this.#read(moves[event.key]);
    event.preventDefault();
  }

  /** Reads a point with the keys. @param {number | undefined} at */
  #read(at) {
    this.#at = at;
    const plot = this.#plot;
    if (plot === undefined) return;
    const time = at === undefined ? undefined : this.#history.t[at];
    plot.setCursor({ left: time === undefined ? -10 : plot.valToPos(time, 'x'), top: 10 });
    if (time === undefined) return;
    const words = this.#chart.series.map(({ key, label }) => `${label} ${this.#valueAt(key, at)}`);
    this.#moment.textContent = `${formatTime(time, this.#clock)}: ${words.join(', ')}`;
  }

  /** The pointer, or a key, is at a point. @param {number | null | undefined} at */
  #moved(at) {
    const point = at ?? undefined;
    const time = point === undefined ? undefined : this.#history.t[point];
    this.#moment.textContent = time === undefined ? this.#peak : formatTime(time, this.#clock);
    this.#fillLegend(point);
  }

  /** @param {number | undefined} point */
  #fillLegend(point) {
    for (const [i, { key }] of this.#chart.series.entries()) {
      this.#values[i].textContent = this.#valueAt(key, point ?? this.#history.t.length - 1);
    }
  }

  /** @param {string} key @param {number | undefined} point */
  #valueAt(key, point) {
    return point === undefined || point < 0
      ? NONE
      : formatValue(this.#history.columns[key]?.[point], this.#chart.unit);
  }

  #describe() {
    const last = this.#history.t.length - 1;
    const cursor = this.#plot?.cursor.idx;
    this.#fillLegend(cursor ?? undefined);
    if (cursor === null || cursor === undefined) this.#moment.textContent = this.#peak;
    const words = this.#chart.series.map(({ key, label }) => `${label} ${this.#valueAt(key, last)}`);
    this.#holder.setAttribute(
      'aria-label',
      `${this.#chart.title}: ${last < 0 ? 'nothing yet' : `now ${words.join(', ')}`}. Left and right arrow keys read it.`,
    );
  }

  #fillTable() {
    if (!this.#details.open) return;
    const { series, title } = this.#chart;
    const { t } = this.#history;
    const rows = [];
    for (let at = t.length - 1; at >= Math.max(0, t.length - TABLE_ROWS); at--) {
      rows.push(
        make(
          'tr',
          {},
          make('th', { scope: 'row' }, formatTime(t[at], this.#clock)),
          ...series.map(({ key }) => make('td', {}, this.#valueAt(key, at))),
        ),
      );
    }
    const heads = ['time', ...series.map(({ label }) => label)].map((name) =>
      make('th', { scope: 'col' }, name),
    );
    this.#table.replaceChildren(
      make('caption', { class: 'hidden' }, `${title}, the last ${TABLE_ROWS} values`),
      make('thead', {}, make('tr', {}, ...heads)),
      make('tbody', {}, ...rows),
    );
  }
}

/** The line of a series in the legend. @param {number} i */
function swatch(i) {
  const svg = document.createElementNS('http://www.w3.org/2000/svg', 'svg');
  const line = document.createElementNS('http://www.w3.org/2000/svg', 'line');
  for (const [name, value] of Object.entries({ width: '28', height: '10', 'aria-hidden': 'true' }))
    svg.setAttribute(name, value);
  for (const [name, value] of Object.entries({
    x1: '1',
    x2: '27',
    y1: '5',
    y2: '5',
    stroke: `var(--c${i % COLORS})`,
    'stroke-width': '3',
    'stroke-dasharray': DASHES[i % DASHES.length].join(' '),
  }))
    line.setAttribute(name, value);
  svg.append(line);
  return svg;
}

/** @param {uPlot} plot @param {{ value: number, label: string }} guide @param {string} color */
function drawGuide(plot, guide, color) {
  const { ctx, bbox } = plot;
  const y = plot.valToPos(guide.value, 'y', true);
  ctx.save();
  ctx.strokeStyle = color;
  ctx.fillStyle = color;
  ctx.setLineDash([2, 4]);
  ctx.beginPath();
  ctx.moveTo(bbox.left, y);
  ctx.lineTo(bbox.left + bbox.width, y);
  ctx.stroke();
  ctx.font = `${11 * devicePixelRatio}px system-ui, sans-serif`;
  ctx.textAlign = 'right';
  ctx.fillText(guide.label, bbox.left + bbox.width - 4, y - 5 * devicePixelRatio);
  ctx.restore();
}

/** Whether the times of an axis are less than a minute apart. @param {number[]} splits */
function isShort(splits) {
  return splits.length > 1 && splits[1] - splits[0] < 60;
}

/** The least of 1, 2, 5 times a power of ten that is not smaller. @param {number | null} max */
function niceMax(max) {
  if (max === null || !(max > 0)) return 1;
  const power = 10 ** Math.floor(Math.log10(max));
  return ([1, 1.5, 2, 3, 5, 7.5, 10].find((step) => step * power >= max * 1.05) ?? 15) * power;
}
