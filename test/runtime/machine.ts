/** A machine's state, made by hand, for tests of plans. */
import type { Link, Route, Rule } from '../../lib/netns/index.ts';
import type { MachineState } from '../../lib/runtime/machine-state.ts';

/** A device that is up. */
const link = (name: string, more: Partial<Link> = {}): Link => ({
  name,
  index: 1,
  mtu: 1500,
  txQueueLength: 1000,
  isUp: true,
  hasCarrier: true,
  kind: '',
  ...more,
});

/** A route of the main table. */
export const route = (prefix: string, device: string, more: Partial<Route> = {}): Route => ({
  family: prefix.includes(':') ? 6 : 4,
  prefix,
  type: 'unicast',
  hops: [{ device, via: undefined }],
  metric: 0,
  attributes: {},
  ...more,
});

/** The rule of the local table. */
export const localRule = (family: 4 | 6): Rule => ({ family, priority: 0, table: 255, other: '' });

/** A machine with these devices, eth0 with addresses and a default route. */
export function machine(devices: readonly string[], more: Partial<MachineState> = {}): MachineState {
  return {
    links: devices.map((name) => link(name)),
    addresses: [
      {
        device: 'eth0',
        family: 4,
        address: '10.0.0.1',
        prefixLength: 24,
        scope: 'global',
        isTentative: false,
      },
      {
        device: 'eth0',
        family: 6,
        address: 'fd00::1',
        prefixLength: 64,
        scope: 'global',
        isTentative: false,
      },
    ],
    rules: { 4: [localRule(4)], 6: [localRule(6)] },
    mainRoutes: {
      4: [route('default', 'eth0'), route('10.8.0.0/16', 'vpn')],
      6: [route('default', 'eth0'), route('fe80::/64', 'eth0')],
    },
    ownTables: new Map(),
    sysctls: new Map([
      ['net/ipv4/ip_early_demux', '1'],
      ['net/ipv4/conf/all/rp_filter', '2'],
      ['net/ipv4/conf/default/rp_filter', '0'],
      ['net/ipv4/conf/eth0/rp_filter', '1'],
      ['net/ipv4/conf/lex0/rp_filter', '2'],
      ['net/ipv4/conf/all/forwarding', '0'],
      ['net/ipv4/conf/eth0/forwarding', '0'],
      ['net/ipv6/conf/all/forwarding', '0'],
      ['net/ipv6/conf/eth0/accept_ra', '1'],
      ['net/ipv6/conf/eth0/forwarding', '0'],
      ['net/ipv6/conf/eth1/forwarding', '1'],
    ]),
    peerKeys: new Set(),
    ...more,
  };
}
