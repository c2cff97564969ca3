/**
 * Data that comes again, as the gateway's programs see it: acknowledgments leave by routes 1, 2 and 3, and what comes in is
 * judged by a gateway that is told by reports alone.
 */
import { expect, it } from 'vitest';
import type { PrefGateway } from '../../lib/pref/gateway.ts';
import { clockOriginNs } from '../../lib/sys/clock.ts';
import { TCP_ACK } from '../../lib/wire/packet-view.ts';
import { IN_ASSIGNED_FNE, OUT_FNE_DRAWN, OUT_FNE_REPEATED } from '../../lib/pref/reasons.ts';
import { describeNetns } from '../support/netns.ts';
import { buildTcp } from '../support/packets.ts';
import { INSIDE, OUTSIDE, ToldGateway } from '../support/told-gateway.ts';

const SEGMENT = 1000;
const FIRST_PORT = 5000;
const DSCP_FNE = 7;
const FLOWS = 36;
const PERIOD_MS = 100;
/** Long enough that a route is not new any more. */
const WARM_UP_MS = 25_000;
/** With which all twelve flows of a route have a place among those watched. */
const SEED = 2;

/** Receivers, twelve on each route, each with a segment every 100 ms that is acknowledged at once. */
class Receivers {
  nowMs = 0;
  readonly told = new ToldGateway({ seed: SEED });
  /** By flow: how many segments have come. */
  readonly segments = Array.from({ length: FLOWS }, () => 0);

  get gateway(): PrefGateway {
    return this.told.gateway;
  }

  /** The route of a flow's acknowledgments. */
  routeOf(flow: number): number {
    return 1 + (flow % 3);
  }

  run(untilMs: number, isQuiet: (flow: number) => boolean = () => false): void {
    for (; this.nowMs < untilMs; this.nowMs++) {
      for (let flow = this.nowMs % PERIOD_MS; flow < FLOWS; flow += PERIOD_MS) {
        if (isQuiet(flow)) continue;
        this.letIn(flow, this.segments[flow]++);
        this.acknowledge(flow);
      }
      this.told.reader.takeAll();
    }
  }

  /** A segment that may have come before. */
  letIn(flow: number, segment: number, dscp = 0): number | string {
    const ends = { src: OUTSIDE, dst: INSIDE, srcPort: 443, dstPort: FIRST_PORT + flow };
    const fields = { dscp, seqNumber: segment * SEGMENT, payloadLength: SEGMENT, tcpFlags: TCP_ACK };
    return this.told.handle(false, buildTcp({ ...ends, ...fields }), this.nowMs);
  }

  acknowledge(flow: number, dscp = this.routeOf(flow) * 8 + 3): number | string {
    const ends = { src: INSIDE, dst: OUTSIDE, srcPort: FIRST_PORT + flow, dstPort: 443 };
    const fields = { dscp, tcpFlags: TCP_ACK, ackNumber: this.segments[flow] * SEGMENT };
    return this.told.handle(true, buildTcp({ ...ends, ...fields }), this.nowMs);
  }
}

/** Path ID of the route that is remembered for the flow of the last packet. */
function routeRemembered({ told, nowMs }: Receivers): number {
  const { flowHash, memory, table } = told.verifier.core;
  const entry = memory.find(flowHash.h1, flowHash.h2, nowMs * 1e6 + clockOriginNs);
  return table.pathIdOf[memory.slotOf(entry)];
}

/** With receivers of which those on route 2 have heard nothing new for a while. */
function withFailure(use: (world: Receivers, dead: readonly number[]) => void): void {
  const world = new Receivers();
  try {
    world.run(WARM_UP_MS);
    const dead = world.segments.flatMap((_, flow) => (world.routeOf(flow) === 2 ? [flow] : []));
    world.run(WARM_UP_MS + 300, (flow) => world.routeOf(flow) === 2);
    use(world, dead);
  } finally {
    world.told.close();
  }
}

