/** A flood of FNE packets at the gateway core, in virtual time: what it costs, what is counted, whom it reaches. */
import { expect, it } from 'vitest';
import { collector } from '../../lib/bench/measure.ts';
import { floodPacket, writeSource } from '../../namespaces-lab/traffic/flood-packet.ts';
import {
  FNE,
  INSIDE,
  S,
  gatewayWithRoutes,
  letIn,
  lectOn,
  routeOf,
  sendOut,
  tcpOut,
  udpIn,
} from './gateway-fixture.ts';

const PER_SECOND = 100_000;
const SECONDS = 4;
const LIMIT = 10_000;

it('100,000 FNE packets a second from as many sources: memory is bounded, others go on, all is counted', () => {
  const gateway = gatewayWithRoutes({
    fneRatePerDestination: LIMIT,
    fneBurstPerDestination: LIMIT,
    fneRateTotal: PER_SECOND,
    fneBurstTotal: PER_SECOND,
  });
  gateway.addDestination(['0.0.0.0/0'], [1, 2, 3]);
  const collect = collector();
  const view = new DataView(floodPacket('pool2', INSIDE).buffer);
  const fneTos = view.getUint8(1);
  const flow = tcpOut({ dscp: lectOn(2), payloadLength: 1000 });
  const used = (): number => {
    collect();
    const { heapUsed, external } = process.memoryUsage();
    return heapUsed + external;
  };
  let usedBefore = 0;
  let others = 0;
  for (let i = 0; i < PER_SECOND * SECONDS; i++) {
    const nowNs = S + (i * S) / PER_SECOND;
    view.setUint8(1, fneTos);
    writeSource(view, 0, i);
    gateway.handleInbound(view, 0, view.byteLength, nowNs, 1, 0);
    if (i % 1000 !== 0) continue;
    // A pinned flow, and new ones of another prefix.
    expect(sendOut(gateway, flow.slice(), nowNs)).toMatchObject({ pathId: 2, reason: 'outPathId' });
    expect(letIn(gateway, udpIn({ dscp: FNE, srcPort: 1024 + others++ }), nowNs).reason).toBe(
      'inAssignedFne',
    );
    // After the first second the FNE memory is full and the code compiled.
    if (i === PER_SECOND) usedBefore = used();
  }
  const { reasons, fneMemoryEvictions } = gateway.status();
  const assigned = reasons['inAssignedFne'] - others;
  // What the bucket held, and what flowed in since; a token more or less is rounding.
  expect(Math.abs(assigned - LIMIT * (SECONDS + 1))).toBeLessThanOrEqual(1);
  expect(reasons['inDestinationLimit']).toBe(PER_SECOND * SECONDS - assigned);
  expect(reasons['inTotalLimit']).toBe(0);
  expect(fneMemoryEvictions).toBeGreaterThan(0);
  expect(routeOf(gateway, 2).total.bytes).toBe(others * flow.length);
  expect(used() - usedBefore).toBeLessThan(1e6);
});
