/** The run two-path of the laboratory, short: what its result says, against the links' and devices' own counters. */
import { readFileSync } from 'node:fs';
import { expect, it } from 'vitest';
import type { Interval, LabResult } from '../../namespaces-lab/result.ts';
import { writeResult } from '../../namespaces-lab/result.ts';
import { reportTwoPath } from '../../namespaces-lab/reports/two-path.ts';
import { runTwoPath } from '../../namespaces-lab/runs/two-path.ts';
import type { Iperf3Result } from '../../namespaces-lab/traffic/iperf3.ts';
import { describeNetns, useLab } from '../support/netns.ts';

interface LinkReport {
  readonly packets: number;
  readonly bytes: number;
  readonly droppedPackets: number;
  readonly droppedBytes: number;
  readonly dropRatio: number;
}

const FLOWS = 8;
const LOSS_B = 0.02;
/** Control connections of iperf3 beside the flows, one each way. */
const CONTROL = 2;

describeNetns('lab two-path', () => {
  const lab = useLab();

  it('marks, pins and balances real traffic, and its figures agree with the devices and the links', async () => {
    const result = await runTwoPath(lab.scope, { seconds: 3, flows: FLOWS, lossB: LOSS_B });
    checkShape(result);
    checkPinning(result);
    checkLoss(result);
    checkRatios(result.intervals);
    checkBytes(result);
    const path = writeResult(lab.folder, result);
    expect(JSON.parse(readFileSync(path, 'utf8'))).toEqual(JSON.parse(JSON.stringify(result)));
    expect(reportTwoPath(result)).toMatch(/^b \(path 2\) .* \d\.\d\d % +\d\.\d\d % +0\.\d{3} /m);
  });
});

function checkShape({ meta, intervals, flows }: LabResult): void {
  expect(meta).toMatchObject({ topology: 'two-path', seed: 1, clock: 'seconds since the gateway was ready' });
  expect(flows).toMatchObject({ started: FLOWS * 2, completed: FLOWS * 2, failed: 0 });
  for (const way of ['upload', 'download']) {
    expect((flows[way] as Iperf3Result).receivedBytes, way).toBeGreaterThan(1e6);
  }
  expect(intervals.length).toBeGreaterThanOrEqual(5);
  for (const { routes } of intervals) {
    expect(routes.map((route) => route.name)).toEqual(['a', 'b']);
    for (const route of routes) {
      expect(route).toMatchObject({ up: true, bytes: expect.any(Number), flowlets: expect.any(Number) });
      expect(route.lossRatio).toBeGreaterThanOrEqual(0);
      expect(route.lossRatio).toBeLessThanOrEqual(1);
    }
  }
}

/** Every flow is told a path, by the gateway's count as by the host's, and every packet that names one gets it. */
function checkPinning({ host, gateway }: LabResult): void {
  const { reasons } = gateway;
  expect(host.out['fneSyn']).toBeGreaterThanOrEqual(2 * FLOWS + CONTROL);
  const sum = (counts: Record<string, number>) => Object.values(counts).reduce((total, n) => total + n, 0);
  const assigned = sum(host.assignments);
  expect(assigned).toBeGreaterThanOrEqual(2 * FLOWS + CONTROL);
  expect(assigned).toBe(
    reasons['inAssignedFne'] +
      reasons['inAssignedSyn'] +
      reasons['inAssignedAnswer'] +
      reasons['inAssignedAgain'],
  );
  expect([host.assignments['1'] > 0, host.assignments['2'] > 0]).toEqual([true, true]);
  expect(reasons['outPathId']).toBe(host.pathPackets['1'] + host.pathPackets['2']);
  expect([reasons['outUnknownPathId'], reasons['outDownPathId'], reasons['outUnassigned']]).toEqual([
    0, 0, 0,
  ]);
}

/** What the hosts expose is near what the link dropped: a loss is one LEx, later. */
function checkLoss(result: LabResult): void {
  const links = result['links'] as Record<'a' | 'b', LinkReport>;
  const [a, b] = result.gateway.routes;
  expect(links.a.droppedPackets).toBe(0);
  expect(links.b.droppedPackets).toBeGreaterThan(20);
  expect(links.b.dropRatio).toBeGreaterThan(LOSS_B / 2);
  expect(links.b.dropRatio).toBeLessThan(LOSS_B * 2);
  expect(b.total.lossRatio).toBeGreaterThan(links.b.dropRatio * 0.7);
  expect(b.total.lossRatio).toBeLessThan(links.b.dropRatio * 1.4);
  expect(a.total.lossRatio).toBeLessThan(b.total.lossRatio / 10);
  expect(result.host.lexPayloadBytes).toBeGreaterThan(0);
}

/** Ratios sum to 1 at any time, and have left the lossy route while data went out. */
function checkRatios(intervals: readonly Interval[]): void {
  for (const { routes } of intervals) {
    expect(routes.reduce((sum, route) => sum + route.flowletRatio, 0)).toBeCloseTo(1, 9);
  }
  const ratiosOfB = intervals.slice(0, 3).map(({ routes }) => routes[1].flowletRatio);
  expect(Math.min(...ratiosOfB)).toBeLessThan(0.25);
}

/**
 * The devices of the routes carried what the gateway counted: T_i and Not-LECT. Link B carries single packets. Link A
 * carries super-packets, whose headers its device counts once, the gateway for each segment: 3.4 % of 1,500 bytes.
 */
function checkBytes(result: LabResult): void {
  const device = result['deviceBytes'] as Record<'a' | 'b', number>;
  const links = result['links'] as Record<'a' | 'b', LinkReport>;
  for (const route of result.gateway.routes) {
    const name = route.name as 'a' | 'b';
    const counted = route.total.bytes + route.notLectBytes;
    expect(device[name] / counted, name).toBeGreaterThan(name === 'a' ? 0.95 : 0.999);
    expect(device[name] / counted, name).toBeLessThan(1.001);
    expect((links[name].bytes + links[name].droppedBytes) / device[name], name).toBeCloseTo(1, 3);
  }
  const { total } = result.gateway.routes[1];
  expect(total.bytes).toBeGreaterThan(100_000);
}
