/** TUN devices against the kernel, in a network namespace of this process alone. Needs root. */
import { execFileSync } from 'node:child_process';
import { afterEach, beforeAll, describe, expect, it } from 'vitest';
import { PacketBatch, type Device } from '../../lib/device/device.ts';
import { TunDevice } from '../../lib/device/tun-device.ts';
import { linkCounters } from '../../lib/netns/links.ts';
import { SoftwareOffload } from '../../lib/device/software-offload.ts';
import {
  interfaceFlags,
  interfaceIndex,
  interfaceMtu,
  interfaceQueueLength,
  IFF_RUNNING,
  IFF_UP,
} from '../../lib/sys/interface.ts';
import { TCP_ACK, TCP_CWR, TCP_FIN, TCP_PSH } from '../../lib/wire/packet-view.ts';
import { describeDeviceContract, eventually } from '../device/contract.ts';
import { superPacket } from '../device/super-packet.ts';
import { buildUdp, type TcpFields } from '../support/packets.ts';
import { describeNetns, isRoot } from '../support/netns.ts';
import { enterForwardingNamespace, openTunPair } from '../support/tun-pair.ts';

beforeAll(() => {
  if (isRoot) enterForwardingNamespace();
});

interface ReadPacket {
  readonly packet: Uint8Array;
  readonly virtioHeader: Uint8Array;
  readonly gsoSize: number;
}

/** Reads everything that waits, as copies, without the kernel's own multicast reports. */
function readAll(device: Device): ReadPacket[] {
  const batch = new PacketBatch();
  const packets: ReadPacket[] = [];
  while (device.read(batch) > 0) {
    for (let i = 0; i < batch.count; i++) {
      const packet = batch.packet(i).slice();
      const isMulticast = packet[0]! >> 4 === 6 && packet[24] === 0xff;
      if (isMulticast) continue;
      packets.push({ packet, virtioHeader: batch.virtioHeader(i).slice(), gsoSize: batch.gsoSize[i]! });
    }
  }
  return packets;
}

