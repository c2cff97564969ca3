/** What the daemons say of, and ask of, the devices that they work with. */
import type { TunDevice } from '../device/tun-device.ts';
import { PreflexError } from '../errors.ts';
import { findLink, linkCounters } from '../netns/index.ts';

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

/** The counters of a TUN, with what the kernel dropped because its queue was full. */
export function reportDevice(device: TunDevice): DeviceReport {
  const { packetsRead, packetsWritten, writeErrors } = device.stats;
  return {
    packetsRead,
    packetsWritten,
    refused: writeErrors,
    kernelDropped: device.isOpen ? linkCounters(device.name).txDropped : 0,
  };
}
