/**
 * The page of a run of the laboratory or the simulator: while it goes on, or from what it left behind. The rows are those
 * of a result.json.
 */
import { readFileSync, statSync } from 'node:fs';
import { join } from 'node:path';
import { PreflexError } from '../../errors.ts';
import { UiFeed } from './feed.ts';
import type { UiChart, UiEvent, UiLayout, UiNow, UiRoute, UiRow } from './model.ts';

/** A route in one row; what is not known is null. */
export interface RunRouteRow {
  readonly name: string;
  readonly up: boolean;
  readonly bytes: number;
  readonly lossRatio: number | null;
  readonly trueDropRatio: number | null;
  readonly flowletRatio: number | null;
  readonly flowlets: number | null;
  readonly utilisation: number | null;
}

/** One row. */
export interface RunIntervalRow {
  /** End of the interval, seconds. */
  readonly t: number;
  readonly routes: readonly RunRouteRow[];
}

/** What the run is called, and what it is. */
export interface RunTitle {
  readonly title: string;
  readonly subtitle: string;
}

/** A flowlet ratio that moves so far from one row to the next is an event. */
const RATIO_STEP = 0.2;
/** The one view of a run. */
const VIEW = 'routes';

/** Feeds the page of a run. */
export class RunFeed {
  readonly feed: UiFeed;
  readonly #title: RunTitle;
  readonly #totals = new Map<string, number>();
  readonly #state: UiLayout['state'];
  #names: readonly string[] = [];
  #last: RunIntervalRow | undefined;
  #seconds = 0;
  #summary: UiNow['summary'] = [];

  /**
   * @param state - whether rows still come
   * @param rows - rows kept
   */
  constructor(title: RunTitle, state: UiLayout['state'], rows?: number) {
    this.#title = title;
    this.#state = state;
    this.feed = new UiFeed(this.#layout(), () => this.#now(), rows);
  }

  /** Adds the row of an interval. */
  addInterval(row: RunIntervalRow): void {
    const before = this.#last;
    this.#seconds = row.t - (before?.t ?? 0);
    this.#last = row;
    for (const { name, bytes } of row.routes) this.#totals.set(name, (this.#totals.get(name) ?? 0) + bytes);
    const names = row.routes.map(({ name }) => name);
    if (names.join() !== this.#names.join()) {
      this.#names = names;
      this.feed.setLayout(this.#layout());
    }
    this.feed.addRow(this.#row(row));
    this.feed.addEvents(eventsBetween(before, row));
    this.feed.tellNow();
  }

  /** Says how the run goes, in words. */
  setSummary(summary: UiNow['summary']): void {
    this.#summary = summary;
    this.feed.tellNow();
  }

  #row({ t, routes }: RunIntervalRow): UiRow {
    const values: Record<string, number | null> = {};
    for (const route of routes) {
      values[`loss ${route.name}`] = route.lossRatio;
      values[`drop ${route.name}`] = route.trueDropRatio;
      values[`ratio ${route.name}`] = route.flowletRatio;
      values[`used ${route.name}`] = route.utilisation;
      values[`rate ${route.name}`] = this.#perSecond(route.bytes * 8);
      values[`flowlets ${route.name}`] = route.flowlets === null ? null : this.#perSecond(route.flowlets);
    }
    return { t, values };
  }

  #perSecond(amount: number): number | null {
    return this.#seconds > 0 ? amount / this.#seconds : null;
  }

  #layout(): UiLayout {
    const chart = (
      id: string,
      title: string,
      about: string,
      unit: UiChart['unit'],
      isStep = false,
    ): UiChart => ({
      id,
      title,
      about,
      unit,
      isStep,
      series: this.#names.map((name) => ({ key: `${id} ${name}`, label: name })),
    });
    return {
      ...this.#title,
      state: this.#state,
      clock: 'run',
      views: [VIEW],
      viewsNote: '',
      charts: [
        chart(
          'loss',
          'Loss ratio',
          'Lost bytes as the hosts exposed them, by route (the paper’s Figure 3).',
          'percent',
        ),
        chart(
          'ratio',
          'Flowlet ratio',
          'Share of new flowlets that each route gets (the paper’s Figure 4).',
          'ratio',
          true,
        ),
        chart(
          'used',
          'Utilisation',
          'Share of the rate of each route’s link that was used, by everyone.',
          'percent',
        ),
        chart(
          'flowlets',
          'FNE packets',
          'New flowlets a second on each route: packets that asked for it.',
          'perSec',
        ),
        chart('rate', 'Rate', 'What the gateway sent through each route.', 'bitsPerSec'),
        chart(
          'drop',
          'Dropped by the link',
          'What each link itself dropped, whatever the hosts say.',
          'percent',
        ),
      ],
    };
  }

