/** The screens of `preflex top`, line by line. */
import { describe, expect, it } from 'vitest';
import type { TopSample, TopState } from '../../lib/cli/top-view.ts';
import { renderTop } from '../../lib/cli/top-view.ts';
import type { EventBody } from '../../lib/runtime/events.ts';
import { LexHost } from '../../lib/lex/lex-host.ts';
import { reportLexCounters } from '../../lib/lex/counters.ts';
import { equal } from '../../lib/pref/balancers/equal.ts';
import { buildTcp, buildUdp, viewOf } from '../support/packets.ts';
import {
  FNE,
  gatewayWithRoutes,
  lectOn,
  lexOn,
  runTimeouts,
  S,
  sendOut,
  tcpOut,
} from '../pref/gateway-fixture.ts';

const LOOP = { batches: 0, packets: 0, largestBatch: 0 };
const gatewayDaemon = {
  name: 'gateway-p0',
  role: 'gateway' as const,
  pid: 12,
  startedAt: '2026-03-01T12:00:00.000Z',
  path: '/run/preflex/gateway-p0.sock',
};
const hostDaemon = { ...gatewayDaemon, name: 'host-10.0.0.1', role: 'host' as const };

function eventsOf(bodies: readonly EventBody[]): TopSample['events'] {
  return bodies.map((body, sequence) => ({
    sequence,
    time: `2026-03-01T12:00:0${sequence}.000Z`,
    timeNs: sequence * S,
    ...body,
  }));
}

/** Two samples of a gateway, two seconds apart, with traffic on routes 1 and 2; route 3 is down. */
function gatewaySamples(): { before: TopSample; sample: TopSample } {
  const gateway = gatewayWithRoutes({ balancer: equal() });
  gateway.addDestination(['203.0.113.0/24'], [1, 2]);
  gateway.setRouteUp(3, false);
  const events = eventsOf([
    { kind: 'routeDown', route: 'east' },
    { kind: 'set', changed: ['strategy'] },
  ]);
  const sampleAt = (atSeconds: number): TopSample => ({
    daemon: gatewayDaemon,
    atSeconds,
    gateway: {
      file: 'gateway.yaml',
      strategy: 'equal',
      betas: { equal: 1, conservative: 0, loss: 0 },
      intervalSeconds: 10,
      isIntervalPending: false,
      drained: [],
      status: {
        ...gateway.status(),
        datapath: 'tun',
        kernel: null,
        loop: LOOP,
        devices: {},
        tables: null,
        share: null,
      },
    },
    events,
  });
  const before = sampleAt(100);
  for (let i = 0; i < 100; i++) {
    sendOut(gateway, tcpOut({ dscp: FNE, srcPort: 1000 + i }), S);
    sendOut(gateway, tcpOut({ dscp: lectOn(1), payloadLength: 1460 }), S);
    sendOut(gateway, tcpOut({ dscp: i % 10 === 0 ? lexOn(2) : lectOn(2), payloadLength: 960 }), S);
  }
  runTimeouts(gateway, 20 * S);
  return { before, sample: sampleAt(102) };
}

function hostSamples(): { before: TopSample; sample: TopSample } {
  const lex = new LexHost({ flowHistory: true });
  const sampleAt = (atSeconds: number): TopSample => {
    const listing = lex.listFlows({ sort: 'bytes', limit: 10 });
    while (!listing.step(1000));
    const flows = listing.reports(atSeconds * S);
    return {
      daemon: hostDaemon,
      atSeconds,
      host: {
        status: {
          file: undefined,
          flowletGapSeconds: 1,
          fneAfterTimeouts: 2,
          keepPath: true,
          hostDriven: false,
          status: { ...reportLexCounters(lex.counters), flows: lex.flows, loop: LOOP, devices: {} },
        },
        flows: {
          sort: 'bytes',
          size: flows.length,
          matched: flows.length,
          flows,
          steps: 1,
          longestStepNs: 1,
        },
      },
      events: eventsOf([{ kind: 'pathsGivenUp', flows: 2 }]),
    };
  };
  const before = sampleAt(100);
  const send = (bytes: Uint8Array): void => void lex.handleOutbound(viewOf(bytes), 0, bytes.length, 101 * S);
  send(buildTcp({ tcpFlags: 2, srcPort: 40_000, dstPort: 80, seqNumber: 0 }));
  for (let i = 0; i < 10; i++) {
    send(buildTcp({ srcPort: 40_000, dstPort: 80, seqNumber: 1 + 1000 * i, payloadLength: 1000 }));
  }
  send(buildUdp({ src: 'fd00::1', dst: '2001:db8::1', srcPort: 5000, dstPort: 53, payloadLength: 20 }));
  return { before, sample: sampleAt(102) };
}

