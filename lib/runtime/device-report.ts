/** What the daemons say of, and ask of, the devices that they work with. */
import type { TunDevice } from '../device/tun-device.ts';
import { PreflexError } from '../errors.ts';
import { findLink, ownLinkCounters } from '../netns/index.ts';

/** A device's counters; `kernelDropped` are packets that the kernel could not queue for the agent. */
export interface DeviceReport {
  readonly packetsRead: number;
  readonly packetsWritten: number;
  readonly refused: Record<string, number>;
  readonly kernelDropped: number;
}

/** MTU of an existing device, in bytes. */
export function requireDeviceMtu(device: string): number {
  const link = findLink(device);
  if (link === undefined) {
    throw new PreflexError(
      'ERR_SYSTEM',
      `device: there is no device ${device} in this namespace: see "ip link".`,
    );
  }
  return link.mtu;
}

/** The counters of TUNs by name, with what the kernel dropped because their queues were full. */
export function reportDevices(devices: Iterable<TunDevice>): Record<string, DeviceReport> {
  const links = ownLinkCounters();
  const reports: Record<string, DeviceReport> = {};
  for (const { name, stats } of devices) {
    const { packetsRead, packetsWritten, writeErrors } = stats;
    reports[name] = {
      packetsRead,
      packetsWritten,
      refused: writeErrors,
      // A TUN that was taken away has no counters any more.
      kernelDropped: links.get(name)?.txDropped ?? 0,
    };
  }
  return reports;
}
