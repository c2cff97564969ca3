/** The gateway's port for a datapath elsewhere. */
import { describe, expect, test } from 'vitest';
import { PrefGateway } from '../../lib/pref/gateway.ts';

const S = 1e9;

function gatewayWith(destinations: number) {
  const gateway = new PrefGateway({
    routes: [
      { pathId: 1, name: 'a' },
      { pathId: 4, name: 'b' },
    ],
    updateIntervalNs: 10 * S,
  });
  const port = gateway.openPort();
  for (let i = 0; i < destinations; i++) gateway.addDestination([`198.51.${i}.0/24`], [1, 4]);
  const changedNow = (): number[] => {
    for (let i = 0; i < destinations; i++) port.forwarding(i);
    return [...port.takeChanged()].sort();
  };
  changedNow();
  return { gateway, port, changedNow };
}

describe('DatapathPort', () => {
  test('balances by what is counted elsewhere, and names the destinations whose ratios changed', () => {
    const { gateway, port, changedNow } = gatewayWith(3);
    gateway.handleTimeout(0);
    port.meter.count(1, 0, 1e6, 50_000, 0, 10);
    port.meter.count(1, 1, 1e6, 1000, 0, 10);
    gateway.handleTimeout(10 * S);
    expect(changedNow()).toEqual([1]);
    expect(gateway.flowletRatio(1, 4)).toBeGreaterThan(0.8);
    const { weights } = port.forwarding(1);
    expect(weights[0] + weights[1]).toBeCloseTo(2 ** 24, -1);
    expect(weights[1] / 2 ** 24).toBeCloseTo(gateway.flowletRatio(1, 4), 6);
    expect(changedNow()).toEqual([]);
  });

  test('shows a route that goes down for all at once, and the destinations as they are asked for', () => {
    const { gateway, port, changedNow } = gatewayWith(2);
    gateway.setRouteUp(4, false);
    expect(port.upMask).toBe(0b01);
    expect(port.forwarding(0)).toMatchObject({ allowedMask: 0b11, upMask: 0b01, weights: [2 ** 24, 0] });
    expect(changedNow()).toEqual([0, 1]);
  });

  test('goes on with a suspension from before, whose probes bring the route back', () => {
    const { gateway, port, changedNow } = gatewayWith(1);
    port.resumeSuspension(0, 1);
    expect(changedNow()).toEqual([0]);
    expect([gateway.isSuspended(0, 4), port.forwarding(0).suspendedMask]).toEqual([true, 0b10]);
    expect(gateway.flowletRatio(0, 4)).toBeCloseTo(0.05);
    const answer = { tcpFlags: 0x12, payloadLength: 0, seqNumber: 5, ackNumber: 6 };
    for (let flow = 1; flow <= 3; flow++) {
      const timeNs = flow * S;
      expect(port.noteFlowlet(0, 1, flow * 77, flow, timeNs)).toBe(true);
      expect(port.isProbe(0, 1, flow * 77, flow)).toBe(true);
      port.noteInbound(flow * 77, flow, answer, timeNs + 1e7);
    }
    expect(gateway.isSuspended(0, 4)).toBe(false);
    expect(changedNow()).toEqual([0]);
    expect(port.failureEvents(0).map(({ decision }) => decision)).toEqual(['returned']);
  });

  test('takes ratios, claims and counters over', () => {
    const { gateway, port } = gatewayWith(1);
    port.restoreRatios(0, Float64Array.of(3, 1));
    expect(gateway.flowletRatio(0, 1)).toBe(0.75);
    port.setCredits(0, [-5, 5]);
    expect(port.creditsOf(0)).toEqual([-5, 5]);
    const counters = new PrefGateway({ routes: [{ pathId: 1, name: 'a' }] }).counters;
    counters.packets[3] = 12;
    counters.notLectBytes[4] = 99;
    port.setCounters(counters);
    expect([gateway.counters.packets[3], gateway.counters.notLectBytes[4]]).toEqual([12, 99]);
  });
});
