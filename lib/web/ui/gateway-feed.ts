/**
 * The page of a gateway: the paper's Figures 3 and 4 of one's own network for each of a few destinations, the rate of each
 * route, and the FNE packets.
 */
import type { PrefGateway } from '../../pref/gateway.ts';
import {
  IN_DESTINATION_LIMIT,
  IN_TOTAL_LIMIT,
  OUT_FNE_ASSIGNED,
  OUT_FNE_DRAWN,
  OUT_FNE_NO_PORTS,
  OUT_FNE_REPEATED,
  OUT_FNE_REPEATED_DATAGRAM,
} from '../../pref/reasons.ts';
import type { EventLog } from '../../runtime/events.ts';
import { describeEvent, eventLevel } from '../../runtime/events.ts';
import type { GatewayDaemon } from '../../runtime/gateway-daemon.ts';
import type { ConfiguredBalancing } from '../metrics/gateway-metrics.ts';
import { UiFeed } from './feed.ts';
import type { UiChart, UiEvent, UiLayout, UiNow, UiRoute, UiRow } from './model.ts';

/** Destinations that have a view. */
export const SHOWN_DESTINATIONS = 8;
/** Rows are at least so far apart, s: an interval may be a millisecond. */
const LEAST_ROW_SECONDS = 0.2;

/** What of the daemon is needed here. */
export interface ShownGateway extends Pick<GatewayDaemon, 'drainedRoutes'> {
  readonly gateway: Pick<PrefGateway, 'counters' | 'destinationRoutes' | 'status'>;
  readonly destinations: Pick<GatewayDaemon['destinations'], 'entries'>;
  readonly events: Pick<EventLog, 'since'>;
}

/** Counters at a moment. */
interface Counted {
  readonly atSeconds: number;
  /** Sent through each route, by name. */
  readonly bytes: ReadonlyMap<string, number>;
  readonly fne: Readonly<Record<'received' | 'inferred' | 'sent' | 'limited', number>>;
}

/** Feeds the page of a gateway. */
export class GatewayFeed {
  readonly feed: UiFeed;
  readonly #daemon: ShownGateway;
  readonly #name: string;
  readonly #balancing: () => ConfiguredBalancing;
  #counted: Counted;
  #rates: ReadonlyMap<string, number> = new Map();
  #nextEvent = 0;
  #shape = '';

