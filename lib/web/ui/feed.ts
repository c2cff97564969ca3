/**
 * What a page shows of one daemon, run or result, and who listens. A source puts rows and events in; the state of the
 * moment is only asked for while somebody looks.
 */
import { UiRing, roundedValue } from './history.ts';
import type { UiEvent, UiLayout, UiMessages, UiNow, UiRow, UiSnapshot } from './model.ts';

/** Events kept. */
export const EVENTS_KEPT = 200;

/** Hears what is new. */
export type UiListener = <Name extends keyof UiMessages>(name: Name, message: UiMessages[Name]) => void;

/** The state of a page. */
export class UiFeed {
  readonly #ring: UiRing;
  readonly #events: UiEvent[] = [];
  readonly #listeners = new Set<UiListener>();
  readonly #now: () => UiNow;
  #layout: UiLayout;

  /**
   * @param now - the state of the moment
   * @param points - points in time kept
   */
  constructor(layout: UiLayout, now: () => UiNow, points?: number) {
    this.#ring = new UiRing(points);
    this.#layout = layout;
    this.#now = now;
  }

  /** Whether somebody looks. */
  get isWatched(): boolean {
    return this.#listeners.size > 0;
  }

  /** What the page looks like. */
  get layout(): UiLayout {
    return this.#layout;
  }

  /** Another layout; who looks gets everything anew. */
  setLayout(layout: UiLayout): void {
    this.#layout = layout;
    this.#ring.keepOnly(new Set(layout.charts.flatMap(({ series }) => series.map(({ key }) => key))));
    if (this.isWatched) this.#tell('snapshot', this.snapshot());
  }

  /** Adds a point in time. */
  addRow({ t, values }: UiRow): void {
    const row = {
      t,
      values: Object.fromEntries(Object.entries(values).map(([key, value]) => [key, roundedValue(value)])),
    };
    this.#ring.add(row);
    this.#tell('row', row);
  }

  /** Adds events, oldest first. */
  addEvents(events: readonly UiEvent[]): void {
    if (events.length === 0) return;
    this.#events.push(...events);
    this.#events.splice(0, this.#events.length - EVENTS_KEPT);
    this.#tell('events', events);
  }

  /** Tells who looks what there is at the moment. */
  tellNow(): void {
    if (this.isWatched) this.#tell('now', this.#now());
  }

  /** Everything. */
  snapshot(): UiSnapshot {
    return {
      layout: this.#layout,
      history: this.#ring.report(),
      now: this.#now(),
      events: [...this.#events],
    };
  }

  /** Calls back with what is new; the returned function ends that. */
  subscribe(listener: UiListener): () => void {
    this.#listeners.add(listener);
    return () => {
      this.#listeners.delete(listener);
    };
  }

  #tell<Name extends keyof UiMessages>(name: Name, message: UiMessages[Name]): void {
    for (const listener of this.#listeners) listener(name, message);
  }
}
