/** One truth: the gateway core and the gateway programs agree, without any device. */
import { afterAll, beforeAll, beforeEach, expect, it, vi } from 'vitest';
import { StructView } from '../../lib/ebpf/btf.ts';
import { GatewayPrograms } from '../../lib/ebpf/gateway-programs.ts';
import { DEFAULT_MARK_MASK } from '../../lib/ebpf/gateway-settings.ts';
import { ETHERNET_BYTES } from '../../lib/ebpf/verify/packet-writer.ts';
import { TwinRepeats } from '../../lib/ebpf/verify/twin-repeats.ts';
import { GatewayVerifier } from '../../lib/ebpf/verify/gateway-verifier.ts';
import { verifyGateway } from '../../lib/ebpf/verify/verify-gateway.ts';
import { checkGatewayOptions } from '../../lib/pref/gateway-options.ts';
import { METER_BYTES, METER_FIELDS, METER_FLOWLETS } from '../../lib/pref/meter.ts';
import {
  IN_ASSIGNED_PLACED,
  IN_NOT_IP,
  OUT_NO_DESTINATION,
  OUT_PLACED,
  OUT_PLACED_DOWN,
  REASON_NAMES,
} from '../../lib/pref/reasons.ts';
import { WEIGHT_SCALE } from '../../lib/pref/route-table.ts';
import { TestRun } from '../../lib/sys/bpf.ts';
import { clockOriginNs, nowNs } from '../../lib/sys/clock.ts';
import { parsePrefix } from '../../lib/wire/addr.ts';
import { dscpOf } from '../support/one-host.ts';
import { buildTcp, buildUdp } from '../support/packets.ts';
import { describeNetns } from '../support/netns.ts';

const ROUTES = [
  { pathId: 1, name: 'a' },
  { pathId: 2, name: 'b' },
];
const DSCP_FNE = 7;
/** LECT on path 6. */
const UNKNOWN_PATH = 51;
const SYN = 2;

describeNetns('the gateway programs and the gateway core', () => {
  it('agree on routes, reasons, bytes, counters, meters and credits of generated sequences, in which every reason occurs', () => {
    const result = verifyGateway({ sequences: 2400, seed: 7_000_000 });
    expect(result.mismatches).toEqual([]);
    expect(result.sequences).toBe(2400);
    // Those of routes with NAT there are not.
    const without = [OUT_PLACED, OUT_PLACED_DOWN, IN_ASSIGNED_PLACED];
    expect(Object.keys(result.reasons)).toEqual(REASON_NAMES.filter((_, i) => !without.includes(i)));
  });

  it('agree on the flowlets of flows whose acknowledged data came again, of which there are many', () => {
    const handled = vi.spyOn(GatewayVerifier.prototype, 'handle');
    const asked = vi.spyOn(TwinRepeats.prototype, 'repeatedMask');
    try {
      expect(verifyGateway({ sequences: 800, seed: 7_100_000 }).mismatches).toEqual([]);
      // Calls are numbered in order: a question belongs to the packet handed over last before it.
      const steps = handled.mock.invocationCallOrder.map(
        (order, i) => [order, handled.mock.calls[i][0]] as const,
      );
      const repeated = { inbound: 0, outbound: 0 };
      let step = 0;
      for (const [i, order] of asked.mock.invocationCallOrder.entries()) {
        while (step + 1 < steps.length && steps[step + 1][0] < order) step++;
        if (asked.mock.results[i].value !== 0) repeated[steps[step][1].isOutbound ? 'outbound' : 'inbound']++;
      }
      expect(repeated.outbound).toBeGreaterThan(50);
      expect(repeated.inbound).toBeGreaterThan(50);
    } finally {
      handled.mockRestore();
      asked.mockRestore();
    }
  });

  it('choose alike by ratio for 10,000 flows', () => {
    const verifier = new GatewayVerifier();
    try {
      const pathIds = [1, 2, 3, 4, 5];
      const routes = pathIds.map((pathId) => ({ pathId, name: `r${pathId}` }));
      verifier.restart({ routes }, [{ prefixes: ['10.0.1.0/24'], pathIds }]);
      verifier.core.table.setRatios(0, Float64Array.of(0.31, 0.29, 0.2, 0.15, 0.05));
      verifier.sync(0);
      const outcomes = new Set<number | string>();
      for (let srcPort = 0; srcPort < 10_000; srcPort++) {
        const packet = buildTcp({ srcPort, dscp: UNKNOWN_PATH });
        verifier.writer.bytes.set(packet, ETHERNET_BYTES);
        outcomes.add(verifier.handle({ isOutbound: true, length: packet.length, nowNs: 1e9, gsoSize: 0 }));
      }
      expect([...outcomes]).toEqual([REASON_NAMES.indexOf('outUnknownPathId')]);
    } finally {
      verifier.close();
    }
  });

  it.each(['memory', 'weights', 'credits'] as const)('are found to differ in their %s', (what) => {
    const verifier = new GatewayVerifier();
    try {
      verifier.restart({ routes: ROUTES }, [{ prefixes: ['10.0.1.0/24'], pathIds: [1, 2] }]);
      const send = (srcPort: number): number | string => {
        const packet = buildTcp({ srcPort, tcpFlags: SYN, dscp: DSCP_FNE });
        verifier.writer.bytes.set(packet, ETHERNET_BYTES);
        return verifier.handle({ isOutbound: true, length: packet.length, nowNs: 1e9, gsoSize: 0 });
      };
      expect(send(1)).toBe(REASON_NAMES.indexOf('outFneDrawn'));
      expect(verifier.compareBooks()).toBeUndefined();
      if (what === 'memory') {
        verifier.core.memory.remove(verifier.core.memory.find(...verifier.detector.lastFlow!, 1e9));
        expect(send(1)).toMatch(
          /^outFneRepeated of path \d in the kernel, outFneDrawn of path \d in TypeScript/,
        );
      } else if (what === 'weights') {
        verifier.core.table.setRatios(0, Float64Array.of(0.99, 0.01));
        expect(Array.from({ length: 10 }, (_, i) => send(2 + i)).join()).toMatch(/path 2 in the kernel/);
      } else {
        verifier.programs.resetDestination(0, [5, -5]);
        expect(verifier.compareBooks()).toMatch(/^meter 0 of 0\/[01]: 0 in the kernel/);
        verifier.programs.forget();
      }
    } finally {
      verifier.close();
    }
  });
});

