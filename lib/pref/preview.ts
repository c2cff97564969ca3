/**
 * What the gateway would do with a packet of a flow now, without doing it: the packet is handed to a twin, a small
 * gateway with the same settings, that knows this destination's routes and ratios and what is remembered of this flow.
 * The decision is the real one; the gateway itself counts nothing and its next draw stays what it was.
 *
 * What the failure detector knows of single flows is not copied. So a flow that is failing this moment, or probes a
 * suspended route, may be given another route than here.
 */
import { ipv4, ipv6, tcp, udp } from '../wire/index.ts';
import { CODEPOINT_FNE, CODEPOINT_LECT, CODEPOINT_NOT_LECT } from '../wire/marking/scheme.ts';
import { PacketView, TCP_ACK, parsePacket } from '../wire/packet-view.ts';
import { PROTOCOL_TCP } from '../wire/protocol-numbers.ts';
import { FlowHash } from './flow-hash.ts';
import { GatewayCore } from './gateway-core.ts';
import { handleInbound } from './inbound.ts';
import { handleOutbound } from './outbound.ts';
import { REASON_NAMES } from './reasons.ts';

/** A flow, seen from inside. */
export interface FlowEnds {
  /** 6 TCP or 17 UDP. */
  readonly protocol: number;
  /** Address inside, 4 or 16 bytes. */
  readonly src: Uint8Array;
  readonly srcPort: number;
  /** Address outside, as long as the other. */
  readonly dst: Uint8Array;
  readonly dstPort: number;
}

/** What a packet would meet. */
export interface FlowPreview {
  /** Whether the packet leaves the domain, or comes in and asks for a path. */
  readonly direction: 'out' | 'in';
  readonly codepoint: 'FNE' | 'LECT' | 'Not-LECT';
  /** Path ID that it carries, 0 for none. */
  readonly carries: number;
  /** Path ID of the route that it would take, 0 = default route; or that would be assigned to it, 0 = none. */
  readonly pathId: number;
  /** Name of the reason that it would be counted with. */
  readonly reason: string;
}

const MAX_PACKET_BYTES = 80;
const NAMES = { [CODEPOINT_FNE]: 'FNE', [CODEPOINT_LECT]: 'LECT', [CODEPOINT_NOT_LECT]: 'Not-LECT' } as const;

/**
 * Previews the packets that a flow could send: FNE, LECT with each path ID and without, Not-LECT, and an FNE packet from
 * outside. Takes about a millisecond each.
 *
 * @param destination - of the outside address, which must exist
 */
export function previewFlow(
  core: GatewayCore,
  destination: number,
  ends: FlowEnds,
  nowNs: number,
): FlowPreview[] {
  const out = (codepoint: keyof typeof NAMES, carries: number): FlowPreview => {
    const { bytes, view } = buildPacket(core, ends, codepoint, carries);
    const twin = makeTwin(core, destination, ends, nowNs);
    const pathId = handleOutbound(twin, view, 0, bytes, nowNs, 0);
    return {
      direction: 'out',
      codepoint: NAMES[codepoint],
      carries,
      pathId,
      reason: REASON_NAMES[twin.reason],
    };
  };
  const back = { ...ends, src: ends.dst, srcPort: ends.dstPort, dst: ends.src, dstPort: ends.srcPort };
  const { bytes, view } = buildPacket(core, back, CODEPOINT_FNE, 0);
  const twin = makeTwin(core, destination, ends, nowNs);
  const assigned = handleInbound(twin, view, 0, bytes, nowNs, 0, 0);
  return [
    out(CODEPOINT_FNE, 0),
    ...core.settings.routes.map(({ pathId }) => out(CODEPOINT_LECT, pathId)),
    out(CODEPOINT_LECT, 0),
    out(CODEPOINT_NOT_LECT, 0),
    { direction: 'in', codepoint: 'FNE', carries: 0, pathId: assigned, reason: REASON_NAMES[twin.reason] },
  ];
}

/** The hash of a flow as the gateway remembers it: two int32. */
export function flowHashOf(core: GatewayCore, ends: FlowEnds): readonly [h1: number, h2: number] {
  const { view, bytes } = buildPacket(core, ends, CODEPOINT_FNE, 0);
  const packet = new PacketView();
  parsePacket(view, 0, bytes, packet);
  const hash = new FlowHash(core.settings.seed);
  hash.compute(view, packet, false, true);
  return [hash.h1, hash.h2];
}

/** The twin: one destination with one prefix, the flow's outside address. */
function makeTwin(core: GatewayCore, destination: number, ends: FlowEnds, nowNs: number): GatewayCore {
  const { settings, table } = core;
  const failures = { ...settings.failures, sampleEntries: 64 };
  const twin = new GatewayCore({ ...settings, balancer: core.balancer, fneMemoryEntries: 4, failures });
  const copy = twin.table.add(table.allowedMask(destination));
  const words = new Int32Array(4);
  const address = new DataView(ends.dst.buffer, ends.dst.byteOffset, ends.dst.byteLength);
  for (let i = 0; i < ends.dst.length; i += 4) words[i >> 2] = address.getInt32(i);
  twin.prefixes.insert(ends.dst.length === 4 ? 4 : 6, words, ends.dst.length * 8, copy);
  const up = table.upMask(destination);
  for (let slot = 0; slot < table.routeCount; slot++) {
    if (((up >>> slot) & 1) === 0) twin.table.setDestinationRouteUp(copy, slot, false);
  }
  const suspended = core.failures.suspensions.maskOf(destination);
  for (let slot = 0; suspended >>> slot !== 0; slot++) {
    if (((suspended >>> slot) & 1) === 1) twin.failures.suspensions.begin(copy, slot);
  }
  twin.table.copyShares(table, destination, copy);
  twin.limiter.copyBuckets(core.limiter, destination, copy);
  const [h1, h2] = flowHashOf(core, ends);
  const { memory } = core;
  const entry = memory.find(h1, h2, nowNs);
  if (entry >= 0)
    twin.memory.put(h1, h2, memory.stateOf(entry), memory.slotOf(entry), memory.triedOf(entry), nowNs);
  return twin;
}

function buildPacket(
  core: GatewayCore,
  { dst, dstPort, protocol, src, srcPort }: FlowEnds,
  codepoint: number,
  pathId: number,
): { readonly view: DataView; readonly bytes: number } {
  const view = new DataView(new ArrayBuffer(MAX_PACKET_BYTES));
  const dscp = codepoint === CODEPOINT_NOT_LECT ? 0 : core.encodeTable[codepoint | (pathId << 2)];
  const transport = protocol === PROTOCOL_TCP ? tcp.TCP_MIN_HEADER_LENGTH : udp.UDP_HEADER_LENGTH;
  const header =
    src.length === 4
      ? ipv4.writeIpv4Header(view, 0, { totalLength: 20 + transport, protocol, src, dst, dscp })
      : ipv6.writeIpv6Header(view, 0, { payloadLength: transport, nextHeader: protocol, src, dst, dscp });
  if (protocol === PROTOCOL_TCP) tcp.writeTcpHeader(view, header, { srcPort, dstPort, flags: TCP_ACK });
  else udp.writeUdpHeader(view, header, { srcPort, dstPort, length: transport });
  return { view, bytes: header + transport };
}
