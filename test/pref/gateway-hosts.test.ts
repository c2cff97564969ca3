/**
 * The gateway among hosts in virtual time: stock clients outside, servers inside that keep the host rules in
 * their plainest form (pin to the assignment, repeat what was lost as LEx), and three routes with a loss
 * ratio each.
 *
 * ```
 *   clients ---- route 1, 2, 3 ----> gateway ----> server        SYN, ACK: never lost
 *           <--- route 1, 2, 3 ----          <----               SYN-ACK, data: lost by the route's ratio
 * ```
 */
import { describe, expect, test } from 'vitest';
import { equal } from '../../lib/pref/balancers/equal.ts';
import { loss } from '../../lib/pref/balancers/loss.ts';
import { mixBits } from '../../lib/pref/flow-hash.ts';
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
  routeOf,
  runTimeouts,
  sendOut,
  tcpIn,
  tcpOut,
} from './gateway-fixture.ts';

const SEGMENTS = 30;
const templates = new Map<number, Uint8Array>();

/** A full segment to a client's port. Built once a DSCP: the gateway reads no transport checksum. */
function segmentTo(port: number, dscp: number): Uint8Array {
  const template = templates.get(dscp) ?? tcpOut({ dscp, payloadLength: 1460 });
  templates.set(dscp, template);
  const bytes = template.slice();
  new DataView(bytes.buffer).setUint16(22, port);
  return bytes;
}
const SYN_ACK_TIMES = [0, 1 * S, 3 * S, 7 * S];

class World {
  readonly gateway: PrefGateway;
  /** By path ID; 1 = nothing gets through. */
  readonly lossRatios = [0, 0, 0, 0];
  readonly setUpTimes: number[] = [];
  failed = 0;
  private nowNs = 0;
  private flows = 0;
  private draws = 0;
  private waiting: { atNs: number; run: () => void }[] = [];

  constructor(gateway: PrefGateway) {
    this.gateway = gateway;
  }

  /** Starts `flowsPerS` flows a second until `untilNs`, and lets everything happen that is due. */
  run(untilNs: number, flowsPerS: number): void {
    for (; this.nowNs < untilNs; this.nowNs += S / flowsPerS) {
      const due = this.waiting.filter((event) => event.atNs <= this.nowNs).sort((a, b) => a.atNs - b.atNs);
      this.waiting = this.waiting.filter((event) => event.atNs > this.nowNs);
      for (const event of due) event.run();
      runTimeouts(this.gateway, this.nowNs);
      this.startFlow(1024 + (this.flows++ % 60_000));
    }
  }

  private startFlow(port: number): void {
    const assigned = letIn(this.gateway, tcpIn({ srcPort: port, tcpFlags: SYN }), this.nowNs);
    this.tryToAnswer(port, assigned.pathId, 0, this.nowNs);
  }

  private tryToAnswer(port: number, assignedPathId: number, attempt: number, startNs: number): void {
    const synAck = tcpOut({ dstPort: port, dscp: FNE, tcpFlags: SYN_ACK });
    const taken = sendOut(this.gateway, synAck, this.nowNs).pathId;
    if (attempt === 0) expect(taken).toBe(assignedPathId);
    if (!this.isLost(taken)) {
      const ack = letIn(this.gateway, tcpIn({ srcPort: port, tcpFlags: ACK }), this.nowNs);
      expect(ack.pathId).toBe(taken);
      this.setUpTimes.push(this.nowNs - startNs);
      this.sendData(port, ack.pathId);
    } else if (attempt + 1 < SYN_ACK_TIMES.length) {
      const atNs = startNs + SYN_ACK_TIMES[attempt + 1];
      this.waiting.push({ atNs, run: () => this.tryToAnswer(port, assignedPathId, attempt + 1, startNs) });
    } else this.failed++;
  }

  private sendData(port: number, pathId: number): void {
    let lost = 0;
    let strayed = 0;
    for (let i = 0; i < SEGMENTS + lost && lost < SEGMENTS; i++) {
      const dscp = i < SEGMENTS ? lectOn(pathId) : lexOn(pathId);
      if (sendOut(this.gateway, segmentTo(port, dscp), this.nowNs).pathId !== pathId) strayed++;
      if (this.isLost(pathId)) lost++;
    }
    expect(strayed).toBe(0);
  }

  private isLost(pathId: number): boolean {
    return (mixBits(this.draws++) >>> 0) / 2 ** 32 < this.lossRatios[pathId];
  }
}

describe('the gateway among hosts', () => {
  test('moves flowlets to the routes that lose less until loss is the same or they have it all', () => {
    const world = new World(gatewayWithRoutes({ balancer: loss() }));
    world.lossRatios.splice(1, 3, 0.04, 0.01, 0.01);
    world.run(120 * S, 20);
    expect(routeOf(world.gateway, 1).lossRatio).toBeGreaterThan(0.02);
    expect(world.gateway.flowletRatio(0, 1)).toBeLessThan(0.05);
    expect(world.gateway.flowletRatio(0, 2) + world.gateway.flowletRatio(0, 3)).toBeGreaterThan(0.95);
  });

  test('keeps a third on the worst route when it only equalises', () => {
    const world = new World(gatewayWithRoutes({ balancer: equal() }));
    world.lossRatios.splice(1, 3, 0.04, 0.01, 0.01);
    world.run(30 * S, 20);
    expect(world.gateway.flowletRatio(0, 1)).toBeCloseTo(1 / 3, 12);
  });

  test('brings a dead route down to beta_E / N in an interval or two, and back when it is repaired', () => {
    const world = new World(gatewayWithRoutes({ balancer: loss(0.1) }));
    world.run(20 * S, 20);
    const before = world.gateway.flowletRatio(0, 2);
    world.lossRatios[2] = 1;
    world.run(41 * S, 20);
    expect(world.gateway.flowletRatio(0, 2)).toBeLessThan(0.05);
    world.lossRatios[2] = 0;
    world.run(110 * S, 20);
    expect(before).toBeGreaterThan(0.2);
    expect(world.gateway.flowletRatio(0, 2)).toBeGreaterThan(0.15);
  });

  test('lets every connection through a dead route’s outage at the first repeated SYN-ACK', () => {
    const world = new World(gatewayWithRoutes());
    world.lossRatios[1] = 1;
    world.run(20 * S, 20);
    expect(world.failed).toBe(0);
    expect(Math.max(...world.setUpTimes)).toBeLessThan(1 * S + 100 * MS);
    expect(world.setUpTimes.filter((ns) => ns > 0).length).toBeGreaterThan(60);
    expect(routeOf(world.gateway, 1).total.fneRepeatBytes).toBeGreaterThan(60 * 40);
  });
});
