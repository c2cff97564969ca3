import { describe, expect, test } from 'vitest';
import type { PrefGateway } from '../../lib/pref/gateway.ts';
import { bytesAllocatedPerCall } from '../support/allocation.ts';
import { buildTcp } from '../support/packets.ts';
import { FNE, LECT, gatewayWithRoutes, lectOn, lexOn, tcpIn, tcpOut } from './gateway-fixture.ts';

const SLOT = 128;
const CALLS = 400_000;

/** Packets side by side in one buffer; the ports are rewritten before every call so that flows differ. */
function bufferOf(packets: Uint8Array[]): { view: DataView; restore: (i: number) => number } {
  const bytes = new Uint8Array(packets.length * SLOT);
  const view = new DataView(bytes.buffer);
  const dscpByte = packets.map((packet) => packet[1]);
  for (const [i, packet] of packets.entries()) bytes.set(packet, i * SLOT);
  return {
    view,
    restore: (call) => {
      const i = call % packets.length;
      view.setUint8(i * SLOT + 1, dscpByte[i]);
      view.setUint32(i * SLOT + 20, Math.imul(call, 0x9e3779b1) >>> 0);
      return i * SLOT;
    },
  };
}

let nowNs = 0.5;

/**
 * As in the packet loop, one clock reading serves many packets; a time of its own for each would be allocated
 * here.
 */
function timeOf(call: number): number {
  if ((call & 1023) === 0) nowNs += 1_024_000;
  return nowNs;
}

function manyDestinations(): PrefGateway {
  const gateway = gatewayWithRoutes({ fneRatePerDestination: Infinity, fneRateTotal: Infinity });
  for (let i = 0; i < 1000; i++) gateway.addDestination([`100.64.${i >> 2}.${(i & 3) * 64}/26`], [1, 2, 3]);
  gateway.addDestination(['2001:db8::/32'], [1, 2, 3]);
  return gateway;
}

const dscps = [0, LECT, FNE, lectOn(1), lectOn(2), lexOn(3), lectOn(6), 46];

describe('the packet path allocates nothing', () => {
  test('outbound', () => {
    const gateway = manyDestinations();
    const { view, restore } = bufferOf([
      ...dscps.map((dscp) => tcpOut({ dscp })),
      ...dscps.map((dscp, i) => tcpOut({ dscp, dst: `100.64.3.${i * 30}` })),
    ]);
    const bytes = bytesAllocatedPerCall((call) => {
      gateway.handleOutbound(view, restore(call), 40, timeOf(call), 0);
    }, CALLS);
    expect(bytes).toBeLessThan(1);
    expect(gateway.counters.byName()['outFneDrawn']).toBeGreaterThan(0);
  });

  test('inbound', () => {
    const gateway = manyDestinations();
    const { view, restore } = bufferOf([
      ...dscps.map((dscp) => tcpIn({ dscp })),
      ...dscps.map((dscp, i) => tcpIn({ dscp, src: `100.64.3.${i * 30}`, tcpFlags: 2 })),
    ]);
    const bytes = bytesAllocatedPerCall((call) => {
      gateway.handleInbound(view, restore(call), 40, timeOf(call), 1, 0);
    }, CALLS);
    expect(bytes).toBeLessThan(1);
    expect(gateway.counters.byName()['inAssignedSyn']).toBeGreaterThan(0);
  });

  test('in IPv6, either way', () => {
    const gateway = manyDestinations();
    const fields = { src: 'fd00::1', dst: '2001:db8::1' };
    const packets = dscps.map((dscp) => buildTcp({ ...fields, dscp }));
    const bytes = new Uint8Array(packets.length * SLOT);
    for (const [i, packet] of packets.entries()) bytes.set(packet, i * SLOT);
    const view = new DataView(bytes.buffer);
    const allocated = bytesAllocatedPerCall((call) => {
      const at = (call % packets.length) * SLOT;
      view.setUint16(at, view.getUint16(at) | 0x01c0);
      view.setUint32(at + 40, call);
      gateway.handleOutbound(view, at, 60, timeOf(call), 0);
      gateway.handleInbound(view, at, 60, timeOf(call), 1, 0);
    }, CALLS);
    expect(allocated).toBeLessThan(1);
    expect(gateway.counters.inboundPackets).toBeGreaterThan(0);
  });
});
