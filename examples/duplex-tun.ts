/**
 * LEX between two TUNs of node-tuntap2, or of anything else that emits one packet a `data` and takes one a `write`:
 *
 *     node duplex-tun.js [MODULE]        MODULE exports a class Tun; default tuntap2
 *
 * The first TUN faces the applications, the second the network. Slower than preflex's own TunDevice by about a hundred
 * times, and needs none of its system calls.
 */
import { LexHost, reportLexCounters } from 'preflex';
import { type Device, DuplexDevice, PacketBatch, type PacketStream } from 'preflex/device';

interface Tun extends PacketStream {
  readonly name: string;
  mtu: number;
  ipv4: string;
  isUp: boolean;
}
const { Tun } = (await import(process.argv[2] ?? 'tuntap2')) as { Tun: new () => Tun };

function openTun(ipv4: string): { name: string; device: Device } {
  const tun = new Tun();
  tun.mtu = 1500;
  tun.ipv4 = ipv4;
  tun.isUp = true;
  return { name: tun.name, device: new DuplexDevice(tun, { name: tun.name }) };
}

const applications = openTun('10.79.1.1/24');
const network = openTun('10.79.2.1/24');
const host = new LexHost();

function forward(from: Device, to: Device, handle: typeof host.handleInbound): void {
  const batch = new PacketBatch();
  from.onReadable(() => {
    from.read(batch);
    for (let i = 0; i < batch.count; i++) {
      handle.call(host, batch.view, batch.at[i]!, batch.length[i]!, performance.now() * 1e6);
      to.write(batch, i);
    }
  });
}
forward(applications.device, network.device, host.handleOutbound);
forward(network.device, applications.device, host.handleInbound);

console.log(JSON.stringify({ ready: true, applications: applications.name, network: network.name }));
const sweep = setInterval(() => host.handleTimeout(performance.now() * 1e6), 100);
process.on('SIGTERM', () => {
  console.log(JSON.stringify(reportLexCounters(host.counters)));
  clearInterval(sweep);
  applications.device.close();
  network.device.close();
});
