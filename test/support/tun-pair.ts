/**
 * Two TUNs in one network namespace with forwarding between them, for tests that need the kernel on the other side of
 * a device and no second process. The calling thread moves into a namespace of its own, which goes with the process.
 *
 * ```
 *   test: feeder.write -->  feeder  10.98.0.1/24 fd98::1/64 --+
 *                                                             |  the kernel forwards (TTL falls by one)
 *   device.read  <------    device  10.99.0.1/24 fd99::1/64 <-+
 * ```
 */
import { execFileSync } from 'node:child_process';
import { writeFileSync } from 'node:fs';
import { TunDevice, type TunOptions } from '../../lib/device/tun-device.ts';
import { enterNewNetworkNamespace } from '../../lib/sys/netns.ts';
import { setInterfaceUp } from '../../lib/sys/interface.ts';

/** Moves the calling thread into a new namespace that forwards packets and stays silent by itself. */
export function enterForwardingNamespace(): void {
  enterNewNetworkNamespace();
  setInterfaceUp('lo');
  for (const [name, value] of [
    ['ipv4/ip_forward', 1],
    ['ipv6/conf/all/forwarding', 1],
    // An interface with IPv6 reports its multicast groups, between the packets of a test.
    ['ipv6/conf/default/disable_ipv6', 1],
  ] as const) {
    writeFileSync(`/proc/sys/net/${name}`, String(value));
  }
}

/**
 * Opens both devices; close both to get rid of them.
 *
 * @param version - which addresses they get; with 6 the kernel's multicast reports come too
 */
export function openTunPair(
  options: Omit<TunOptions, 'name'> = {},
  version: 4 | 6 = 4,
): { feeder: TunDevice; device: TunDevice } {
  const feeder = TunDevice.open({ name: `pfxf${process.pid}`, mtu: 9000 });
  const device = TunDevice.open({ ...options, name: `pfxd${process.pid}` });
  for (const [tun, net] of [
    [feeder, 98],
    [device, 99],
  ] as const) {
    if (version === 6) writeFileSync(`/proc/sys/net/ipv6/conf/${tun.name}/disable_ipv6`, '0');
    const address = version === 4 ? [`10.${net}.0.1/24`] : [`fd${net}::1/64`, 'nodad'];
    execFileSync('ip', ['addr', 'add', ...address, 'dev', tun.name]);
  }
  return { feeder, device };
}
