/** The golden packets through the TypeScript cores. The kernel's programs are given the same: netns/ebpf-golden. */
import { describe, expect, it } from 'vitest';
import { LexHost } from '../lib/lex/lex-host.ts';
import { REASON_LECT_MOVED, REASON_NAMES as HOST_REASONS } from '../lib/lex/reasons.ts';
import { PrefGateway } from '../lib/pref/gateway.ts';
import {
  IN_ASSIGNED_PLACED,
  IN_REASSIGNED,
  OUT_PLACED,
  OUT_PLACED_DOWN,
  OUT_SUSPENDED_PATH_ID,
  REASON_NAMES as GATEWAY_REASONS,
} from '../lib/pref/reasons.ts';
import { plainChecksum, viewOf } from './support/packets.ts';
import {
  bytesOfHex,
  expectedOf,
  gatewaySequences,
  GOLDEN_START_NS,
  hexOfBytes,
  hostSequences,
} from './support/golden-packets.ts';
import type { GatewayGoldenSequence, GoldenOutcome, HostSequence } from './support/golden-packets.ts';

const timeOf = (ms: number): number => GOLDEN_START_NS + ms * 1e6;

function runHost({ options, packets }: HostSequence): GoldenOutcome[] {
  const host = new LexHost(options);
  return packets.map(({ bytes: hex, hints, ms, note, way }) => {
    const bytes = bytesOfHex(hex);
    const taken =
      way === 'out'
        ? host.handleOutbound(viewOf(bytes), 0, bytes.length, timeOf(ms), hints) & 0
        : host.handleInbound(viewOf(bytes), 0, bytes.length, timeOf(ms));
    return { note, reason: host.lastReasonName, path: taken, bytes: hexOfBytes(bytes) };
  });
}

function runGateway({ destinations, down, options, packets }: GatewayGoldenSequence): {
  readonly outcomes: readonly GoldenOutcome[];
  readonly gateway: PrefGateway;
} {
  const gateway = new PrefGateway(options);
  for (const { prefixes, pathIds } of destinations) gateway.addDestination(prefixes, pathIds);
  for (const pathId of down) gateway.setRouteUp(pathId, false);
  const outcomes = packets.map(({ bytes: hex, gsoSize = 0, ms, note, via = 0, way }) => {
    const bytes = bytesOfHex(hex);
    const path =
      way === 'out'
        ? gateway.handleOutbound(viewOf(bytes), 0, bytes.length, timeOf(ms), gsoSize)
        : gateway.handleInbound(viewOf(bytes), 0, bytes.length, timeOf(ms), via, gsoSize);
    return { note, reason: gateway.lastReasonName, path, bytes: hexOfBytes(bytes) };
  });
  return { outcomes, gateway };
}

describe('the golden packets of a host', () => {
  it.each(hostSequences)('get verdict, reason and bytes: $name', (sequence) => {
    expect(runHost(sequence)).toEqual(sequence.packets.map(expectedOf));
  });

  it('show every reason but that of a host that chooses paths itself', () => {
    const seen = new Set(hostSequences.flatMap(({ packets }) => packets.map(({ reason }) => reason)));
    expect(HOST_REASONS.slice(1).filter((name) => !seen.has(name))).toEqual([
      HOST_REASONS[REASON_LECT_MOVED],
    ]);
  });
});

describe('the golden packets at a gateway', () => {
  it.each(gatewaySequences)('get route, reason, bytes and meters: $name', (sequence) => {
    const { gateway, outcomes } = runGateway(sequence);
    expect(outcomes).toEqual(sequence.packets.map(expectedOf));
    const meters = sequence.destinations.flatMap((_, destination) =>
      gateway
        .destinationRoutes(destination)
        .map(({ pathId: path, total: { bytes, flowlets, fneRepeatBytes, lexBytes } }) => ({
          ...{ destination, path, bytes, lexBytes, fneRepeatBytes, flowlets },
        }))
        .filter(({ bytes, flowlets }) => bytes + flowlets > 0),
    );
    expect(meters).toEqual(sequence.meters);
  });

  it('show every reason but those of suspended routes and of NAT', () => {
    const seen = new Set(gatewaySequences.flatMap(({ packets }) => packets.map(({ reason }) => reason)));
    const others = [OUT_SUSPENDED_PATH_ID, OUT_PLACED, OUT_PLACED_DOWN, IN_REASSIGNED, IN_ASSIGNED_PLACED];
    expect(GATEWAY_REASONS.filter((name) => !seen.has(name))).toEqual(
      others.map((one) => GATEWAY_REASONS[one]),
    );
  });
});

describe('the golden files', () => {
  it('have right IPv4 header checksums before and after, so that no rewriting is measured by a wrong one', () => {
    const isIpv4 = (bytes: Uint8Array): boolean =>
      bytes[0] >> 4 === 4 && bytes.length >= 20 && (bytes[0] & 15) >= 5;
    const wrong = [...hostSequences, ...gatewaySequences].flatMap(({ packets }) =>
      packets
        .flatMap(({ becomes, bytes, note }) => [bytes, becomes ?? bytes].map((hex) => ({ hex, note })))
        .filter(({ hex }) => {
          const bytes = bytesOfHex(hex);
          return isIpv4(bytes) && plainChecksum(bytes.subarray(0, (bytes[0] & 15) * 4)) !== 0;
        })
        .map(({ note }) => note),
    );
    expect(wrong).toEqual([]);
  });
});
