/** Options to settings of the programs, counters of the programs to counters of the host. */
import { expect, it } from 'vitest';
import { StructView } from '../../lib/ebpf/btf.ts';
import { decodeHostCounters } from '../../lib/ebpf/host-counters.ts';
import { encodeHostSettings } from '../../lib/ebpf/host-settings.ts';
import { loadObjectSpec } from '../../lib/ebpf/object-file.ts';
import { perCpuStride } from '../../lib/ebpf/object-spec.ts';
import { EXCLUSION_FNE_REPEAT } from '../../lib/lex/counters.ts';
import { lexSettings } from '../../lib/lex/options.ts';
import { REASON_LEX_RETRANSMISSION } from '../../lib/lex/reasons.ts';
import { full } from '../../lib/wire/marking/full.ts';
import { describeObject } from '../support/ebpf.ts';

const ETHERNET = { addresses: undefined, linkHeaderBytes: 14 };
const layoutOf = (name: string) => loadObjectSpec('host').btf.structLayout(name);

describeObject('settings of the host programs', () => {
  it('carry the options and the tables of the scheme', () => {
    const lex = lexSettings({
      scheme: 'full',
      flowletGapNs: 1.5e6 + 0.5,
      fneAfterTimeouts: 3,
      keepPathWithoutAnswer: false,
    });
    const layout = layoutOf('lex_settings');
    const view = new StructView(layout, encodeHostSettings(layout, lex, ETHERNET));
    expect(view.read('flowlet_gap_ns')).toBe(1.5e6);
    expect(view.readAll('idle_limits_ns')).toEqual([600e9, 60e9, 180e9]);
    expect(view.read('fne_after_timeouts')).toBe(3);
    expect(view.read('keeps_path')).toBe(0);
    expect(view.read('link_header_bytes')).toBe(14);
    expect(view.read('serves_all')).toBe(1);
    expect(view.readAll('encode_table')).toEqual([...full.encodeTable]);
    expect(view.readAll('decode_table')).toEqual([...full.decodeTable]);
  });

  it('carry the addresses that are served', () => {
    const layout = layoutOf('lex_settings');
    const served = { addresses: ['192.0.2.1', '2001:db8::5'], linkHeaderBytes: 0 };
    const view = new StructView(layout, encodeHostSettings(layout, lexSettings({}), served));
    expect([view.read('serves_all'), view.read('serves_ipv4'), view.read('serves_ipv6')]).toEqual([0, 1, 1]);
    expect(view.read('ipv4_address')).toBe(0xc0000201);
    expect(view.readAll('ipv6_address')).toEqual([0x20010db8, 0, 0, 5]);
  });

  it.each([
    ['192.0.2.1', '192.0.2.2'],
    ['2001:db8::5', '192.0.2.1', '2001:db8::6'],
  ])('refuse a second address of an IP version: %s, %s', (...addresses) => {
    const served = { addresses, linkHeaderBytes: 14 };
    expect(() => encodeHostSettings(layoutOf('lex_settings'), lexSettings({}), served)).toThrow(
      /addresses: .* is not allowed; it takes one IPv4 address, one IPv6 address, or one of each/,
    );
  });

  it('refuse a host that chooses paths itself', () => {
    const lex = lexSettings({ hostDriven: true });
    expect(() => encodeHostSettings(layoutOf('lex_settings'), lex, ETHERNET)).toThrow(
      /hostDriven: true is not allowed; it takes false with the eBPF datapath/,
    );
  });
});

describeObject('counters of the host programs', () => {
  it('are summed over the processors', () => {
    const layout = layoutOf('lex_counters');
    const stride = perCpuStride(layout.size);
    const bytes = new Uint8Array(2 * stride);
    for (const processor of [0, 1]) {
      const view = new StructView(layout, bytes.subarray(processor * stride, (processor + 1) * stride));
      view.write('out_packets', 5 + processor, REASON_LEX_RETRANSMISSION);
      view.write('excluded_bytes', 100, EXCLUSION_FNE_REPEAT);
      view.write('lex_payload_bytes', 2 ** 40);
      view.write('flows_made', 3);
    }
    const { lex, flows } = decodeHostCounters(layout, bytes);
    expect(lex.outPackets[REASON_LEX_RETRANSMISSION]).toBe(11);
    expect(lex.excludedBytes[EXCLUSION_FNE_REPEAT]).toBe(200);
    expect(lex.lexPayloadBytes).toBe(2 ** 41);
    expect(flows).toEqual({ made: 6, expired: 0, refused: 0 });
  });
});