describeNetns('data that comes again, reported by the programs', () => {
  it('suspends the route of the acknowledgments, by the seventh of twelve flows', () => {
    withFailure((world, dead) => {
      for (const [i, flow] of dead.entries()) {
        world.letIn(flow, world.segments[flow] - 1);
        world.run(world.nowMs + 1, (other) => dead.includes(other));
        expect(world.gateway.isSuspended(0, 2)).toBe(i >= 6);
      }
      expect(world.gateway.failureEvents()).toMatchObject([
        {
          decision: 'suspended',
          pathId: 2,
          by: 'repeats',
          failingFlows: 7,
          sampleFlows: 12,
          answeredFlows: 0,
        },
      ]);
    });
  });

  it('says nothing where it was not acknowledged, however often it comes', () => {
    withFailure((world, dead) => {
      for (let i = 0; i < 3; i++) {
        for (const flow of dead) world.letIn(flow, world.segments[flow]);
        world.run(world.nowMs + 400, (other) => dead.includes(other));
      }
      expect(world.gateway.failureEvidence().repeats.exposures).toBe(0);
      expect(world.gateway.failureEvents()).toEqual([]);
    });
  });

  it('says nothing within an RTT of new data', () => {
    withFailure((world, dead) => {
      for (const flow of dead) {
        world.letIn(flow, world.segments[flow]++);
        world.acknowledge(flow);
        world.letIn(flow, world.segments[flow] - 2);
      }
      world.told.reader.takeAll();
      expect(world.gateway.failureEvidence().repeats.exposures).toBe(0);
    });
  });

  it('keeps the FNE packets of its flows off the route before the process has heard of it', () => {
    withFailure((world, dead) => {
      for (const flow of dead) {
        world.letIn(flow, world.segments[flow] - 1);
        expect(world.acknowledge(flow, DSCP_FNE)).toBe(OUT_FNE_REPEATED);
        expect(routeRemembered(world)).not.toBe(2);
      }
    });
  });

  it('keeps answers to FNE packets of the peers off it likewise', () => {
    withFailure((world, dead) => {
      for (const flow of dead) {
        expect(world.letIn(flow, world.segments[flow] - 1, DSCP_FNE)).toBe(IN_ASSIGNED_FNE);
        expect(routeRemembered(world)).not.toBe(2);
      }
    });
  });

  it('says nothing about a flow for its FNE packet once new data has come', () => {
    withFailure((world, [flow]) => {
      world.letIn(flow, world.segments[flow] - 1);
      world.letIn(flow, world.segments[flow]++);
      expect(world.acknowledge(flow, DSCP_FNE)).toBe(OUT_FNE_DRAWN);
    });
  });

  it('says nothing about a flow for its FNE packet once it acknowledges by another route', () => {
    withFailure((world, [flow]) => {
      world.letIn(flow, world.segments[flow] - 1);
      world.acknowledge(flow, 3 * 8 + 3);
      expect(world.acknowledge(flow, DSCP_FNE)).toBe(OUT_FNE_DRAWN);
    });
  });

  it('is known to the programs of a flow until new data comes', () => {
    withFailure((world, [flow]) => {
      world.letIn(flow, world.segments[flow] - 1);
      world.told.reader.takeAll();
      const { h1, h2 } = world.told.verifier.core.flowHash;
      expect(world.told.verifier.programs.clearRepeated(h1, h2)).toBe(true);
      world.told.verifier.programs.setRepeated(h1, h2);
      world.nowMs++;
      world.letIn(flow, world.segments[flow]++);
      world.told.reader.takeAll();
      expect(world.told.verifier.programs.clearRepeated(h1, h2)).toBe(false);
    });
  });

  it('is over with new data at once where only the process took it for an exposure, not told of all data', () => {
    withFailure((world, [flow]) => {
      const isRepeated = (): boolean => {
        world.told.reader.takeAll();
        const { h1, h2 } = world.told.verifier.core.flowHash;
        return world.told.port.isRepeated(h1, h2);
      };
      for (const pauseMs of [0, 10]) {
        world.nowMs += pauseMs;
        world.letIn(flow, world.segments[flow]++);
        world.acknowledge(flow);
      }
      // 145 ms after the data that the programs heard of last, 155 ms after what they told last.
      world.nowMs += 145;
      world.letIn(flow, world.segments[flow] - 1);
      expect(isRepeated()).toBe(true);
      world.nowMs++;
      world.letIn(flow, world.segments[flow]++);
      expect(isRepeated()).toBe(false);
    });
  });
});
