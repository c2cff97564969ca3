/** A gateway and a host without devices, as far as their metrics and pages need them. */
import { LexHost } from '../../lib/lex/lex-host.ts';
import { PrefGateway } from '../../lib/pref/gateway.ts';
import { LiveDestinations } from '../../lib/runtime/live-destinations.ts';
import { LoopHistogram } from '../../lib/runtime/loop-histogram.ts';
import type { LoopReport } from '../../lib/runtime/packet-loop.ts';
import type { MeasuredGateway } from '../../lib/web/metrics/gateway-metrics.ts';
import type { MeasuredHost } from '../../lib/web/metrics/host-metrics.ts';
import { ROUTES } from '../pref/gateway-fixture.ts';

const DEVICES = {
  'tun-a': { packetsRead: 3, packetsWritten: 4, refused: { EIO: 5 }, kernelDropped: 6 },
};

/** Two batches, of 2 packets in 20 us and of 64 in 3 ms. */
function loopReport(): LoopReport {
  const [batchPackets, batchNs, lagNs] = [[1, 2, 64], [2e4, 1e6], [1e6]].map(
    (bounds) => new LoopHistogram(bounds),
  );
  for (const packets of [2, 64]) batchPackets.add(packets);
  for (const ns of [2e4, 3e6]) batchNs.add(ns);
  const pump = { source: 'tun-a', batchPackets: batchPackets.report(), batchNs: batchNs.report() };
  return { pumps: [pump], lagNs: lagNs.report() };
}

/** A gateway with the fixture's routes and a destination for each list of prefixes. */
export function measuredGateway(
  destinations: readonly (readonly string[])[],
): MeasuredGateway & { readonly gateway: PrefGateway } {
  const gateway = new PrefGateway({ routes: ROUTES, updateIntervalNs: 1e9 });
  const live = new LiveDestinations(
    gateway,
    destinations.map((prefixes) => ({ prefixes, pathIds: ROUTES.map(({ pathId }) => pathId) })),
  );
  return {
    gateway,
    destinations: live,
    // The core itself counts here.
    datapath: { readFigures: () => undefined },
    drainedRoutes: ['north'],
    loopReport: loopReport(),
    reportDevices: () => DEVICES,
  };
}

/** A host. */
export function measuredHost(): MeasuredHost & { readonly lex: LexHost } {
  return { lex: new LexHost(), loopReport: loopReport(), reportDevices: () => DEVICES };
}