describeNetns('a gateway program', () => {
  const gateway = checkGatewayOptions({ routes: ROUTES, inferFailures: false });
  let programs: GatewayPrograms;
  let run: TestRun;
  let context: StructView;
  let result: StructView;
  beforeAll(() => {
    programs = new GatewayPrograms({
      purpose: 'datapath',
      gateway,
      traffic: { markMask: DEFAULT_MARK_MASK },
      destinations: 4,
    });
    const layout = programs.spec.btf.structLayout('__sk_buff');
    run = new TestRun('outbound', programs.programFd('outbound'), layout.size);
    context = new StructView(layout, run.context);
    result = new StructView(layout, run.contextResult);
    // Test runs say that they come in by the loopback device.
    programs.setDevice(1, { linkHeaderBytes: ETHERNET_BYTES, pathId: 0, isInside: true });
    programs.setInside(parsePrefix('10.0.0.0/24'), 'domain');
    programs.setInside(parsePrefix('10.0.1.254/32'), 'gateway');
  });
  beforeEach(() => {
    programs.forget();
    programs.setPrefix(parsePrefix('10.0.1.0/24'), 0);
    programs.publishPrefixes();
    programs.resetDestination(0, [0, 0]);
    programs.setDestination(0, {
      allowedMask: 3,
      upMask: 3,
      suspendedMask: 0,
      weights: [0.9 * WEIGHT_SCALE, 0.1 * WEIGHT_SCALE],
    });
    context.write('mark', 0);
    context.write('gso_size', 0);
  });
  afterAll(() => {
    programs.close();
  });

  const send = (packet: Uint8Array): number => {
    run.packet.fill(0, 0, ETHERNET_BYTES);
    run.packet.set(packet[0] >> 4 === 4 ? [0x08, 0x00] : [0x86, 0xdd], ETHERNET_BYTES - 2);
    run.packet.set(packet, ETHERNET_BYTES);
    run.run(ETHERNET_BYTES + packet.length);
    return result.read('mark') >>> 24;
  };

  it('spreads flowlets by the weights, never off by more than one', () => {
    const paths = Array.from({ length: 40 }, (_, i) =>
      send(buildTcp({ srcPort: i + 1, tcpFlags: SYN, dscp: DSCP_FNE })),
    );
    for (const [i] of paths.entries()) {
      const seconds = paths.slice(0, i + 1).filter((path) => path === 2).length;
      expect(Math.abs(seconds - (i + 1) / 10)).toBeLessThanOrEqual(1);
    }
    const meters = programs.readMeters(1);
    expect([meters[METER_FLOWLETS], meters[METER_FIELDS + METER_FLOWLETS]]).toEqual([36, 4]);
  });

  it('keeps the bits of the mark that are not its own, and takes the mask and nothing else', () => {
    context.write('mark', 0xc5abcdef | 0);
    send(buildTcp({ tcpFlags: SYN, dscp: DSCP_FNE }));
    expect(result.read('mark')).toBe(0xc1abcdef);
  });

  it('clears the mark of a packet without destination, and the path ID of its DSCP', () => {
    context.write('mark', 0x01000000);
    expect(send(buildUdp({ dst: '10.9.0.1', dscp: 8 + 3 }))).toBe(0);
    expect(dscpOf(run.result.subarray(ETHERNET_BYTES))).toBe(0);
    expect(programs.counters().pref.packets[OUT_NO_DESTINATION]).toBe(1);
  });

  it('leaves alone and does not count what stays inside, is for the gateway, or for a group', () => {
    for (const dst of ['10.0.0.7', '10.0.1.254', '224.0.0.5', '255.255.255.255']) {
      const packet = buildUdp({ dst, dscp: 8 + 3 });
      expect(send(packet), dst).toBe(0);
      expect(run.result.subarray(ETHERNET_BYTES, ETHERNET_BYTES + packet.length)).toEqual(packet);
    }
    expect(programs.counters().pref.outboundPackets).toBe(0);
  });

  it('does not meet frames that hold no IP packet', () => {
    run.packet.fill(0, 0, 60);
    run.packet.set([0x08, 0x06], ETHERNET_BYTES - 2);
    run.run(60);
    expect(programs.counters().pref.packets[IN_NOT_IP]).toBe(0);
    expect(programs.counters().pref.outboundPackets).toBe(0);
  });

  it('counts a super-packet as what goes on the wire, each segment with its headers', () => {
    context.write('gso_size', 1000);
    send(buildTcp({ dscp: 8 + 3, payloadLength: 2500 }));
    expect(programs.readMeters(1)[METER_BYTES]).toBe(2500 + 3 * 40);
  });

  it('counts what a packet says, not the padding of its frame', () => {
    const packet = buildTcp({ dscp: 8 + 3 });
    run.packet.fill(0);
    run.packet.set([0x08, 0x00], ETHERNET_BYTES - 2);
    run.packet.set(packet, ETHERNET_BYTES);
    run.run(60 + ETHERNET_BYTES);
    expect(programs.readMeters(1)[METER_BYTES]).toBe(packet.length);
  });

  it('uses suspended routes as before when nothing else is up', () => {
    const weights = [0.5 * WEIGHT_SCALE, 0.5 * WEIGHT_SCALE];
    programs.setDestination(0, { allowedMask: 3, upMask: 3, suspendedMask: 1, weights });
    expect(send(buildTcp({ dscp: 8 + 3 }))).toBe(2);
    programs.setDestination(0, { allowedMask: 3, upMask: 1, suspendedMask: 1, weights });
    expect(send(buildTcp({ dscp: 8 + 3 }))).toBe(1);
  });

  it.each([
    ['a moment', 1, 2],
    ['thirty days', 30 * 86_400, 1],
  ])(
    'lets flows that run probe a suspended route once connections in trouble have left it: %s after',
    (_, agoSeconds, path) => {
      const watching = checkGatewayOptions({ routes: ROUTES });
      const suspendedAtNs = nowNs() + clockOriginNs - agoSeconds * 1e9;
      programs.configure(watching, { markMask: DEFAULT_MARK_MASK, suspendedAtNs });
      programs.setDestination(0, {
        allowedMask: 3,
        upMask: 3,
        suspendedMask: 1,
        weights: [0.9 * WEIGHT_SCALE, 0.1 * WEIGHT_SCALE],
      });
      expect(send(buildTcp({ dscp: DSCP_FNE }))).toBe(path);
      programs.configure(gateway, { markMask: DEFAULT_MARK_MASK });
    },
  );

  it('takes a route away from all destinations at once', () => {
    programs.configure(gateway, { markMask: DEFAULT_MARK_MASK, upMask: 0b10 });
    expect(send(buildTcp({ dscp: 8 + 3 }))).toBe(2);
    programs.configure(gateway, { markMask: DEFAULT_MARK_MASK });
    expect(send(buildTcp({ dscp: 8 + 3 }))).toBe(1);
  });
});
