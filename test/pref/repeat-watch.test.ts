/**
 * The gateway of hosts that receive: their acknowledgments leave by routes 1, 2 and 3, and data comes in. When route 2
 * swallows what goes out over it, the senders outside repeat what was acknowledged.
 */
import { describe, expect, test } from 'vitest';
import type { PrefGateway } from '../../lib/pref/gateway.ts';
import { bytesAllocatedPerCall } from '../support/allocation.ts';
import { viewOf } from '../support/packets.ts';
import { ACK, FNE, MS, gatewayWithRoutes, lectOn, tcpIn, tcpOut } from './gateway-fixture.ts';

const SEGMENT = 1000;
const FIRST_PORT = 5000;
/** Long enough that a route is not new any more. */
const WARM_UP_MS = 25_000;

/** Receivers, as many on each route, each with a segment every 50 ms that is acknowledged at once. */
class Receivers {
  nowMs = 0;
  readonly gateway: PrefGateway;
  readonly count: number;
  /** By flow: how many segments have come, and the route of its acknowledgments. */
  readonly segments: number[];
  readonly routes: number[];
  private readonly back = viewOf(tcpIn({ srcPort: 443, payloadLength: SEGMENT, tcpFlags: ACK }));
  private readonly out = viewOf(tcpOut({ dstPort: 443, tcpFlags: ACK }));

  constructor(gateway: PrefGateway, flowsARoute: number) {
    this.gateway = gateway;
    this.count = 3 * flowsARoute;
    this.segments = Array.from({ length: this.count }, () => 0);
    this.routes = Array.from({ length: this.count }, (_, i) => 1 + (i % 3));
  }

  /** Time goes on; flows that are not `quiet` go on with it. */
  run(untilMs: number, isQuiet: (flow: number) => boolean = () => false): void {
    for (; this.nowMs < untilMs; this.nowMs++) {
      for (let flow = this.nowMs % 50; flow < this.count; flow += 50) if (!isQuiet(flow)) this.take(flow);
    }
  }

  /** The same, with a gateway that takes up what waits. */
  runOn(forMs: number, isQuiet: (flow: number) => boolean): void {
    for (let i = 0; i < forMs; i++) {
      const { gateway } = this;
      if (gateway.pollTimeout() <= this.nowMs * MS) gateway.handleTimeout(this.nowMs * MS);
      this.run(this.nowMs + 1, isQuiet);
    }
  }

  /** New data. */
  take(flow: number): void {
    this.letIn(flow, this.segments[flow]++);
    this.acknowledge(flow);
  }

  /** A segment that may have come before. @returns the route that is assigned with it, 0 = none */
  letIn(flow: number, segment: number, isEmpty = false, dscp = 0): number {
    const { back, gateway } = this;
    const length = isEmpty ? 40 : back.byteLength;
    back.setUint16(2, length);
    back.setUint8(1, dscp << 2);
    back.setUint16(22, FIRST_PORT + flow);
    back.setInt32(24, segment * SEGMENT);
    return gateway.handleInbound(back, 0, length, this.nowMs * MS, 0, 0);
  }

  /** @returns the route that the acknowledgment took */
  acknowledge(flow: number, dscp = lectOn(this.routes[flow])): number {
    const { gateway, out } = this;
    out.setUint8(1, dscp << 2);
    out.setUint16(20, FIRST_PORT + flow);
    out.setInt32(28, this.segments[flow] * SEGMENT);
    return gateway.handleOutbound(out, 0, out.byteLength, this.nowMs * MS, 0);
  }
}

/** Receivers after a while; those on route 2 then hear nothing new. */
function fail(flowsARoute = 12, options = {}): { gateway: PrefGateway; world: Receivers; dead: number[] } {
  const gateway = gatewayWithRoutes(options);
  const world = new Receivers(gateway, flowsARoute);
  world.run(WARM_UP_MS);
  const dead = world.routes.flatMap((route, flow) => (route === 2 ? [flow] : []));
  world.run(WARM_UP_MS + 300, (flow) => world.routes[flow] === 2);
  return { gateway, world, dead };
}

