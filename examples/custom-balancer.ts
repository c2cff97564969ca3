/**
 * A balancing strategy of one's own: prefer the routes that lose less than a tolerable ratio, share equally among those,
 * and leave each of the others a probe's worth of traffic, so that it is noticed when they recover.
 */
import {
  type Balancer,
  CODEPOINT_LECT,
  CODEPOINT_LEX,
  encodeMark,
  markingScheme,
  PrefGateway,
} from 'preflex';
import { ipv4, parseAddress, PROTOCOL_UDP, udp } from 'preflex/wire';

function tolerant(tolerableLoss: number, probe = 0.05): Balancer {
  return {
    name: 'tolerant',
    probeShare: (routeCount) => Math.min(probe, 1 / routeCount),
    balance(count, bytes, lostBytes, ratios, next) {
      // A route without traffic tells nothing: it is taken for good when it got more than a probe before.
      const isGood = (i: number) =>
        bytes[i]! > 0 ? lostBytes[i]! / bytes[i]! <= tolerableLoss : ratios[i]! > probe;
      let good = 0;
      for (let i = 0; i < count; i++) if (isGood(i)) good++;
      const rest = good === 0 ? 1 / count : Math.min(probe, 1 / count);
      for (let i = 0; i < count; i++)
        next[i] = good > 0 && isGood(i) ? (1 - rest * (count - good)) / good : rest;
    },
  };
}

const routes = [1, 2, 3].map((pathId) => ({ pathId, name: `route ${pathId}` }));
const gateway = new PrefGateway({ routes, balancer: tolerant(0.02), updateIntervalNs: 1e9 });
const destination = gateway.addDestination(['198.51.100.0/24'], [1, 2, 3]);

// An interval of traffic: 1,000 packets on each route, of which 0, 1 and 10 percent repeat lost bytes.
const view = new DataView(new ArrayBuffer(1000));
const [src, dst] = [parseAddress('192.0.2.1'), parseAddress('198.51.100.7')];
for (const [route, lossPercent] of [0, 1, 10].entries()) {
  for (let i = 0; i < 1000; i++) {
    const codepoint = i % 100 < lossPercent ? CODEPOINT_LEX : CODEPOINT_LECT;
    const dscp = encodeMark(markingScheme('pool2'), codepoint, route + 1);
    ipv4.writeIpv4Header(view, 0, { totalLength: 1000, protocol: PROTOCOL_UDP, src, dst, dscp });
    udp.writeUdpHeader(view, 20, { srcPort: 40_000, dstPort: 9000, length: 980 });
    gateway.handleOutbound(view, 0, 1000, 0);
  }
}
gateway.handleTimeout(1e9);
for (const { pathId, name } of routes) {
  console.log(`${name}: ${gateway.flowletRatio(destination, pathId).toFixed(3)} of the flowlets`);
}
