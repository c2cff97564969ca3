/** Options to settings of the gateway programs, counters of the programs to counters of the gateway. */
import { expect, it } from 'vitest';
import { StructView } from '../../lib/ebpf/btf.ts';
import { decodeGatewayCounters } from '../../lib/ebpf/gateway-counters.ts';
import { DEFAULT_MARK_MASK, encodeGatewaySettings, markShift } from '../../lib/ebpf/gateway-settings.ts';
import { loadObjectSpec } from '../../lib/ebpf/object-file.ts';
import { MAP_TYPE_RINGBUF, mapSpec, perCpuStride } from '../../lib/ebpf/object-spec.ts';
import type { GatewayOptions } from '../../lib/pref/gateway-options.ts';
import { checkGatewayOptions } from '../../lib/pref/gateway-options.ts';
import { EVENT_ANSWER, OUT_PATH_ID } from '../../lib/pref/reasons.ts';
import { pool2 } from '../../lib/wire/marking/pool2.ts';
import { describeObject } from '../support/ebpf.ts';

const ROUTES = [
  { pathId: 5, name: 'a' },
  { pathId: 2, name: 'b' },
];
const TRAFFIC = { markMask: DEFAULT_MARK_MASK };
const layoutOf = (name: string) => loadObjectSpec('gateway').btf.structLayout(name);

function settingsOf(options: Partial<GatewayOptions>): StructView {
  const layout = layoutOf('pref_settings');
  const gateway = checkGatewayOptions({ routes: ROUTES, ...options });
  return new StructView(layout, encodeGatewaySettings(layout, gateway, TRAFFIC));
}

describeObject('settings of the gateway programs', () => {
  it('carry the routes by slot and by path ID, and the tables of the scheme', () => {
    const view = settingsOf({});
    expect(view.read('route_count')).toBe(2);
    expect(view.readAll('path_id_of').slice(0, 3)).toEqual([5, 2, 0]);
    expect([5, 2, 1].map((pathId) => view.read('slot_of', pathId))).toEqual([0, 1, 255]);
    expect(view.readAll('encode_table')).toEqual([...pool2.encodeTable]);
    expect(view.readAll('decode_table')).toEqual([...pool2.decodeTable]);
    expect(view.read('assignment_codepoint')).toBe(pool2.assignmentCodepoint);
  });

  it('carry limits as whole tokens, without limit as none', () => {
    const view = settingsOf({ fneRatePerDestination: 3, fneBurstPerDestination: 5, fneRateTotal: Infinity });
    expect([view.read('token_ns'), view.read('ahead_ns')]).toEqual([333_333_333, 4 * 333_333_333]);
    expect([view.read('total_token_ns'), view.read('total_ahead_ns')]).toEqual([0, 0]);
  });

  it('carry what is inferred, exposed and remembered', () => {
    const view = settingsOf({
      inferFromSyn: false,
      inferFailures: false,
      notLect: 'default',
      exposeTo: [0, 2],
      fneMemoryEntries: 64,
      fneMemoryLifetimeNs: 1_500_000,
    });
    expect(['infers_from_syn', 'infers_from_answer', 'is_watching', 'hashes_not_lect'].map((name) => view.read(name)))
      .toEqual([0, 1, 0, 0]); // prettier-ignore
    expect([0, 1, 2, 5].map((pathId) => view.read('is_exposed', pathId))).toEqual([1, 0, 1, 0]);
    expect([view.read('memory_set_mask'), view.read('memory_lifetime_ms')]).toEqual([15, 2]);
  });

  it('carry the tables of routes whose packets the programs send, and until when: for ever if nothing is said', () => {
    const layout = layoutOf('pref_settings');
    const gateway = checkGatewayOptions({ routes: ROUTES });
    const redirectTables = new Map([
      [5, 7210],
      [2, 70_000],
    ]);
    const settings = (redirectUntilNs?: number): StructView =>
      new StructView(
        layout,
        encodeGatewaySettings(layout, gateway, { ...TRAFFIC, redirectTables, redirectUntilNs }),
      );
    expect([5, 2, 1, 0].map((pathId) => settings().read('redirect_table_of', pathId))).toEqual([
      7210, 70_000, 0, 0,
    ]);
    expect(settings().read('redirect_until_ns')).toBe(2 ** 62);
    expect(settings(0).read('redirect_until_ns')).toBe(0);
    expect(settings(123_456_789_000).read('redirect_until_ns')).toBe(123_456_789_000);
  });

  it('tell by path ID which of these tables the gateway alone fills', () => {
    const layout = layoutOf('pref_settings');
    const gateway = checkGatewayOptions({ routes: ROUTES });
    const traffic = { ...TRAFFIC, ownTables: new Set([5]) };
    const view = new StructView(layout, encodeGatewaySettings(layout, gateway, traffic));
    expect([5, 2, 1].map((pathId) => view.read('has_own_table', pathId))).toEqual([1, 0, 0]);
  });

  it('refuse a route with NAT', () => {
    const nat = [{ pathId: 1, name: 'isp', nat: true }];
    expect(() => settingsOf({ routes: nat })).toThrow(/nat: "isp" is not allowed; it takes no route/);
  });

  it('find the path ID in the mark, and refuse a mask that cannot hold it', () => {
    expect(markShift(DEFAULT_MARK_MASK, 15)).toBe(24);
    expect(markShift(0xf0000000, 15)).toBe(28);
    for (const [mask, largest] of [
      [0, 1],
      [0x7, 8],
      [0x5, 1],
    ])
      expect(() => markShift(mask, largest)).toThrow(/markMask/);
  });
});

describeObject('the spec of gateway.bpf.o', () => {
  it('names the programs, those of the datapath and their twins with a clock of their own', () => {
    const names = loadObjectSpec('gateway').programs.map(({ name }) => name);
    expect(names.sort()).toEqual(['pref_inbound', 'pref_inbound_at', 'pref_outbound', 'pref_outbound_at']);
  });

  it('says that its license is GPL-compatible, for the look-up of next hops', () => {
    expect(loadObjectSpec('gateway').license).toBe('Dual MIT/GPL');
  });

  it('has a ring buffer, which has neither keys nor values', () => {
    const reports = mapSpec(loadObjectSpec('gateway'), 'reports');
    expect([reports.type, reports.key.size, reports.value.size]).toEqual([MAP_TYPE_RINGBUF, 0, 0]);
  });
});

describeObject('counters of the gateway programs', () => {
  it('are summed over the processors', () => {
    const layout = layoutOf('pref_counters');
    const stride = perCpuStride(layout.size);
    const bytes = new Uint8Array(2 * stride);
    for (const processor of [0, 1]) {
      const view = new StructView(layout, bytes.subarray(processor * stride, (processor + 1) * stride));
      view.write('packets', 5 + processor, OUT_PATH_ID);
      view.write('events', 2, EVENT_ANSWER);
      view.write('inbound_bytes', 2 ** 40, 3);
      view.write('unrouted_lex_marked_bytes', 7);
      view.write('reports_lost', 1);
    }
    const { pref, reportsLost } = decodeGatewayCounters(layout, bytes);
    expect(pref.packets[OUT_PATH_ID]).toBe(11);
    expect(pref.answers).toBe(4);
    expect(pref.inboundBytes[3]).toBe(2 ** 41);
    expect(pref.unroutedLexMarkedBytes[0]).toBe(14);
    expect(reportsLost).toBe(2);
  });
});
