/**
 * What happens to a gateway between packets: other ratios, routes that go and come, suspensions, prefixes that move,
 * other limits and neighbours, flows found failing, probes that failed. Both the core and the programs are told.
 */
import type { GatewayOptions } from '../../pref/gateway-options.ts';
import { checkPolicy } from '../../pref/gateway-options.ts';
import { loss } from '../../pref/index.ts';
import type { Dice } from './dice.ts';
import type { GatewayVerifier } from './gateway-verifier.ts';

/** Options of a gateway. */
export function drawGatewayOptions(dice: Dice): GatewayOptions {
  const scheme = dice.pick(['pool2', 'full'] as const);
  const most = scheme === 'pool2' ? 6 : 15;
  // Sorted by nothing: path IDs and slots differ.
  const pathIds = Array.from({ length: most }, (_, i) => i + 1);
  for (let i = most - 1; i > 0; i--) {
    const j = dice.below(i + 1);
    [pathIds[i], pathIds[j]] = [pathIds[j], pathIds[i]];
  }
  const count = dice.once(5) ? most : 1 + dice.below(4);
  const routes = pathIds.slice(0, count).map((pathId) => ({ pathId, name: `r${pathId}` }));
  return {
    routes,
    scheme,
    inferFromSyn: !dice.once(4),
    inferFromAnswer: !dice.once(4),
    notLect: dice.once(4) ? 'default' : 'hash',
    fneMemoryEntries: dice.pick([4, 16, 256]),
    fneMemoryLifetimeNs: dice.pick([1e6, 1e9, 10e9, 3_500_500_000]),
    failureSampleEntries: 64,
    seed: dice.below(2 ** 32),
    // With betaE 0 the ratio of a route can be 0.
    balancer: dice.once(3) ? loss(0) : loss(),
    ...drawPolicy(
      dice,
      routes.map((route) => route.pathId),
    ),
  };
}

function drawPolicy(dice: Dice, pathIds: readonly number[]): Omit<GatewayOptions, 'routes'> {
  return {
    exposeTo: [0, ...pathIds].filter(() => dice.once(3)),
    fneRatePerDestination: dice.pick([0.5, 3, 7, 1000, Infinity]),
    fneBurstPerDestination: dice.pick([1, 2, 5, 1e9]),
    fneRateTotal: dice.pick([1, 10, 1e5, Infinity]),
    fneBurstTotal: dice.pick([1, 3, 10, 1e9]),
    inferFailures: !dice.once(3),
  };
}

/** Changes something in both. */
export function changeGateway(
  dice: Dice,
  verifier: GatewayVerifier,
  prefixes: readonly string[],
  nowNs: number,
): void {
  const { core, detector, programs } = verifier;
  const { table } = core;
  const destination = dice.below(table.size);
  const slot = dice.below(table.routeCount);
  switch (dice.below(9)) {
    case 0:
    case 1: {
      const next = Float64Array.from({ length: table.routeCount }, () =>
        dice.once(4) ? 0 : dice.below(1000) / 7,
      );
      detector.suspensions.limit(destination, next);
      table.setRatios(destination, next);
      break;
    }
    case 2: {
      const isUp = dice.once(2);
      for (let d = 0; d < table.size; d++) if (!isUp) endSuspension(verifier, d, slot);
      table.setRouteUp(slot, isUp);
      for (let d = 0; d < table.size; d++) verifier.sync(d);
      break;
    }
    case 3: {
      if (((table.allowedMask(destination) >>> slot) & 1) === 0) break;
      const isUp = dice.once(2);
      if (!isUp) endSuspension(verifier, destination, slot);
      table.setDestinationRouteUp(destination, slot, isUp);
      break;
    }
    case 4:
    case 5:
      suspendOrRestore(verifier, destination, slot, nowNs);
      break;
    case 6: {
      const text = dice.pick(prefixes);
      if (dice.once(2)) verifier.removePrefix(text);
      else verifier.setPrefix(text, destination);
      break;
    }
    case 7: {
      const pathIds = [...table.pathIdOf];
      const policy = checkPolicy(drawPolicy(dice, pathIds), core.settings.routes);
      core.usePolicy(policy);
      verifier.configure(core.settings);
      programs.fillBuckets(table.size);
      // The core fills its buckets only when the limits are others.
      for (let d = 0; d < table.size; d++) core.limiter.reset(d);
      core.limiter.configure({ ...policy.fneLimits, burstTotal: policy.fneLimits.burstTotal + 1 });
      core.limiter.configure(policy.fneLimits);
      break;
    }
    default:
      tellOfFlow(dice, verifier, destination, slot);
  }
  verifier.sync(destination);
}

function isSuspended({ detector }: GatewayVerifier, destination: number, slot: number): boolean {
  return ((detector.suspensions.maskOf(destination) >>> slot) & 1) === 1;
}

function endSuspension(verifier: GatewayVerifier, destination: number, slot: number): void {
  if (isSuspended(verifier, destination, slot)) verifier.detector.suspensions.end(destination, slot);
}

function suspendOrRestore(verifier: GatewayVerifier, destination: number, slot: number, nowNs: number): void {
  const { core, detector } = verifier;
  const { suspensions } = detector;
  if (isSuspended(verifier, destination, slot)) {
    suspensions.restore(destination, slot);
    return;
  }
  const up = core.table.upMask(destination);
  const others = up & ~suspensions.maskOf(destination) & ~(1 << slot);
  // The last usable route is never suspended.
  if (((up >>> slot) & 1) === 0 || others === 0) return;
  suspensions.begin(destination, slot);
  verifier.noteSuspension(nowNs);
}

/** Says that a flow is failing or not any more, that its data came again or not any more, or that a probe failed. */
function tellOfFlow(dice: Dice, verifier: GatewayVerifier, destination: number, slot: number): void {
  const { detector, programs } = verifier;
  const [probe] = [...detector.probes];
  if (probe !== undefined && dice.once(2)) {
    detector.probes.delete(probe[0]);
    programs.deleteProbe(...probe[1]);
  } else if (detector.lastFlow !== undefined) {
    const [h1, h2] = detector.lastFlow;
    if (dice.once(3)) {
      const isRepeated = !dice.once(3);
      detector.setRepeated(h1, h2, isRepeated);
      if (isRepeated) programs.setRepeated(h1, h2);
      else programs.clearRepeated(h1, h2);
    } else if (dice.once(4)) {
      detector.setFailing(h1, h2, undefined);
      programs.clearFailing(h1, h2);
    } else {
      detector.setFailing(h1, h2, [destination, slot]);
      programs.setFailing(h1, h2, destination, slot);
    }
  }
}