  /**
   * @param name - of the daemon
   * @param nowSeconds - since 1970
   */
  constructor(daemon: ShownGateway, name: string, balancing: () => ConfiguredBalancing, nowSeconds: number) {
    this.#daemon = daemon;
    this.#name = name;
    this.#balancing = balancing;
    this.#counted = this.#count(nowSeconds);
    this.#shape = this.#shapeNow();
    this.feed = new UiFeed(this.#layout(), () => this.#now());
  }

  /** Adds a row; call it at the end of an update interval. @param nowSeconds - since 1970 */
  addInterval(nowSeconds: number): void {
    const before = this.#counted;
    const seconds = nowSeconds - before.atSeconds;
    // The wall clock may have been set back.
    if (seconds >= 0 && seconds < LEAST_ROW_SECONDS) return;
    this.#counted = this.#count(nowSeconds);
    this.tick();
    if (seconds > 0) this.feed.addRow(this.#row(before, seconds));
    this.feed.tellNow();
  }

  /** Follows the event log and the configuration; call it every second or so. */
  tick(): void {
    const shape = this.#shapeNow();
    if (shape !== this.#shape) {
      this.#shape = shape;
      this.feed.setLayout(this.#layout());
    }
    const events = this.#daemon.events.since(this.#nextEvent);
    this.#nextEvent = (events.at(-1)?.sequence ?? this.#nextEvent - 1) + 1;
    this.feed.addEvents(
      events.map((event): UiEvent => ({
        time: event.time,
        level: eventLevel(event),
        text: describeEvent(event),
      })),
    );
    this.feed.tellNow();
  }

  #shown(): { readonly name: string; readonly index: number }[] {
    return this.#daemon.destinations.entries
      .slice(0, SHOWN_DESTINATIONS)
      .map(({ index, prefixes }) => ({ index, name: prefixes[0] ?? `destination ${index}` }));
  }

  /** What the layout depends on. */
  #shapeNow(): string {
    const { strategy, betas } = this.#balancing();
    return JSON.stringify([this.#shown(), this.#daemon.destinations.entries.length, strategy, betas]);
  }

  #count(atSeconds: number): Counted {
    const { counters } = this.#daemon.gateway;
    const { packets } = counters;
    const { marked, syn, answer } = counters.fneReceived;
    const sent = [
      OUT_FNE_DRAWN,
      OUT_FNE_ASSIGNED,
      OUT_FNE_REPEATED,
      OUT_FNE_REPEATED_DATAGRAM,
      OUT_FNE_NO_PORTS,
    ];
    return {
      atSeconds,
      bytes: new Map(
        this.#daemon.gateway
          .status(0)
          .routes.map((route) => [route.name, route.total.bytes + route.notLectBytes]),
      ),
      fne: {
        received: marked,
        inferred: syn + answer,
        sent: sent.reduce((sum, reason) => sum + packets[reason], 0),
        limited: packets[IN_DESTINATION_LIMIT] + packets[IN_TOTAL_LIMIT],
      },
    };
  }

  #row(before: Counted, seconds: number): UiRow {
    const { atSeconds, bytes, fne } = this.#counted;
    const values: Record<string, number> = {};
    const rates = new Map<string, number>();
    for (const [name, count] of bytes) {
      const bitsPerSec = ((count - (before.bytes.get(name) ?? 0)) * 8) / seconds;
      rates.set(name, bitsPerSec);
      values[`rate ${name}`] = bitsPerSec;
    }
    this.#rates = rates;
    for (const kind of ['received', 'inferred', 'sent', 'limited'] as const) {
      values[`fne ${kind}`] = (fne[kind] - before.fne[kind]) / seconds;
    }
    for (const { index, name } of this.#shown()) {
      for (const route of this.#daemon.gateway.destinationRoutes(index)) {
        values[`loss ${name} ${route.name}`] = route.lossRatio;
        values[`ratio ${name} ${route.name}`] = route.flowletRatio;
      }
    }
    return { t: atSeconds, values };
  }

  #layout(): UiLayout {
    const { betas } = this.#balancing();
    const views = this.#shown();
    const hidden = this.#daemon.destinations.entries.length - views.length;
    const routes = this.#daemon.gateway.status(0).routes.map(({ name }) => name);
    return {
      title: this.#name,
      subtitle: 'gateway (PREF)',
      state: 'live',
      clock: 'wall',
      views: views.map(({ name }) => name),
      viewsNote: hidden > 0 ? `and ${hidden} more` : '',
      charts: [
        ...views.flatMap(({ index, name }): UiChart[] => {
          const leading = this.#daemon.gateway.destinationRoutes(index);
          const series = (kind: string) =>
            leading.map((route) => ({ key: `${kind} ${name} ${route.name}`, label: route.name }));
          const floor = leading.length === 0 ? 0 : betas.equal / leading.length;
          return [
            {
              id: `loss ${name}`,
              title: 'Loss ratio',
              about: `Lost bytes of those sent to ${name} in each update interval, by route (the paper’s Figure 3).`,
              unit: 'percent',
              isStep: false,
              view: name,
              series: series('loss'),
            },
            {
              id: `ratio ${name}`,
              title: 'Flowlet ratio',
              about: `Share of new flowlets to ${name} that each route gets (the paper’s Figure 4).`,
              unit: 'ratio',
              isStep: true,
              view: name,
              ...(floor > 0 ? { guide: { value: floor, label: 'beta_E / N' } } : {}),
              series: series('ratio'),
            },
          ];
        }),
        {
          id: 'rate',
          title: 'Rate',
          about: 'Sent through each route to all destinations, IP headers included.',
          unit: 'bitsPerSec',
          isStep: false,
          series: routes.map((name) => ({ key: `rate ${name}`, label: name })),
        },
        {
          id: 'fne',
          title: 'FNE packets',
          about:
            'Packets a second that ask for a route: received marked, inferred from unmarked ones, sent by hosts inside, and over the limit.',
          unit: 'perSec',
          isStep: false,
          series: ['received', 'inferred', 'sent', 'limited'].map((kind) => ({
            key: `fne ${kind}`,
            label: kind,
          })),
        },
      ],
    };
  }

  #now(): UiNow {
    const { gateway, drainedRoutes } = this.#daemon;
    const status = gateway.status(0);
    const { strategy, betas } = this.#balancing();
    const routes: Record<string, UiRoute[]> = {};
    for (const { index, name } of this.#shown()) {
      routes[name] = gateway.destinationRoutes(index).map((route): UiRoute => {
        const isDrained = drainedRoutes.includes(route.name);
        return {
          name: route.name,
          pathId: route.pathId,
          state: isDrained ? 'drained' : !route.up ? 'down' : route.suspended ? 'suspended' : 'up',
          bitsPerSec: this.#rates.get(route.name) ?? null,
          lossRatio: route.lossRatio,
          flowletRatio: route.flowletRatio,
          flowlets: route.flowlets,
          totalBytes: route.total.bytes,
        };
      });
    }
    return {
      summary: [
        ['strategy', strategy],
        ['betas', `${betas.equal}, ${betas.conservative}, ${betas.loss}`],
        ['interval', `${Number((status.updateIntervalNs / 1e9).toPrecision(4))} s`],
        ['intervals', String(status.intervals)],
        ['destinations', String(status.destinationCount)],
        ['prefixes', String(status.prefixCount)],
      ],
      routes,
      flows: null,
    };
  }
}
