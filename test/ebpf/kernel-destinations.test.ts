/** Destinations and prefixes that the maps of the programs take or refuse, with maps that are lists. */
import { expect, it } from 'vitest';
import type { GatewayPrograms } from '../../lib/ebpf/gateway-programs.ts';
import { KernelDestinations } from '../../lib/ebpf/kernel-destinations.ts';
import { KernelInside } from '../../lib/ebpf/kernel-inside.ts';
import type { MeterReader } from '../../lib/ebpf/meter-reader.ts';
import { PrefGateway } from '../../lib/pref/gateway.ts';
import { ENOMEM, SystemError } from '../../lib/sys/errno.ts';
import { formatPrefix } from '../../lib/wire/addr.ts';
import type { AddressPrefix } from '../../lib/wire/addr.ts';

/** Maps for which the kernel has memory or not. */
class Maps {
  readonly destinations = 16;
  readonly prefixes = new Set<string>();
  readonly inside = new Set<string>();
  isShort = false;
  /** Elements of the inside that are still taken. */
  room = Infinity;

  setPrefix(prefix: AddressPrefix): boolean {
    if (!this.isShort) this.prefixes.add(formatPrefix(prefix));
    return !this.isShort;
  }

  setInside(prefix: AddressPrefix): void {
    if (this.room-- <= 0) throw new SystemError('bpf MAP_UPDATE_ELEM', ENOMEM, 'map inside4');
    this.inside.add(formatPrefix(prefix));
  }

  removeInside(prefix: AddressPrefix): boolean {
    return this.inside.delete(formatPrefix(prefix));
  }

  resetDestination(): void {}
  setDestination(): void {}
  publishPrefixes(): void {}

  get programs(): GatewayPrograms {
    return this as unknown as GatewayPrograms;
  }
}

it('a prefix for which the kernel had no memory finds its way in later, without others going', () => {
  const maps = new Maps();
  const gateway = new PrefGateway({ seed: 1, routes: [{ name: 'a', pathId: 1 }] });
  const meters = { begin: () => undefined } as unknown as MeterReader;
  const destinations = new KernelDestinations(gateway, gateway.openPort(), maps.programs, meters, undefined);
  maps.isShort = true;
  destinations.addDestination(['192.0.2.0/24', '198.51.100.0/24'], [1]);
  destinations.flush();
  expect([destinations.leftOutPrefixes, destinations.isPending]).toEqual([2, false]);
  destinations.retryWithoutRoom();
  destinations.flush();
  expect(destinations.leftOutPrefixes).toBe(2);
  maps.isShort = false;
  destinations.retryWithoutRoom();
  destinations.flush();
  expect(destinations.leftOutPrefixes).toBe(0);
  expect([...maps.prefixes].sort()).toEqual(['192.0.2.0/24', '198.51.100.0/24']);
});

it('what is inside is told to its end after the kernel had no memory in the middle, and nothing of it stays for ever', () => {
  const maps = new Maps();
  const inside = new KernelInside(maps.programs);
  const setInside = (...domain: string[]): void => {
    inside.set({ domain, passed: [], diverted: [] });
  };
  maps.room = 1;
  expect(() => {
    setInside('10.0.0.0/24', '10.0.1.0/24');
  }).toThrow(/ENOMEM/);
  maps.room = Infinity;
  setInside('10.0.1.0/24', '10.0.2.0/24');
  expect([...maps.inside].sort()).toEqual(['10.0.1.0/24', '10.0.2.0/24']);
});