describe('data that comes again although it was acknowledged', () => {
  test('suspends the route of the acknowledgments, by the seventh of twelve flows when nothing new comes in', () => {
    const { gateway, world, dead } = fail();
    for (const [i, flow] of dead.entries()) {
      world.letIn(flow, world.segments[flow] - 1);
      expect(gateway.isSuspended(0, 2)).toBe(i >= 6);
      // The acknowledgment that it asks for takes another route at once.
      expect(world.acknowledge(flow) === 2).toBe(i < 6);
      world.run(world.nowMs + 1, (other) => dead.includes(other));
    }
    expect(gateway.failureEvents()).toMatchObject([{ decision: 'suspended', pathId: 2, by: 'repeats' }]);
  });

  test('is decided on evidence that the event shows', () => {
    const { gateway, world, dead } = fail();
    for (const flow of dead) world.letIn(flow, world.segments[flow] - 1);
    const [event] = gateway.failureEvents();
    expect(event.failingFlows).toBe(7);
    expect(event.exposures).toBe(7);
    expect(event.sampleFlows).toBe(12);
    expect(event.answeredFlows).toBe(0);
    expect(event.silenceNs).toBeGreaterThanOrEqual(300 * MS);
    expect(gateway.failureEvidence().repeats).toEqual({ exposures: 12, closest: 1 });
  });

  test('makes the host ask, and what it sends then takes another route than before', () => {
    const { world, dead } = fail();
    for (const flow of dead.slice(0, 3)) {
      world.letIn(flow, world.segments[flow] - 1);
      expect(world.acknowledge(flow, FNE)).not.toBe(2);
    }
  });

  test('marked as FNE asks for an answer by another route than before', () => {
    const { world, dead } = fail();
    for (const flow of dead.slice(0, 5)) {
      expect(world.letIn(flow, world.segments[flow] - 1, false, FNE)).not.toBe(2);
      world.run(world.nowMs + 1, (other) => dead.includes(other));
    }
  });

  test('stays evidence about the route when its flows have left it', () => {
    const { gateway, world, dead } = fail();
    for (const flow of dead) {
      world.letIn(flow, world.segments[flow] - 1);
      world.acknowledge(flow, FNE);
    }
    expect(gateway.failureEvents()).toMatchObject([{ decision: 'suspended', pathId: 2, by: 'repeats' }]);
  });

  test('says something of the other route when that does not answer either', () => {
    const { gateway, world, dead } = fail();
    for (const flow of dead.slice(0, 3)) {
      world.letIn(flow, world.segments[flow] - 1);
      world.routes[flow] = world.acknowledge(flow, FNE);
      world.run(world.nowMs + 1, (other) => dead.includes(other));
    }
    world.run(world.nowMs + 300, (other) => dead.includes(other));
    for (const flow of dead.slice(0, 3)) {
      world.letIn(flow, world.segments[flow] - 1);
      expect(world.acknowledge(flow, FNE)).not.toBe(world.routes[flow]);
    }
    expect(gateway.failureEvidence().repeats.exposures).toBe(6);
  });

  test('says the same where the senders mark it as FNE', () => {
    const { gateway, world, dead } = fail();
    for (const flow of dead) world.letIn(flow, world.segments[flow] - 1, false, FNE);
    expect(gateway.isSuspended(0, 2)).toBe(true);
  });

  test('says nothing when failures are not to be inferred', () => {
    const { gateway, world, dead } = fail(12, { inferFailures: false });
    for (const flow of dead) world.letIn(flow, world.segments[flow] - 1);
    expect(gateway.failureEvidence().repeats.exposures).toBe(0);
    expect(gateway.failureEvents()).toEqual([]);
  });

  test('does not suspend the last route', () => {
    const { gateway, world, dead } = fail();
    gateway.setRouteUp(1, false);
    gateway.setRouteUp(3, false);
    for (const flow of dead) world.letIn(flow, world.segments[flow] - 1);
    expect(gateway.isSuspended(0, 2)).toBe(false);
  });

  test('suspends nothing while no flow of another route goes on', () => {
    const { gateway, world, dead } = fail();
    world.run(world.nowMs + 400, () => true);
    for (const flow of dead) world.letIn(flow, world.segments[flow] - 1);
    expect(gateway.failureEvents()).toEqual([]);
  });

  test('is decided by what comes after it, too: the flows that still heard something fall silent', () => {
    const gateway = gatewayWithRoutes();
    const world = new Receivers(gateway, 24);
    world.run(WARM_UP_MS);
    const onRoute = world.routes.flatMap((route, flow) => (route === 2 ? [flow] : []));
    const first = onRoute.slice(0, 10);
    world.runOn(300, (flow) => first.includes(flow));
    for (const flow of first) {
      world.letIn(flow, world.segments[flow] - 1);
      world.acknowledge(flow, FNE);
    }
    expect(gateway.failureEvents()).toEqual([]);
    world.runOn(300, (flow) => onRoute.includes(flow));
    expect(gateway.failureEvents()).toMatchObject([{ decision: 'suspended', pathId: 2, by: 'repeats' }]);
  });

  test('is decided once another route shows life', () => {
    const { gateway, world, dead } = fail();
    world.runOn(400, () => true);
    for (const flow of dead) world.letIn(flow, world.segments[flow] - 1);
    expect(gateway.failureEvents()).toEqual([]);
    world.runOn(300, (flow) => dead.includes(flow));
    expect(gateway.failureEvents()).toMatchObject([{ decision: 'suspended', pathId: 2, by: 'repeats' }]);
  });

  test('is left alone when its window is over', () => {
    const { gateway, world, dead } = fail();
    world.runOn(400, () => true);
    for (const flow of dead) world.letIn(flow, world.segments[flow] - 1);
    world.runOn(1000, () => true);
    world.runOn(300, (flow) => dead.includes(flow));
    expect(gateway.failureEvents()).toEqual([]);
    expect(gateway.isSuspended(0, 2)).toBe(false);
  });

  test('is evidence no more once the flow went to another route', () => {
    const { gateway, world, dead } = fail();
    for (const flow of dead) {
      world.routes[flow] = 1;
      world.acknowledge(flow);
      world.letIn(flow, world.segments[flow] - 1);
    }
    expect(gateway.failureEvents()).toEqual([]);
  });
});

