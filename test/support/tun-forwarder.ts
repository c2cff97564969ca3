/**
 * A process for namespace tests: opens two TUNs, moves one into another namespace and forwards packets between them
 * unchanged. Prints `ready` when both are up, one line of JSON with the counters when its input ends, and leaves.
 *
 * ```
 *   namespace A:  tunA 10.77.0.1/24 fd77::1/64  --- this process ---  tunB 10.77.0.2/24 fd77::2/64  :namespace B
 * ```
 *
 * Usage: ip netns exec A node --import tsx tun-forwarder.ts '{"nameA", "nameB", "namespaceB", "offloadA", "offloadB"}'
 */
import { execFileSync } from 'node:child_process';
import { PacketBatch, type Device } from '../../lib/device/device.ts';
import { TunDevice } from '../../lib/device/tun-device.ts';
import { withPcap } from '../../lib/device/with-pcap.ts';

interface Setup {
  nameA: string;
  nameB: string;
  namespaceB: string;
  offloadA: boolean;
  offloadB: boolean;
  /** Where to capture what is written to tunB; left out: no capture. */
  pcap?: string;
}

const setup = JSON.parse(process.argv[2]!) as Setup;
const tunA = TunDevice.open({ name: setup.nameA, offload: setup.offloadA, up: false });
const tunB = TunDevice.open({ name: setup.nameB, offload: setup.offloadB, up: false });
const deviceB = setup.pcap === undefined ? tunB : withPcap(tunB, { path: setup.pcap, direction: 'written' });
const ip = (...args: string[]): void =>
  void execFileSync('ip', args, { stdio: ['ignore', 'ignore', 'inherit'] });

ip('link', 'set', setup.nameB, 'netns', setup.namespaceB);
for (const [host, name, inside] of [
  [1, setup.nameA, []],
  [2, setup.nameB, ['-n', setup.namespaceB]],
] as const) {
  ip(...inside, 'link', 'set', name, 'up');
  ip(...inside, 'addr', 'add', `10.77.0.${host}/24`, 'dev', name);
  ip(...inside, 'addr', 'add', `fd77::${host}/64`, 'dev', name, 'nodad');
}

let superPackets = 0;
const batch = new PacketBatch();
forward(tunA, deviceB);
forward(deviceB, tunA);
process.stdout.write('ready\n');
process.stdin.resume().on('end', () => {
  tunA.close();
  deviceB.close();
  const report = [tunA, tunB].map((tun) => ({ ...tun.stats, writeErrors: tun.stats.writeErrors }));
  process.stdout.write(`${JSON.stringify({ devices: report, superPackets })}\n`);
});

function forward(from: Device, to: Device): void {
  from.onReadable(() => {
    const count = from.read(batch);
    for (let i = 0; i < count; i++) {
      if (batch.gsoSize[i]! > 0) superPackets++;
      to.write(batch, i);
    }
  });
}
