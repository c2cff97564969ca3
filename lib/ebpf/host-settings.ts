/** From the options of the host to `struct lex_settings` of the host programs. Pure. */
import { invalidOption } from '../errors.ts';
import { IDLE_CLASS_CLOSED, IDLE_CLASS_DATAGRAM, IDLE_CLASS_OPEN } from '../lex/flow-state.ts';
import type { LexSettings } from '../lex/options.ts';
import { parseAddress } from '../wire/addr.ts';
import type { StructLayout } from './btf.ts';
import { StructView } from './btf.ts';

/** What the programs have to know beside the host rules. */
export interface ServedTraffic {
  /** Addresses of this host; undefined: the packets of all addresses. */
  readonly addresses: readonly string[] | undefined;
  /** Bytes in front of the IP header: 14 on Ethernet, 0 on a TUN. */
  readonly linkHeaderBytes: number;
}

/**
 * The bytes of the settings.
 *
 * @param layout - of struct lex_settings
 * @throws PreflexError ERR_INVALID_OPTION for options that the programs do not have
 */
export function encodeHostSettings(
  layout: StructLayout,
  lex: LexSettings,
  { addresses, linkHeaderBytes }: ServedTraffic,
): Uint8Array {
  if (lex.hostDriven) {
    throw invalidOption(
      'hostDriven',
      true,
      'false with the eBPF datapath, which chooses no path itself; use datapath tun',
    );
  }
  const view = new StructView(layout);
  // Times in the kernel are whole ns, for which "longer than 1.5" is "longer than 1".
  view.write('flowlet_gap_ns', Math.floor(lex.flowletGapNs));
  view.write('idle_limits_ns', Math.floor(lex.idleLimitNs), IDLE_CLASS_OPEN);
  view.write('idle_limits_ns', Math.floor(lex.closedLimitNs), IDLE_CLASS_CLOSED);
  view.write('idle_limits_ns', Math.floor(lex.datagramLimitNs), IDLE_CLASS_DATAGRAM);
  view.write('fne_after_timeouts', lex.fneAfterTimeouts);
  view.write('keeps_path', lex.keepPathWithoutAnswer ? 1 : 0);
  view.write('link_header_bytes', linkHeaderBytes);
  view.write('serves_all', addresses === undefined ? 1 : 0);
  for (const address of addresses ?? []) {
    const bytes = parseAddress(address, 'addresses');
    if (view.read(bytes.length === 4 ? 'serves_ipv4' : 'serves_ipv6') === 1)
      throw invalidOption('addresses', addresses, 'one IPv4 address, one IPv6 address, or one of each');
    const words = new DataView(bytes.buffer, bytes.byteOffset, bytes.byteLength);
    if (bytes.length === 4) {
      view.write('serves_ipv4', 1);
      view.write('ipv4_address', words.getInt32(0));
    } else {
      view.write('serves_ipv6', 1);
      for (let i = 0; i < 4; i++) view.write('ipv6_address', words.getInt32(4 * i), i);
    }
  }
  const { scheme } = lex;
  view.write('max_path_id', scheme.maxPathId);
  view.write('assignment_codepoint', scheme.assignmentCodepoint);
  for (let i = 0; i < 64; i++) {
    view.write('decode_table', scheme.decodeTable[i], i);
    view.write('encode_table', scheme.encodeTable[i], i);
  }
  return view.bytes;
}
