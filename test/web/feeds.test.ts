/** What the page is told of gateways, hosts and runs. */
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { EventLog } from '../../lib/runtime/events.ts';
import { EVENTS_KEPT, UiFeed } from '../../lib/web/ui/feed.ts';
import { GatewayFeed, SHOWN_DESTINATIONS } from '../../lib/web/ui/gateway-feed.ts';
import { UiRing } from '../../lib/web/ui/history.ts';
import { HostFeed } from '../../lib/web/ui/host-feed.ts';
import { eventsBetween, readRunFeed } from '../../lib/web/ui/run-feed.ts';
import {
  ACK,
  FNE,
  OUTSIDE_PREFIX,
  S,
  SYN,
  letIn,
  lexOn,
  lectOn,
  runTimeouts,
  sendOut,
  tcpIn,
  tcpOut,
} from '../pref/gateway-fixture.ts';
import { buildTcp, viewOf } from '../support/packets.ts';
import { measuredGateway, measuredHost } from './measured.ts';

const BALANCING = { strategy: 'loss', betas: { equal: 0.3, conservative: 0, loss: 0.7 } };
const EMPTY = {
  title: '',
  subtitle: '',
  state: 'live',
  clock: 'run',
  views: [],
  viewsNote: '',
  charts: [],
} as const;
const nothing = () => ({ summary: [], routes: {}, flows: null });

describe('the history', () => {
  it('keeps the last points, and null where a column had none', () => {
    const ring = new UiRing(3);
    ring.add({ t: 1, values: { a: 1 } });
    ring.add({ t: 2, values: { a: 2, b: 20 } });
    ring.add({ t: 3, values: { b: null } });
    expect(ring.report()).toEqual({ t: [1, 2, 3], columns: { a: [1, 2, null], b: [null, 20, null] } });
    ring.add({ t: 4, values: { a: 0.123456789 } });
    expect(ring.report()).toEqual({ t: [2, 3, 4], columns: { a: [2, null, 0.12346], b: [20, null, null] } });
    ring.keepOnly(new Set(['b']));
    expect(Object.keys(ring.report().columns)).toEqual(['b']);
  });
});

describe('a feed', () => {
  it('tells what is new to who listens, and nobody else asks for the state of the moment', () => {
    let asked = 0;
    const feed = new UiFeed(EMPTY, () => {
      asked++;
      return nothing();
    });
    feed.tellNow();
    expect(asked).toBe(0);
    const heard: string[] = [];
    const stop = feed.subscribe((name) => heard.push(name));
    feed.addRow({ t: 1, values: {} });
    feed.addEvents([]);
    feed.addEvents([{ time: 1, level: 'info', text: 'x' }]);
    feed.tellNow();
    feed.setLayout(EMPTY);
    stop();
    feed.addRow({ t: 2, values: {} });
    expect(heard).toEqual(['row', 'events', 'now', 'snapshot']);
    expect(feed.snapshot().history.t).toEqual([1, 2]);
  });

  it('keeps so many events', () => {
    const feed = new UiFeed(EMPTY, nothing);
    for (let i = 0; i < EVENTS_KEPT + 5; i++) feed.addEvents([{ time: i, level: 'info', text: String(i) }]);
    const { events } = feed.snapshot();
    expect([events.length, events[0].text]).toEqual([EVENTS_KEPT, '5']);
  });
});

describe('the feed of a gateway', () => {
  it('has for each interval what the routes carried and lost, and the FNE packets a second', () => {
    const daemon = { ...measuredGateway([[OUTSIDE_PREFIX]]), events: new EventLog() };
    const { gateway } = daemon;
    const { feed, ...page } = makeGatewayFeed(daemon);
    letIn(gateway, tcpIn({ dscp: FNE, tcpFlags: SYN }), 0);
    sendOut(gateway, tcpOut({ dscp: lectOn(1), tcpFlags: ACK, payload: new Uint8Array(60) }), 0);
    sendOut(gateway, tcpOut({ dscp: lexOn(1), tcpFlags: ACK, payload: new Uint8Array(60) }), 0);
    runTimeouts(gateway, 1.1 * S);
    daemon.events.add({ kind: 'routeDown', route: 'west' });
    page.addInterval(102);
    const { history, now, events, layout } = feed.snapshot();
    const last = (key: string) => history.columns[key].at(-1);
    expect(history.t).toEqual([102]);
    expect(last(`loss ${OUTSIDE_PREFIX} west`)).toBe(0.5);
    expect(last('rate west')).toBe(800); // 200 bytes in 2 s
    expect(last('fne received')).toBe(0.5);
    expect(now.routes[OUTSIDE_PREFIX].map(({ name, state }) => `${name} ${state}`)).toEqual([
      'west up',
      'north drained',
      'east up',
    ]);
    expect(events).toMatchObject([{ level: 'warning', text: 'route west went down' }]);
    const ratio = layout.charts.find(({ id }) => id === `ratio ${OUTSIDE_PREFIX}`);
    expect(ratio).toMatchObject({ isStep: true, guide: { value: 0.3 / 3 } });
    for (const { series } of layout.charts) {
      for (const { key } of series) expect(Object.keys(history.columns)).toContain(key);
    }
    // The same interval told twice at once, or too soon, is no second row.
    page.addInterval(102.1);
    expect(feed.snapshot().history.t).toEqual([102]);
  });

  it('has views of so many destinations, and begins anew when they change', () => {
    const prefixes = Array.from({ length: SHOWN_DESTINATIONS + 2 }, (_, i) => [`10.${i}.0.0/16`]);
    const live = measuredGateway(prefixes);
    let { entries } = live.destinations;
    const daemon = {
      ...live,
      events: new EventLog(),
      destinations: {
        get entries() {
          return entries;
        },
      },
    };
    const { feed, tick } = makeGatewayFeed(daemon);
    expect(feed.layout.views).toHaveLength(SHOWN_DESTINATIONS);
    expect(feed.layout.viewsNote).toBe('and 2 more');
    const heard: string[] = [];
    feed.subscribe((name) => heard.push(name));
    tick();
    entries = entries.slice(0, 1);
    tick();
    expect(heard).toEqual(['now', 'snapshot', 'now']);
    expect(feed.layout.views).toEqual(['10.0.0.0/16']);
  });
});

