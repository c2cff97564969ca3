/** The golden packets through the kernel's programs, which must do with them what the files say and the cores do. */
import { afterAll, beforeAll, expect, it } from 'vitest';
import { ETHERNET_BYTES } from '../../lib/ebpf/verify/packet-writer.ts';
import type { PacketWriter } from '../../lib/ebpf/verify/packet-writer.ts';
import { GatewayVerifier } from '../../lib/ebpf/verify/gateway-verifier.ts';
import { HostVerifier } from '../../lib/ebpf/verify/verify-host.ts';
import { REASON_NAMES as HOST_REASONS } from '../../lib/lex/reasons.ts';
import {
  METER_BYTES,
  METER_FIELDS,
  METER_FLOWLETS,
  METER_FNE_REPEAT_BYTES,
  METER_LEX_BYTES,
} from '../../lib/pref/meter.ts';
import { REASON_NAMES as GATEWAY_REASONS } from '../../lib/pref/reasons.ts';
import {
  bytesOfHex,
  expectedOf,
  gatewaySequences,
  GOLDEN_START_NS,
  hexOfBytes,
  hostSequences,
} from '../support/golden-packets.ts';
import type { GatewayGoldenSequence, GoldenPacket } from '../support/golden-packets.ts';
import { describeNetns } from '../support/netns.ts';

const IPV4 = [0x08, 0x00];
const IPV6 = [0x86, 0xdd];

/** Puts the packet into the frame; what both kinds of steps have. */
function write(writer: PacketWriter, { bytes: hex, ms, way }: GoldenPacket) {
  const bytes = bytesOfHex(hex);
  writer.bytes.fill(0, 0, ETHERNET_BYTES);
  writer.bytes.set(bytes[0] >> 4 === 6 ? IPV6 : IPV4, ETHERNET_BYTES - 2);
  writer.bytes.set(bytes, ETHERNET_BYTES);
  return { isOutbound: way === 'out', length: bytes.length, nowNs: GOLDEN_START_NS + ms * 1e6 };
}

/** A difference between program and core stands where the reason is expected. */
const nameOf = (outcome: number | string, names: readonly string[]): string =>
  typeof outcome === 'string' ? outcome : names[outcome];

describeNetns('the host programs and the golden packets', () => {
  let verifier: HostVerifier;
  beforeAll(() => {
    verifier = new HostVerifier();
  });
  afterAll(() => {
    verifier.close();
  });

  it.each(hostSequences)('agree on verdict, reason and bytes: $name', ({ options, packets }) => {
    verifier.restart(options);
    const outcomes = packets.map((packet) => {
      const step = { ...write(verifier.writer, packet), hints: packet.hints ?? 0 };
      const reason = nameOf(verifier.handle(step), HOST_REASONS);
      return { note: packet.note, reason, path: verifier.taken, bytes: hexOfBytes(verifier.result) };
    });
    expect(outcomes).toEqual(packets.map(expectedOf));
    expect(verifier.compareCounters()).toBeUndefined();
  });
});

describeNetns('the gateway programs and the golden packets', () => {
  let verifier: GatewayVerifier;
  beforeAll(() => {
    verifier = new GatewayVerifier();
  });
  afterAll(() => {
    verifier.close();
  });

  const prepare = ({ destinations, down, options }: GatewayGoldenSequence): void => {
    verifier.restart(options, destinations);
    const { table } = verifier.core;
    for (const pathId of down) table.setRouteUp(table.slotOf[pathId], false);
    for (const destination of destinations.keys()) verifier.sync(destination);
  };

  it.each(gatewaySequences)('agree on route, reason, bytes and meters: $name', (sequence) => {
    prepare(sequence);
    const { packets } = sequence;
    const { table } = verifier.core;
    const outcomes = packets.map((packet) => {
      const step = { ...write(verifier.writer, packet), gsoSize: packet.gsoSize ?? 0 };
      const slot = packet.via === undefined ? 0 : table.slotOf[packet.via];
      const reason = nameOf(verifier.handle(step, 0, slot), GATEWAY_REASONS);
      return { note: packet.note, reason, path: verifier.pathId, bytes: hexOfBytes(verifier.result) };
    });
    expect(outcomes).toEqual(packets.map(expectedOf));
    expect(verifier.compareBooks()).toBeUndefined();

    const meters = verifier.programs.readMeters(table.size);
    const counted = sequence.destinations.flatMap((_, destination) =>
      sequence.options.routes.map(({ pathId: path }, slot) => {
        const figure = (field: number): number =>
          meters[(destination * table.routeCount + slot) * METER_FIELDS + field];
        return {
          ...{ destination, path, bytes: figure(METER_BYTES), lexBytes: figure(METER_LEX_BYTES) },
          ...{ fneRepeatBytes: figure(METER_FNE_REPEAT_BYTES), flowlets: figure(METER_FLOWLETS) },
        };
      }),
    );
    expect(counted.filter(({ bytes, flowlets }) => bytes + flowlets > 0)).toEqual(sequence.meters);
  });
});
