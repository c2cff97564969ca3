/** The page: listens to the server, keeps what it says, and shows it. */
import { Chart } from './chart.js';
import { byId, fillTable, make } from './dom.js';
import { formatBytes, formatTime, formatValue } from './format.js';

/** @typedef {import('../ui/model.ts').UiSnapshot} UiSnapshot */
/** @typedef {import('../ui/model.ts').UiRow} UiRow */
/** @typedef {import('../ui/model.ts').UiNow} UiNow */
/** @typedef {import('../ui/model.ts').UiEvent} UiEvent */

/** Points kept, as the server does. */
const POINTS = 900;
const EVENTS = 200;

/** @type {UiSnapshot | undefined} */
let state;
/** @type {Map<string, Chart>} */
const charts = new Map();
let view = '';

const views = /** @type {HTMLSelectElement} */ (byId('views'));
views.addEventListener('change', () => {
  view = views.value;
  showCharts();
  showNow();
});
matchMedia('(prefers-color-scheme: dark)').addEventListener('change', () => {
  for (const chart of charts.values()) chart.redraw();
});
listen();

function listen() {
  const source = new EventSource('events');
  source.addEventListener('snapshot', (event) => {
    takeSnapshot(JSON.parse(event.data));
    if (state?.layout.state === 'ended') source.close();
  });
  source.addEventListener('row', (event) => {
    takeRow(JSON.parse(event.data));
  });
  source.addEventListener('now', (event) => {
    if (state === undefined) return;
    state = { ...state, now: JSON.parse(event.data) };
    showNow();
  });
  source.addEventListener('events', (event) => {
    if (state === undefined) return;
    state = { ...state, events: [...state.events, ...JSON.parse(event.data)].slice(-EVENTS) };
    showEvents();
  });
  source.addEventListener('error', () => {
    showState('lost', 'no connection');
    // Refused for good: the browser gives up, and so somebody has to try again.
    if (source.readyState === EventSource.CLOSED) setTimeout(listen, 5000);
  });
}

/** @param {UiSnapshot} snapshot */
function takeSnapshot(snapshot) {
  state = snapshot;
  const { layout } = snapshot;
  document.title = `${layout.title} – preflex`;
  byId('title').textContent = layout.title;
  byId('subtitle').textContent = layout.subtitle;
  showState(layout.state, layout.state);
  if (!layout.views.includes(view)) view = layout.views[0] ?? '';
  views.replaceChildren(...layout.views.map((name) => make('option', { value: name }, name)));
  views.value = view;
  byId('views-label').hidden = layout.views.length < 2;
  byId('views-note').textContent = layout.viewsNote;
  byId('routes-section').hidden = layout.views.length === 0;
  for (const chart of charts.values()) chart.close();
  charts.clear();
  showCharts();
  showNow();
  showEvents();
  document.body.classList.remove('loading');
}

/** @param {UiRow} row */
function takeRow(row) {
  if (state === undefined) return;
  const { columns, t } = state.history;
  const from = Math.max(0, t.length + 1 - POINTS);
  const keys = new Set([...Object.keys(columns), ...Object.keys(row.values)]);
  /** @type {Record<string, (number | null)[]>} */
  const next = {};
  for (const key of keys) {
    const column = columns[key] ?? t.map(() => null);
    next[key] = [...column.slice(from), row.values[key] ?? null];
  }
  state = { ...state, history: { t: [...t.slice(from), row.t], columns: next } };
  showCharts();
}

function showCharts() {
  if (state === undefined) return;
  const { history, layout } = state;
  const wanted = layout.charts.filter((chart) => chart.view === undefined || chart.view === view);
  const ids = new Set(wanted.map(({ id }) => id));
  for (const [id, chart] of charts) {
    if (ids.has(id)) continue;
    chart.close();
    charts.delete(id);
  }
  for (const [i, description] of wanted.entries()) {
    let chart = charts.get(description.id);
    if (chart === undefined) {
      chart = new Chart(description, layout.clock);
      charts.set(description.id, chart);
      byId('charts').insertBefore(chart.element, byId('charts').children[i] ?? null);
    }
    chart.show(history);
  }
}

function showNow() {
  if (state === undefined) return;
  const { flows, routes, summary } = state.now;
  byId('summary').replaceChildren(
    ...summary.map(([name, value]) => make('div', {}, make('dt', {}, name), make('dd', {}, value))),
  );
  fillTable(
    byId('routes'),
    `Routes${state.layout.views.length > 1 ? ` to ${view}` : ''}`,
    ['route', 'state', 'rate', 'loss', 'flowlet ratio', 'flowlets', 'sent'].map((title, i) => ({
      title,
      isWord: i === 1,
    })),
    (routes[view] ?? []).map((route) => [
      route.pathId === null ? route.name : `${route.name} (path ${route.pathId})`,
      badge(route.state),
      formatValue(route.bitsPerSec, 'bitsPerSec'),
      formatValue(route.lossRatio, 'percent'),
      formatValue(route.flowletRatio, 'ratio'),
      route.flowlets === null ? '–' : String(route.flowlets),
      formatBytes(route.totalBytes),
    ]),
    'No routes are known yet',
  );
  byId('flows-section').hidden = flows === null;
  if (flows === null) return;
  fillTable(
    byId('flows'),
    'Flows with most bytes first',
    ['flow', 'state', 'path', 'sent', 'retransmitted'].map((title, i) => ({ title, isWord: i === 1 })),
    flows.map((flow) => [
      flow.name,
      flow.state,
      flow.pathId === 0 ? '–' : String(flow.pathId),
      formatBytes(flow.bytes),
      formatBytes(flow.lexBytes),
    ]),
    'No flows',
  );
}

const BADGES = { up: '▲ up', down: '▼ down', drained: '◇ drained', suspended: '◆ suspended' };

/** @param {keyof typeof BADGES} of */
function badge(of) {
  return make('span', { class: 'badge', 'data-state': of }, BADGES[of]);
}

function showEvents() {
  if (state === undefined) return;
  const { events, layout } = state;
  const items = events.map((event) => eventItem(event, layout.clock)).reverse();
  byId('events').replaceChildren(
    ...(items.length > 0 ? items : [make('li', { class: 'none' }, 'Nothing happened yet')]),
  );
}

/** @param {UiEvent} event @param {import('../ui/model.ts').UiLayout['clock']} clock */
function eventItem({ level, text, time }, clock) {
  const icon = make('span', { 'aria-hidden': 'true' }, level === 'warning' ? '▲' : '·');
  const words = make(
    'span',
    {},
    ...(level === 'warning' ? [make('span', { class: 'hidden' }, 'Warning: ')] : []),
    text,
  );
  const at = make('time', typeof time === 'string' ? { datetime: time } : {}, formatTime(time, clock));
  return make('li', { 'data-level': level }, at, icon, words);
}

/** @param {string} kind @param {string} words */
function showState(kind, words) {
  const element = byId('state');
  element.dataset['state'] = kind;
  if (element.textContent !== words) element.textContent = words;
}