describeNetns('TUN devices and the kernel', () => {
  for (const offload of [true, false]) {
    describeDeviceContract(`TunDevice with offload ${offload}`, () => {
      const { feeder, device } = openTunPair({ offload });
      const batch = new PacketBatch();
      return {
        device,
        send: (packet) => {
          batch.count = 0;
          expect(feeder.write(batch, batch.push(packet))).toBe(true);
        },
        receive: () => readAll(feeder).map(({ packet }) => packet),
        close: () => {
          feeder.close();
          device.close();
        },
      };
    });
  }

  describe('TunDevice', () => {
    const name = `pfxt${process.pid}`;

    it('makes an interface with the MTU and queue length asked for, up and running', () => {
      const device = TunDevice.open({ name, mtu: 1400, queueLength: 777 });
      expect(interfaceMtu(name)).toBe(1400);
      expect(interfaceQueueLength(name)).toBe(777);
      expect(interfaceFlags(name) & (IFF_UP | IFF_RUNNING)).toBe(IFF_UP | IFF_RUNNING);
      device.close();
      expect(interfaceIndex(name)).toBe(0);
    });

    it('queues 10,000 packets of 1500 bytes unless told otherwise, and stays down when asked to', () => {
      const device = TunDevice.open({ name, up: false });
      expect(interfaceMtu(name)).toBe(1500);
      expect(interfaceQueueLength(name)).toBe(10_000);
      expect(interfaceFlags(name) & IFF_UP).toBe(0);
      device.close();
    });

    it('does not attach to an interface that exists', () => {
      const device = TunDevice.open({ name });
      expect(() => TunDevice.open({ name })).toThrow(
        `ioctl TUNSETIFF failed for ${name}: EBUSY; the name is taken`,
      );
      expect(() => TunDevice.open({ name: 'lo' })).toThrow(
        'ioctl TUNSETIFF failed for lo: EBUSY; the name is taken',
      );
      device.close();
    });

    it('names the option that is wrong', () => {
      expect(() => TunDevice.open({ name: 'a-name-too-long-for-it' })).toThrow(/tun\.name: .*1 to 15/);
      expect(() => TunDevice.open({ name, mtu: 20 })).toThrow(/tun\.mtu: 20 .* 68 to 65535/);
      expect(() => TunDevice.open({ name, queueLength: 0 })).toThrow(/tun\.queueLength: 0/);
      expect(() => TunDevice.open({ name, queues: 2 } as never)).toThrow(/tun\.queues/);
      expect(interfaceIndex(name)).toBe(0);
    });

    it('spreads an interface over queues that are devices, and keeps it until the last closes', () => {
      const queues = TunDevice.openQueues({ name }, 3);
      expect(queues.map((queue) => queue.name)).toEqual([name, name, name]);
      for (const queue of queues) {
        expect(interfaceIndex(name)).toBeGreaterThan(0);
        queue.close();
      }
      expect(interfaceIndex(name)).toBe(0);
    });

    it('closes itself and tells the loop when the interface is deleted', async () => {
      const device = TunDevice.open({ name });
      let calls = 0;
      device.onReadable(() => {
        device.read(new PacketBatch(1));
        calls++;
      });
      execFileSync('ip', ['link', 'del', name]);
      await eventually(() => !device.isOpen, 'the device closed');
      expect(calls).toBeGreaterThan(0);
    });

    it('notices on a write that the interface was deleted', () => {
      const device = TunDevice.open({ name });
      execFileSync('ip', ['link', 'del', name]);
      const batch = new PacketBatch(1);
      expect(device.write(batch, batch.push(buildUdp()))).toBe(false);
      expect(device.isOpen).toBe(false);
      expect(device.stats.writeErrors).toEqual({ EBADFD: 1 });
    });

    it('refuses packets while the interface is down, counted as EIO', () => {
      const device = TunDevice.open({ name, up: false });
      const batch = new PacketBatch(1);
      expect(device.write(batch, batch.push(buildUdp()))).toBe(false);
      expect(device.stats.writeErrors).toEqual({ EIO: 1 });
      device.close();
    });

    it('refuses bytes that are not IP, counted as EINVAL', () => {
      const device = TunDevice.open({ name });
      const batch = new PacketBatch(1);
      expect(device.write(batch, batch.push(new Uint8Array(40)))).toBe(false);
      expect(device.stats.writeErrors).toEqual({ EINVAL: 1 });
      device.close();
    });
  });

  describe('a TUN whose reader is too slow', () => {
    it('keeps as many packets as its queue is long; the kernel drops and counts the rest', () => {
      const { feeder, device } = openTunPair({ queueLength: 5 });
      const batch = new PacketBatch(1);
      batch.push(buildUdp({ src: '10.98.0.2', dst: '10.99.0.2' }));
      for (let i = 0; i < 20; i++) expect(feeder.write(batch, 0)).toBe(true);
      expect(readAll(device)).toHaveLength(5);
      expect(linkCounters(device.name).txDropped).toBe(15);
      feeder.close();
      device.close();
    });
  });

  describe('super-packets', () => {
    let feeder: TunDevice;
    let device: TunDevice;
    afterEach(() => {
      feeder.close();
      device.close();
    });
    const cases: [string, TcpFields][] = [
      ['IPv4', { src: '10.98.0.2', dst: '10.99.0.2' }],
      ["IPv4 with don't fragment", { src: '10.98.0.2', dst: '10.99.0.2', dontFragment: true }],
      ['IPv6', { src: 'fd98::2', dst: 'fd99::2' }],
    ];
    const rest: TcpFields = {
      payloadLength: 7777,
      seqNumber: 0xfffff800,
      tcpFlags: TCP_ACK | TCP_PSH | TCP_FIN | TCP_CWR,
      timestamps: [1, 2],
      identification: 0xfffe,
      dscp: 3,
    };

    it.each(cases)('are cut in software byte for byte as the kernel cuts them: %s', (_, addresses) => {
      ({ feeder, device } = openTunPair({ offload: false }, addresses.src!.includes(':') ? 6 : 4));
      const batch = new PacketBatch();
      superPacket(batch, { ...addresses, ...rest, ttl: 64 }, 1400);
      // The kernel takes one hop off on the way.
      superPacket(batch, { ...addresses, ...rest, ttl: 63 }, 1400);
      expect(feeder.write(batch, 0)).toBe(true);
      const byKernel = readAll(device);
      const offload = new SoftwareOffload();
      const bySoftware = Array.from({ length: offload.prepare(batch, 1) }, (_, k) => offload.segment(k));
      expect(byKernel.map(({ packet }) => Buffer.from(packet).toString('hex'))).toEqual(
        bySoftware.map((packet) => Buffer.from(packet).toString('hex')),
      );
      expect(byKernel).toHaveLength(6);
    });

    it.each(cases)('pass whole from one TUN with offload to another: %s', (_, addresses) => {
      ({ feeder, device } = openTunPair({}, addresses.src!.includes(':') ? 6 : 4));
      const batch = new PacketBatch();
      superPacket(batch, { ...addresses, ...rest }, 1400);
      feeder.write(batch, 0);
      const read = readAll(device);
      expect(read).toHaveLength(1);
      expect(read[0]!.gsoSize).toBe(1400);
      expect(read[0]!.packet).toHaveLength(batch.length[0]!);
      expect([...read[0]!.virtioHeader]).toEqual([...batch.virtioHeader(0)]);
    });
  });
});