  #now(): UiNow {
    const last = this.#last;
    const routes = (last?.routes ?? []).map((route): UiRoute => ({
      name: route.name,
      pathId: null,
      state: route.up ? 'up' : 'down',
      bitsPerSec: this.#perSecond(route.bytes * 8),
      lossRatio: route.lossRatio,
      flowletRatio: route.flowletRatio,
      flowlets: route.flowlets,
      totalBytes: this.#totals.get(route.name) ?? 0,
    }));
    return { summary: this.#summary, routes: { [VIEW]: routes }, flows: null };
  }
}

/** What changed from one row to the next, as events. */
export function eventsBetween(before: RunIntervalRow | undefined, after: RunIntervalRow): UiEvent[] {
  const events: UiEvent[] = [];
  for (const route of after.routes) {
    const earlier = before?.routes.find(({ name }) => name === route.name);
    if (earlier === undefined) continue;
    if (earlier.up !== route.up) {
      const text = `route ${route.name} ${route.up ? 'came up' : 'went down'}`;
      events.push({ time: after.t, level: route.up ? 'info' : 'warning', text });
    }
    const move = (route.flowletRatio ?? 0) - (earlier.flowletRatio ?? 0);
    if (Math.abs(move) < RATIO_STEP) continue;
    const [from, to] = [earlier.flowletRatio ?? 0, route.flowletRatio ?? 0].map((ratio) =>
      (ratio * 100).toFixed(0),
    );
    events.push({
      time: after.t,
      level: 'info',
      text: `flowlet ratio of ${route.name}: ${from} % to ${to} %`,
    });
  }
  return events;
}

/**
 * Reads a result.json into a feed.
 *
 * @param path - the file, or the folder that it is in
 * @throws PreflexError naming the file, and what is wrong with it
 */
export function readRunFeed(path: string): RunFeed {
  const file = isFolder(path) ? join(path, 'result.json') : path;
  let data: unknown;
  try {
    data = JSON.parse(readFileSync(file, 'utf8'));
  } catch (cause) {
    throw new PreflexError('ERR_SYSTEM', `${file}: cannot be read: ${(cause as Error).message}`, { cause });
  }
  const { intervals, meta } = asRecord(data);
  if (!Array.isArray(intervals) || intervals.length === 0 || typeof meta !== 'object') {
    throw new PreflexError('ERR_INVALID_OPTION', `${file}: is not a result with intervals`);
  }
  const rows = intervals.map((interval, i) => rowOf(interval, `${file}: intervals[${i}]`));
  const { command, startedAt, scenario, topology } = asRecord(meta);
  const run = new RunFeed(
    { title: wordOr(scenario, wordOr(topology, 'result')), subtitle: wordOr(command, file) },
    'ended',
    rows.length,
  );
  for (const row of rows) run.addInterval(row);
  run.setSummary([
    ['started', wordOr(startedAt, 'unknown').replace(/T(.*)\.\d+Z$/, ' $1 UTC')],
    ['intervals', String(rows.length)],
    ['verdict', verdictOf(asRecord(asRecord(data)['validity']))],
  ]);
  return run;
}

function verdictOf({ valid }: Readonly<Record<string, unknown>>): string {
  return valid === undefined ? 'none' : valid === true ? 'valid' : 'invalid';
}

function rowOf(interval: unknown, where: string): RunIntervalRow {
  const { t, routes } = asRecord(interval);
  if (typeof t !== 'number' || !Array.isArray(routes))
    throw new PreflexError('ERR_INVALID_OPTION', `${where}: takes a time t and routes`);
  return {
    t,
    routes: routes.map((route: unknown): RunRouteRow => {
      const { name, up, bytes, ...rest } = asRecord(route);
      if (typeof name !== 'string')
        throw new PreflexError('ERR_INVALID_OPTION', `${where}: a route takes a name`);
      return {
        name,
        up: up !== false,
        bytes: numberOr(bytes) ?? 0,
        lossRatio: numberOr(rest['lossRatio']),
        trueDropRatio: numberOr(rest['trueDropRatio']),
        flowletRatio: numberOr(rest['flowletRatio']),
        flowlets: numberOr(rest['flowlets']),
        utilisation: numberOr(rest['utilisation']),
      };
    }),
  };
}

function asRecord(value: unknown): Readonly<Record<string, unknown>> {
  return typeof value === 'object' && value !== null ? (value as Readonly<Record<string, unknown>>) : {};
}

function numberOr(value: unknown): number | null {
  return typeof value === 'number' && Number.isFinite(value) ? value : null;
}

function wordOr(value: unknown, otherwise: string): string {
  return typeof value === 'string' && value !== '' ? value : otherwise;
}

function isFolder(path: string): boolean {
  return statSync(path, { throwIfNoEntry: false })?.isDirectory() ?? false;
}