function makeGatewayFeed(daemon: ConstructorParameters<typeof GatewayFeed>[0]) {
  const page = new GatewayFeed(daemon, 'gateway-lan', () => BALANCING, 100);
  return {
    feed: page.feed,
    addInterval: (seconds: number) => {
      page.addInterval(seconds);
    },
    tick: () => {
      page.tick();
    },
  };
}

describe('the feed of a host', () => {
  it('has what was sent a second, and while somebody looks the flows', async () => {
    const host = { ...measuredHost(), events: new EventLog() };
    const flow = { name: 'tcp 10.0.0.1', state: 'open', pathId: 1, bytes: 10, lexBytes: 0 };
    const page = new HostFeed(host, 'host-10.0.0.1', 100, () => Promise.resolve([flow]));
    page.tick(102);
    const packet = buildTcp({ src: '10.0.0.1', dst: '198.51.100.7', tcpFlags: SYN });
    host.lex.handleOutbound(viewOf(packet), 0, packet.length, 0);
    page.tick(104);
    const { history, layout, now } = page.feed.snapshot();
    expect(history.columns['fne']).toEqual([0, 0.5]);
    expect(history.columns['loss']).toEqual([null, 0]);
    expect(history.columns['rate FNE']).toEqual([0, packet.length * 4]);
    expect(layout.charts.find(({ id }) => id === 'paths')?.series).toEqual([
      { key: 'path 0', label: 'no path' },
    ]);
    expect(now.flows).toEqual([]);
    const told = new Promise((resolve) =>
      page.feed.subscribe((name) => name === 'now' && resolve(undefined)),
    );
    page.tick(106);
    await told;
    expect(page.feed.snapshot().now.flows).toEqual([flow]);
  });

  it('begins no list of flows before the last one has come', () => {
    const host = { ...measuredHost(), events: new EventLog() };
    let lists = 0;
    const page = new HostFeed(host, 'host-10.0.0.1', 100, () => {
      lists++;
      return new Promise(() => {});
    });
    page.feed.subscribe(() => {});
    page.tick(102);
    page.tick(104);
    expect(lists).toBe(1);
  });
});

describe('the feed of a result', () => {
  let folder = '';
  beforeAll(() => {
    folder = mkdtempSync(join(tmpdir(), 'preflex-ui-'));
  });
  afterAll(() => {
    rmSync(folder, { recursive: true });
  });
  const write = (data: unknown): string => {
    const file = join(folder, 'result.json');
    writeFileSync(file, typeof data === 'string' ? data : JSON.stringify(data));
    return file;
  };
  const route = {
    name: 'l1',
    up: true,
    bytes: 1000,
    lossRatio: 0.01,
    flowletRatio: 0.5,
    flowlets: 4,
    utilisation: 0.9,
  };

  it('has every interval, from the file or its folder', () => {
    const intervals = Array.from({ length: 1000 }, (_, i) => ({ t: 2 * (i + 1), routes: [route] }));
    write({ meta: { scenario: 'fig4', command: 'preflex sim figure1' }, intervals });
    const { history, layout, now } = readRunFeed(folder).feed.snapshot();
    expect([layout.title, layout.subtitle, layout.state]).toEqual(['fig4', 'preflex sim figure1', 'ended']);
    expect(history.t).toHaveLength(1000);
    expect(history.columns['loss l1'].at(-1)).toBe(0.01);
    expect(history.columns['drop l1'].at(-1)).toBeNull();
    expect(history.columns['rate l1'].at(-1)).toBe(4000);
    expect(now.routes['routes']).toMatchObject([{ name: 'l1', state: 'up', totalBytes: 1_000_000 }]);
  });

  it.each([
    ['no JSON', '{', /result\.json: cannot be read: /],
    ['something else', {}, /is not a result with intervals/],
    ['no intervals', { meta: {}, intervals: [] }, /is not a result with intervals/],
    [
      'an interval without a time',
      { meta: {}, intervals: [{ routes: [] }] },
      /intervals\[0\]: takes a time t and routes/,
    ],
    [
      'a route without a name',
      { meta: {}, intervals: [{ t: 1, routes: [{}] }] },
      /intervals\[0\]: a route takes a name/,
    ],
  ])('refuses %s by name of the file', (_, data, message) => {
    expect(() => readRunFeed(write(data))).toThrow(message);
  });

  it('has as events routes that went and came, and ratios that moved far', () => {
    const row = (t: number, up: boolean, flowletRatio: number) => ({
      t,
      routes: [{ ...route, trueDropRatio: null, up, flowletRatio }],
    });
    expect(eventsBetween(undefined, row(1, true, 0.5))).toEqual([]);
    expect(eventsBetween(row(1, true, 0.5), row(2, false, 0.1))).toEqual([
      { time: 2, level: 'warning', text: 'route l1 went down' },
      { time: 2, level: 'info', text: 'flowlet ratio of l1: 50 % to 10 %' },
    ]);
  });
});