const stateOf = (
  samples: { before?: TopSample; sample: TopSample },
  more: Partial<TopState> = {},
): TopState => ({
  columns: 80,
  rows: 24,
  position: 1,
  count: 2,
  destination: 0,
  sort: 'bytes',
  isBusiestFirst: false,
  ...samples,
  ...more,
});
const textOf = (state: TopState): string =>
  renderTop(state)
    .map((line) => line.text)
    .join('\n');

describe('the screen of a gateway', () => {
  it('has routes with rates, loss and bars, events, and the keys at the bottom', () => {
    expect(textOf(stateOf(gatewaySamples(), { rows: 14 }))).toMatchInlineSnapshot(`
      "preflex top: gateway-p0 (gateway, pid 12, 1 of 2)
      strategy equal 1/0/0, interval 10 s, 1 complete, 2 destinations
      FNE 50/s, over the limit 0.0/s, suspended 0, path IDs cleared 0
      ROUTE  STATE        RATE    LOSS  RATIO
      west   up     608 kbit/s  0.00 %  0.500  ##########..........
      north  up     408 kbit/s  9.80 %  0.500  ##########..........
      east   down      0 bit/s       –  0.000  ....................
      ratios of 198.51.100.0/24 (1 of 2)
      EVENTS
      12:00:01 set: strategy
      12:00:00 route east went down


      q: quit  tab or left/right: daemon  up/down: destination  s: sort"
    `);
  });

  it('shows another destination, and the busiest route first, when asked', () => {
    const { before, sample } = gatewaySamples();
    const other = renderTop(stateOf({ before, sample: sample }, { destination: 3, isBusiestFirst: true }));
    expect(other.map((line) => line.text)).toContain('ratios of 203.0.113.0/24 (2 of 2)');
    const rows = other
      .filter(({ text }) => /^(west|north|east) /.test(text))
      .map(({ text }) => text.slice(0, 4));
    expect(rows).toEqual(['west', 'nort', 'east']);
  });

  it('has dashes for rates until there are two samples', () => {
    const { sample } = gatewaySamples();
    expect(textOf(stateOf({ sample }))).toMatch(/^FNE –\/s, over the limit –\/s/m);
    expect(textOf(stateOf({ sample }))).toMatch(/^west +up +– /m);
  });

  it('marks what needs looking at', () => {
    const lines = renderTop(stateOf(gatewaySamples()));
    const warnings = lines.filter(({ style }) => style === 'warning').map(({ text }) => text);
    expect(warnings).toEqual([expect.stringMatching(/^east +down/), '12:00:00 route east went down']);
  });

  it('says for how long a daemon has been gone', () => {
    const text = textOf(stateOf(gatewaySamples(), { goneSeconds: 65, position: 0 }));
    expect(text).toMatch(
      /^preflex top: gateway-p0 \(gateway, pid 12\)\ngone for 65 s; waiting for it to come back$/m,
    );
  });
});

describe('the screen of a host', () => {
  it('has packets by codepoint, flows and events', () => {
    expect(textOf(stateOf(hostSamples(), { rows: 10, count: 1 }))).toMatchInlineSnapshot(`
      "preflex top: host-10.0.0.1 (host, pid 12)
      flows 2; packets/s: LECT 5.0, LEx 0.0, FNE 1.0, Not-LECT 0.0; unpinned 0
      PATH     SENT  LEx  SILENT  STATE      FLOW (by bytes)
      -     10.4 kB  0 B   1.0 s  opening    tcp 10.0.0.1:40000 10.0.1.1:80
      -        68 B  0 B   1.0 s  datagrams  udp [fd00::1]:5000 [2001:db8::1]:53
      EVENTS
      12:00:00 2 flows gave up the path after timeouts


      q: quit  s: sort"
    `);
  });
});

describe('every screen', () => {
  it.each([
    [80, 24],
    [200, 60],
    [40, 10],
    [20, 3],
    [1, 1],
  ])('of %i columns and %i rows is filled exactly, and no line is longer', (columns, rows) => {
    for (const samples of [gatewaySamples(), hostSamples()]) {
      const lines = renderTop(stateOf(samples, { columns, rows, goneSeconds: 3 }));
      expect(lines).toHaveLength(rows);
      for (const { text } of lines) expect(text.length).toBeLessThanOrEqual(columns);
    }
  });

  it('has no control characters, whatever a message holds', () => {
    const { sample } = hostSamples();
    const events = eventsOf([{ kind: 'reload', ok: false, message: 'a\u001b[2J\nb' }]);
    const lines = renderTop(stateOf({ sample: { ...sample, events } }));
    expect(lines.map(({ text }) => text).join('')).toMatch(/^\P{Cc}*$/u);
  });

  it('keeps room for events when there are many flows', () => {
    const { sample } = hostSamples();
    const { host } = sample;
    const many = Array.from({ length: 100 }, () => host!.flows.flows[0]);
    const lines = renderTop(
      stateOf({ sample: { ...sample, host: { ...host!, flows: { ...host!.flows, flows: many } } } }),
    );
    expect(lines.map(({ text }) => text)).toContain('EVENTS');
  });
});
