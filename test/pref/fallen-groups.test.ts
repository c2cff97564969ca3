/** Routes that carried next to nothing for an interval or more without being suspended, and what they get back. */
import { expect, test } from 'vitest';
import { mixed } from '../../lib/pref/balancers/mixed.ts';
import type { PrefGateway } from '../../lib/pref/gateway.ts';
import {
  ACK,
  FNE,
  MS,
  S,
  SYN,
  SYN_ACK,
  gatewayWithRoutes,
  lectOn,
  letIn,
  lexOn,
  runTimeouts,
  sendOut,
  tcpIn,
  tcpOut,
} from './gateway-fixture.ts';

const FLOWLETS_A_SECOND = 12;
const DATA_BYTES = 40_000;
const PACKETS = 5;
/** beta_E / N of the balancer here. */
const FLOOR = 0.4 / 3;

/** What a path does to the packets of a connection that begins on it. */
type Path = (port: number, nowNs: number) => 'answers' | 'swallows' | 'loses';

/** A second of connections, each with some data on the path that it was given. */
class Traffic {
  readonly gateway: PrefGateway;
  second = 0;
  private port = 20_000;

  constructor(inferFailures = true) {
    const balancer = mixed({ betaE: 0.4, betaC: 0.2, betaL: 0.4 });
    this.gateway = gatewayWithRoutes({ updateIntervalNs: S, balancer, inferFailures });
  }

  run(seconds: number, paths: Partial<Record<number, Path>> = {}): void {
    for (const end = this.second + seconds; this.second < end; this.second++) {
      for (let i = 0; i < FLOWLETS_A_SECOND; i++) {
        const nowNs = (this.second + (i + 1) / (FLOWLETS_A_SECOND + 2)) * S;
        runTimeouts(this.gateway, nowNs);
        this.connect(paths, nowNs);
      }
      runTimeouts(this.gateway, (this.second + 1) * S);
    }
  }

  get ratio(): number {
    return this.gateway.flowletRatio(0, 2);
  }

  get regained(): number {
    return this.gateway.failureEvents().filter(({ decision }) => decision === 'regained').length;
  }

  private connect(paths: Partial<Record<number, Path>>, nowNs: number): void {
    const { gateway } = this;
    const ends = { srcPort: this.port++ };
    const { pathId } = sendOut(gateway, tcpOut({ ...ends, tcpFlags: SYN, dscp: FNE }), nowNs);
    const fate = paths[pathId]?.(ends.srcPort, nowNs) ?? 'answers';
    if (fate === 'swallows') return;
    const back = { dstPort: ends.srcPort };
    letIn(gateway, tcpIn({ ...back, tcpFlags: SYN_ACK, seqNumber: 9, ackNumber: 1 }), nowNs + 20 * MS);
    const data = { ...ends, tcpFlags: ACK, seqNumber: 1, payload: new Uint8Array(DATA_BYTES) };
    const send = (dscp: number, afterMs: number): void => {
      for (let i = 0; i < PACKETS; i++) sendOut(gateway, tcpOut({ ...data, dscp }), nowNs + afterMs * MS);
    };
    send(lectOn(pathId), 21);
    if (fate === 'loses') send(lexOn(pathId), 400);
  }
}

const swallows: Path = () => 'swallows';

test('a route that was dead for some intervals has its usual ratio after three answers in a row', () => {
  const traffic = new Traffic();
  traffic.run(20);
  const usual = traffic.ratio;
  expect(usual).toBeGreaterThan(0.3);
  traffic.run(3, { 2: swallows });
  expect(traffic.ratio).toBeCloseTo(FLOOR, 2);
  expect(traffic.regained).toBe(0);
  traffic.run(2);
  expect(traffic.gateway.failureEvents().at(-1)).toMatchObject({
    decision: 'regained',
    pathId: 2,
    probeAnswers: 3,
  });
  expect(Math.abs(traffic.ratio - usual)).toBeLessThan(0.25 * usual);
  traffic.run(20);
  expect([traffic.regained, Math.abs(traffic.ratio - usual) < 0.25 * usual]).toEqual([1, true]);
});

test('it takes many intervals where nothing is to be inferred', () => {
  const traffic = new Traffic(false);
  traffic.run(20);
  const usual = traffic.ratio;
  traffic.run(3, { 2: swallows });
  traffic.run(2);
  expect([traffic.regained, traffic.ratio < 0.75 * usual]).toEqual([0, true]);
});

test('the ratios that follow from it stay over the end of the interval in which it happened', () => {
  const traffic = new Traffic();
  traffic.run(20);
  traffic.run(3, { 2: swallows });
  while (traffic.regained === 0) traffic.run(1);
  const given = traffic.ratio;
  expect(given).toBeGreaterThan(0.25);
  // By what was carried in that interval it would be near beta_E / N again.
  expect(given - FLOOR).toBeGreaterThan(0.1);
});

test('answers before and after a loss do not count together', () => {
  const traffic = new Traffic();
  traffic.run(20);
  traffic.run(3, { 2: swallows });
  let flows = 0;
  // Of two flows one loses what it sends: there are never three answers in a row.
  traffic.run(4, { 2: () => (flows++ % 2 === 0 ? 'answers' : 'loses') });
  expect(flows).toBeGreaterThan(4);
  expect(traffic.regained).toBe(0);
});

test('a route that loses much, and gets less and less for it, gets nothing back', () => {
  const traffic = new Traffic();
  traffic.run(20);
  const usual = traffic.ratio;
  traffic.run(30, { 2: () => 'loses' });
  expect(traffic.ratio).toBeLessThan(0.75 * usual);
  expect(traffic.regained).toBe(0);
});

test('a route that is taken down meanwhile regains nothing by answers that were on their way', () => {
  const traffic = new Traffic();
  traffic.run(20);
  traffic.run(3, { 2: swallows });
  const { gateway } = traffic;
  const nowNs = traffic.second * S;
  const ports: number[] = [];
  for (let srcPort = 50_000; ports.length < 3; srcPort++) {
    const { pathId } = sendOut(gateway, tcpOut({ srcPort, tcpFlags: SYN, dscp: FNE }), nowNs);
    if (pathId === 2) ports.push(srcPort);
  }
  gateway.setRouteUp(2, false);
  for (const dstPort of ports) {
    letIn(gateway, tcpIn({ dstPort, tcpFlags: SYN_ACK, seqNumber: 9, ackNumber: 1 }), nowNs + 20 * MS);
  }
  expect([traffic.regained, traffic.ratio]).toEqual([0, 0]);
});
