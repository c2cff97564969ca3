/**
 * Data that comes again, as the gateway's programs see it: acknowledgments leave by routes 1, 2 and 3, and what comes in is
 * judged by a gateway that is told by reports alone.
 */
import { expect, it } from 'vitest';
import { ReportReader } from '../../lib/ebpf/report-reader.ts';
import { ETHERNET_BYTES } from '../../lib/ebpf/verify/packet-writer.ts';
import { GatewayVerifier } from '../../lib/ebpf/verify/verify-gateway.ts';
import { PrefGateway } from '../../lib/pref/gateway.ts';
import { clockOriginNs } from '../../lib/sys/clock.ts';
import { TCP_ACK } from '../../lib/wire/packet-view.ts';
import { describeNetns } from '../support/netns.ts';
import { buildTcp } from '../support/packets.ts';

const ROUTES = [1, 2, 3].map((pathId) => ({ pathId, name: `r${pathId}` }));
const OUTSIDE = '10.0.1.1';
const INSIDE = '10.0.0.1';
const SEGMENT = 1000;
const FIRST_PORT = 5000;
const FLOWS = 36;
const PERIOD_MS = 100;
/** Long enough that a route is not new any more. */
const WARM_UP_MS = 25_000;
/** With which all twelve flows of a route have a place among those watched. */
const SEED = 2;
const NS_PER_MS = 1e6;

/** Receivers, twelve on each route, each with a segment every 100 ms that is acknowledged at once. */
class Receivers {
  nowMs = 0;
  readonly verifier = new GatewayVerifier();
  readonly gateway = new PrefGateway({ routes: ROUTES });
  readonly reader: ReportReader;
  /** By flow: how many segments have come. */
  readonly segments = Array.from({ length: FLOWS }, () => 0);

  constructor() {
    this.verifier.restart({ routes: ROUTES, seed: SEED }, [
      { prefixes: ['10.0.1.0/24'], pathIds: [1, 2, 3] },
    ]);
    this.gateway.addDestination(['10.0.1.0/24'], [1, 2, 3]);
    const indices = { coreOf: (index: number) => index, indexOf: (destination: number) => destination };
    this.reader = new ReportReader(this.gateway.openPort(), this.verifier.programs, indices, () => undefined);
    // What runs before left reports of another time.
    this.reader.take();
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
      this.reader.take();
    }
  }

  /** A segment that may have come before. */
  letIn(flow: number, segment: number): void {
    const ends = { src: OUTSIDE, dst: INSIDE, srcPort: 443, dstPort: FIRST_PORT + flow };
    const fields = { seqNumber: segment * SEGMENT, payloadLength: SEGMENT, tcpFlags: TCP_ACK };
    this.#handle(false, buildTcp({ ...ends, ...fields }));
  }

  acknowledge(flow: number): void {
    const ends = { src: INSIDE, dst: OUTSIDE, srcPort: FIRST_PORT + flow, dstPort: 443 };
    const dscp = this.routeOf(flow) * 8 + 3;
    this.#handle(
      true,
      buildTcp({ ...ends, dscp, tcpFlags: TCP_ACK, ackNumber: this.segments[flow] * SEGMENT }),
    );
  }

  close(): void {
    this.reader.close();
    this.verifier.close();
  }

  #handle(isOutbound: boolean, packet: Uint8Array): void {
    const nowNs = Math.ceil(this.nowMs * NS_PER_MS + clockOriginNs);
    this.verifier.writer.bytes.set(packet, ETHERNET_BYTES);
    const outcome = this.verifier.handle({ isOutbound, length: packet.length, nowNs, gsoSize: 0 });
    expect(outcome).toBeTypeOf('number');
  }
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
    world.close();
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
      world.reader.take();
      expect(world.gateway.failureEvidence().repeats.exposures).toBe(0);
    });
  });

  it('is known to the programs of a flow until new data comes', () => {
    withFailure((world, [flow]) => {
      world.letIn(flow, world.segments[flow] - 1);
      world.reader.take();
      const { h1, h2 } = world.verifier.core.flowHash;
      expect(world.verifier.programs.clearRepeated(h1, h2)).toBe(true);
      world.verifier.programs.setRepeated(h1, h2);
      world.nowMs++;
      world.letIn(flow, world.segments[flow]++);
      world.reader.take();
      expect(world.verifier.programs.clearRepeated(h1, h2)).toBe(false);
    });
  });
});
