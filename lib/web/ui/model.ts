/**
 * What the web page is told, as JSON. The page knows nothing of gateways or hosts: it draws the charts and fills the
 * tables that it is given. Types only; the page's own code refers to them.
 */

/** How a value is written. */
export type UiUnit = 'ratio' | 'percent' | 'bitsPerSec' | 'perSec';

/** A line of a chart. */
export interface UiSeries {
  /** Which column of the history it is. */
  readonly key: string;
  readonly label: string;
}

/** A chart over time. */
export interface UiChart {
  readonly id: string;
  readonly title: string;
  /** What is to be seen, in a sentence. */
  readonly about: string;
  readonly unit: UiUnit;
  /** Whether a value holds until the next one. */
  readonly isStep: boolean;
  /** The view that it belongs to; without one it is always shown. */
  readonly view?: string | undefined;
  /** A horizontal line. */
  readonly guide?: { readonly value: number; readonly label: string } | undefined;
  readonly series: readonly UiSeries[];
}

/** What is known once and for all, or until the next snapshot. */
export interface UiLayout {
  readonly title: string;
  readonly subtitle: string;
  /** `live`: more comes; `ended`: this is all. */
  readonly state: 'live' | 'ended';
  /** `wall`: seconds since 1970; `run`: seconds since the start. */
  readonly clock: 'wall' | 'run';
  /** Names of the views, of which one is shown at a time: the destinations of a gateway. */
  readonly views: readonly string[];
  /** What else there is that has no view. */
  readonly viewsNote: string;
  readonly charts: readonly UiChart[];
}

/** Points in time. */
export interface UiHistory {
  /** Seconds, ascending. */
  readonly t: readonly number[];
  /** A value for each time, null where there is none. */
  readonly columns: Readonly<Record<string, readonly (number | null)[]>>;
}

/** One more point in time. */
export interface UiRow {
  readonly t: number;
  readonly values: Readonly<Record<string, number | null>>;
}

/** A route as it is now. */
export interface UiRoute {
  readonly name: string;
  readonly pathId: number | null;
  readonly state: 'up' | 'down' | 'drained' | 'suspended';
  readonly bitsPerSec: number | null;
  readonly lossRatio: number | null;
  readonly flowletRatio: number | null;
  readonly flowlets: number | null;
  readonly totalBytes: number | null;
}

/** A flow of a host. */
export interface UiFlow {
  readonly name: string;
  readonly state: string;
  readonly pathId: number;
  readonly bytes: number;
  readonly lexBytes: number;
}

/** What there is at the moment. */
export interface UiNow {
  /** Names and values in words. */
  readonly summary: readonly (readonly [string, string])[];
  /** The routes of each view, by its name; empty where there are no routes. */
  readonly routes: Readonly<Record<string, readonly UiRoute[]>>;
  /** Flows with most bytes first; null where nobody knows them. */
  readonly flows: readonly UiFlow[] | null;
}

/** Something that happened. */
export interface UiEvent {
  /** When: ISO 8601, or seconds since the start of a run. */
  readonly time: string | number;
  readonly level: 'info' | 'warning';
  readonly text: string;
}

/** Everything. */
export interface UiSnapshot {
  readonly layout: UiLayout;
  readonly history: UiHistory;
  readonly now: UiNow;
  /** Oldest first. */
  readonly events: readonly UiEvent[];
}

/** What the server tells, by the name of the server-sent event. */
export interface UiMessages {
  readonly snapshot: UiSnapshot;
  readonly row: UiRow;
  readonly now: UiNow;
  readonly events: readonly UiEvent[];
}