describe('what comes again and is no evidence', () => {
  test.each([
    [
      'what was not acknowledged',
      (world: Receivers, flow: number) => world.letIn(flow, world.segments[flow]),
    ],
    ['no byte at all', (world: Receivers, flow: number) => world.letIn(flow, world.segments[flow] - 1, true)],
  ])('%s', (_, repeat) => {
    const { gateway, world, dead } = fail();
    // The first comes for the first time, and is not acknowledged.
    for (let i = 0; i < 3; i++) {
      for (const flow of dead) repeat(world, flow);
      world.run(world.nowMs + 400, (other) => dead.includes(other));
    }
    expect(gateway.failureEvidence().repeats.exposures).toBe(0);
    expect(gateway.failureEvents()).toEqual([]);
  });

  test('what came again within an RTT of new data', () => {
    const { gateway, world, dead } = fail();
    for (const flow of dead) {
      world.take(flow);
      world.letIn(flow, world.segments[flow] - 2);
    }
    expect(gateway.failureEvidence().repeats.exposures).toBe(0);
  });

  test('what comes again on one flow of many', () => {
    const { gateway, world } = fail();
    for (let i = 0; i < 20; i++) {
      world.letIn(1, world.segments[1] - 1);
      world.run(world.nowMs + 400, (flow) => flow === 1);
    }
    expect(gateway.failureEvidence().repeats.exposures).toBeGreaterThan(10);
    expect(gateway.failureEvents()).toEqual([]);
  });
});

test('a keep-alive of one byte is no evidence', () => {
  const { gateway, world, dead } = fail();
  for (const flow of dead) {
    const fields = { dstPort: FIRST_PORT + flow, srcPort: 443, payloadLength: 1, tcpFlags: ACK };
    const bytes = viewOf(tcpIn({ ...fields, seqNumber: world.segments[flow] * SEGMENT - 1 }));
    gateway.handleInbound(bytes, 0, bytes.byteLength, world.nowMs * MS, 0, 0);
  }
  expect(gateway.failureEvidence().repeats.exposures).toBe(0);
});

test('watching acknowledgments allocates nothing', () => {
  const { gateway, world } = fail();
  const out = viewOf(tcpOut({ dscp: lectOn(1), tcpFlags: ACK, ackNumber: 1 }));
  const back = viewOf(tcpIn({ payloadLength: 8, tcpFlags: ACK }));
  let nowNs = world.nowMs * MS;
  const allocated = bytesAllocatedPerCall((call) => {
    if ((call & 1023) === 0) nowNs += 1_024_000;
    const port = FIRST_PORT + (call % 100);
    out.setUint8(1, lectOn(1 + (call % 3)) << 2);
    out.setUint16(20, port);
    out.setInt32(28, call);
    gateway.handleOutbound(out, 0, 40, nowNs, 0);
    back.setUint8(1, 0);
    back.setUint16(22, port);
    back.setInt32(24, call - 8);
    gateway.handleInbound(back, 0, back.byteLength, nowNs, 0, 0);
  }, 400_000);
  expect(allocated).toBeLessThan(1);
});
