/**
 * A class like node-tuntap2's `Tun`, which cannot be installed: a Duplex of packets with the same properties, made of a
 * real TUN. For examples/duplex-tun.ts.
 */
import { Duplex } from 'node:stream';
import { PacketBatch } from '../../lib/device/device.ts';
import { TunDevice } from '../../lib/device/tun-device.ts';
import { addAddress } from '../../lib/netns/addresses.ts';
import { setLink } from '../../lib/netns/links.ts';

let made = 0;

/** See https://github.com/PupilTong/node-tuntap2 */
export class Tun extends Duplex {
  readonly #device = TunDevice.open({ name: `ntun${made++}`, offload: false, up: false });
  readonly #incoming = new PacketBatch();
  readonly #outgoing = new PacketBatch(1);

  constructor() {
    super({ allowHalfOpen: true });
    this.#device.onReadable(() => {
      this.#device.read(this.#incoming);
      for (let i = 0; i < this.#incoming.count; i++) this.push(Buffer.from(this.#incoming.packet(i)));
    });
  }

  get name(): string {
    return this.#device.name;
  }

  set mtu(mtu: number) {
    setLink(this.name, { mtu });
  }

  set ipv4(prefix: string) {
    addAddress(this.name, prefix);
  }

  set isUp(isUp: boolean) {
    setLink(this.name, { up: isUp });
  }

  release(): void {
    this.#device.close();
    this.push(null);
  }

  override _read(): void {
    // Packets come when they come; the kernel's queue is the only one that waits.
  }

  override _write(packet: Uint8Array, _encoding: BufferEncoding, callback: () => void): void {
    this.#outgoing.count = 0;
    this.#outgoing.push(packet);
    this.#device.write(this.#outgoing, 0);
    callback();
  }
}
