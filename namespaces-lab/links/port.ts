/**
 * A port of an emulated link or network: a TUN device that this process holds and that stands, under a name of its own,
 * in some namespace.
 */
import { TunDevice } from '../../lib/device/tun-device.ts';
import { addAddressesAndUp } from '../../lib/netns/addresses.ts';
import { ip } from '../../lib/netns/ip.ts';

/** Where a port stands. */
export interface PortPlace {
  readonly netns: string;
  /** Name of the device in that namespace. */
  readonly name: string;
}

/** What a port carries. */
export interface PortOptions {
  /** Whether super-packets are read. */
  readonly offload: boolean;
  /** Largest packet in bytes. */
  readonly mtu: number;
  /** Addresses with prefix length, given before the device comes up; default none. */
  readonly addresses?: readonly string[] | undefined;
}

let opened = 0;

/** Opens a port. It goes with {@link TunDevice.close}, and with this process. @throws PreflexError */
export function openPort(place: PortPlace, options: PortOptions): TunDevice {
  // A name that no other laboratory of this machine uses; it lasts until the device is moved.
  const device = TunDevice.open({
    name: `pfx${process.pid}x${opened++}`,
    offload: options.offload,
    mtu: options.mtu,
    up: false,
  });
  try {
    ip(['link', 'set', 'dev', device.name, 'netns', place.netns, 'name', place.name]);
    addAddressesAndUp(place.name, options.addresses ?? [], { netns: place.netns });
  } catch (error) {
    device.close();
    throw error;
  }
  return device;
}
