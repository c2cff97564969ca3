/**
 * A flood of FNE packets from many sources, run as a process in a namespace: `flood.ts SCHEME DESTINATION`. The packets come
 * out of a TUN `flood0`, a datagram each, and the kernel forwards them.
 *
 * `{"command":"flood","rate":100000,"seconds":5}` sends at that rate by the clock, a millisecond's packets at a time, and
 * answers `flooded` with how many were sent, how many the TUN refused, and the seconds that it took. When the process comes
 * late it catches up to 20 ms; what is later is not sent, and shows as a lower rate.
 */
import { PacketBatch } from '../../lib/device/device.ts';
import { TunDevice } from '../../lib/device/tun-device.ts';
import { nowNs } from '../../lib/sys/clock.ts';
import { floodPacket, writeSource } from '../traffic/flood-packet.ts';
import { runModule, tell } from './module-io.ts';

const BATCH_NS = 1e6;
const LATEST_NS = 20e6;

const [scheme = 'pool2', destination = ''] = process.argv.slice(2);
const tun = TunDevice.open({ name: 'flood0', queueLength: 1000 });
const batch = new PacketBatch();
const packet = floodPacket(scheme, destination);
for (let i = 0; i < batch.capacity; i++) batch.push(packet);

let timer: NodeJS.Timeout | undefined;

runModule(
  (command) => {
    flood(Number(command['rate']), Number(command['seconds']));
  },
  () => {
    clearInterval(timer);
    tun.close();
  },
);
tell('ready', {});

function flood(rate: number, seconds: number): void {
  const startNs = nowNs();
  const endNs = startNs + seconds * 1e9;
  let sentUntilNs = startNs;
  let sequence = 0;
  let sent = 0;
  let refused = 0;
  timer = setInterval(() => {
    const now = Math.min(nowNs(), endNs);
    if (now - sentUntilNs > LATEST_NS) sentUntilNs = now - LATEST_NS;
    const count = Math.floor(((now - sentUntilNs) * rate) / 1e9);
    sentUntilNs += (count * 1e9) / rate;
    for (let i = 0; i < count; i++) {
      const slot = i % batch.capacity;
      writeSource(batch.view, batch.at[slot]!, sequence++);
      if (tun.write(batch, slot)) sent++;
      else refused++;
    }
    if (now < endNs) return;
    clearInterval(timer);
    tell('flooded', { sent, refused, seconds: (nowNs() - startNs) / 1e9 });
  }, BATCH_NS / 1e6);
}
