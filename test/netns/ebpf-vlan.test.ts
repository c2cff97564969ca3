/**
 * Frames with a VLAN tag on the gateway's devices: they belong to the VLAN's own device, where the gateway may have a
 * program as well, for which this one must leave them as they are.
 *
 *   port h0 ----- p0 [ pref_outbound ]      [ pref_inbound ] w0 ----- port u0
 */
import { execFileSync } from 'node:child_process';
import { afterAll, beforeAll, beforeEach, expect, it } from 'vitest';
import { GatewayPrograms } from '../../lib/ebpf/gateway-programs.ts';
import { DEFAULT_MARK_MASK } from '../../lib/ebpf/gateway-settings.ts';
import { ETHERNET_BYTES } from '../../lib/ebpf/verify/packet-writer.ts';
import { waitFor } from '../../lib/netns/index.ts';
import { checkGatewayOptions } from '../../lib/pref/gateway-options.ts';
import { WEIGHT_SCALE } from '../../lib/pref/route-table.ts';
import { createTcxLink } from '../../lib/sys/bpf.ts';
import { Fd } from '../../lib/sys/fd.ts';
import { interfaceIndex } from '../../lib/sys/interface.ts';
import { parsePrefix } from '../../lib/wire/addr.ts';
import { FramePort } from '../support/frame-port.ts';
import { describeNetns } from '../support/netns.ts';
import { buildTcp } from '../support/packets.ts';
import { enterForwardingNamespace } from '../support/tun-pair.ts';

const PATH = 1;
/** Of the ends that are written to, and of those with the programs. */
const [FROM, TO] = [
  [2, 0, 0, 0, 0, 1],
  [2, 0, 0, 0, 0, 2],
];
const INSIDE = { src: '10.98.0.7', dst: '20.0.0.1' };
const SYN = 2;
const DIRECTIONS = [
  { what: 'inside', port: 'h0', device: 'p0', program: 'outbound', ends: INSIDE },
  {
    what: "route's",
    port: 'u0',
    device: 'w0',
    program: 'inbound',
    ends: { src: INSIDE.dst, dst: INSIDE.src },
  },
] as const;

describeNetns('a gateway program', () => {
  let programs: GatewayPrograms;
  const links: (Fd | number)[] = [];
  const ports = new Map<string, FramePort>();

  beforeAll(() => {
    enterForwardingNamespace();
    programs = new GatewayPrograms({
      purpose: 'datapath',
      gateway: checkGatewayOptions({ routes: [{ name: 'a', pathId: PATH }], inferFailures: false }),
      traffic: { markMask: DEFAULT_MARK_MASK },
      destinations: 1,
    });
    programs.resetDestination(0, [0]);
    programs.setDestination(0, { allowedMask: 1, upMask: 1, suspendedMask: 0, weights: [WEIGHT_SCALE] });
    programs.setPrefix(parsePrefix('20.0.0.0/8'), 0);
    programs.setInside(parsePrefix('10.98.0.0/24'), 'domain');
    programs.publishPrefixes();
    for (const { device, port, program } of DIRECTIONS) {
      execFileSync('ip', ['link', 'add', port, 'type', 'veth', 'peer', 'name', device]);
      for (const [name, address] of [
        [port, FROM],
        [device, TO],
      ] as const) {
        const text = address.map((byte) => byte.toString(16)).join(':');
        execFileSync('ip', ['link', 'set', name, 'address', text, 'up']);
      }
      ports.set(port, new FramePort(port));
      const ifindex = interfaceIndex(device);
      const isInside = program === 'outbound';
      programs.setDevice(ifindex, {
        linkHeaderBytes: ETHERNET_BYTES,
        pathId: isInside ? 0 : PATH,
        isInside,
      });
      links.push(createTcxLink(programs.programFd(program), ifindex, 'ingress'));
    }
  });
  beforeEach(() => {
    programs.forget();
    programs.setPrefix(parsePrefix('20.0.0.0/8'), 0);
    programs.publishPrefixes();
  });
  afterAll(() => {
    for (const link of links) if (link instanceof Fd) link.close();
    programs.close();
    for (const port of ports.values()) port.close();
  });

  const frame = (packet: Uint8Array, ...tag: readonly number[]): Uint8Array =>
    Uint8Array.of(...TO, ...FROM, ...tag, 0x08, 0x00, ...packet);
  /** Of priority 3. */
  const tagOf = (vlan: number): number[] => [0x81, 0x00, 0x60 | (vlan >> 8), vlan & 0xff];

  it.each(DIRECTIONS)(
    'leaves what a VLAN on top of the $what device carries alone, and does not count it',
    async ({ ends, port, program }) => {
      const seen = (): number => {
        const { inboundPackets, outboundPackets } = programs.counters().pref;
        return program === 'outbound' ? outboundPackets : inboundPackets;
      };
      const packet = buildTcp({ ...ends, tcpFlags: SYN });
      for (const vlan of [5, 4094]) ports.get(port)!.send(frame(packet, ...tagOf(vlan)));
      // No VLAN has the number 0, which tells of the priority alone: such a frame is the device's own.
      for (const tag of [tagOf(0), []]) ports.get(port)!.send(frame(packet, ...tag));
      await waitFor('the packets of the device itself', () => (seen() >= 2 ? true : undefined));
      expect(seen()).toBe(2);
    },
  );
});
