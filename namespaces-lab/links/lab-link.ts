/**
 * An emulated link of the laboratory: two TUN devices, one in each of two namespaces, and between them, in this
 * process, a Link (lib/sim/link.ts) for each direction.
 *
 *      namespace A: device a <== TUN ==> [ Link A to B ] ==> TUN ==> device b : namespace B
 *                                    <== [ Link B to A ] <==
 */
import { xoroshiro128plus } from 'pure-rand/generator/xoroshiro128plus';
import { uniformFloat64 } from 'pure-rand/distribution/uniformFloat64';
import type { Device, PacketBatch } from '../../lib/device/device.ts';
import { TunDevice } from '../../lib/device/tun-device.ts';
import type { LabScope } from '../../lib/netns/lab-scope.ts';
import { setLink } from '../../lib/netns/links.ts';
import { ip } from '../../lib/netns/ip.ts';
import type { BatchHandler } from '../../lib/runtime/packet-loop.ts';
import { PacketLoop } from '../../lib/runtime/packet-loop.ts';
import { Link, LINK_DROPPED } from '../../lib/sim/link.ts';

/** One end of a link. */
export interface LabLinkEnd {
  readonly netns: string;
  /** Name of the device in that namespace. */
  readonly name: string;
}

/** Options of a {@link LabLink}; both directions are alike. */
export interface LabLinkOptions {
  /** Loss ratio of each direction, or of one only; default 0. */
  readonly loss?: number | { readonly forward?: number; readonly backward?: number };
  /** Seed of the losses; default 1. */
  readonly seed?: number;
  /** Carry super-packets, which then are lost as a whole; default: only when nothing is lost. */
  readonly offload?: boolean;
  /** Largest packet in bytes; default 1500. */
  readonly mtu?: number;
}

/** A running link. */
export class LabLink {
  /** From the first end to the second. */
  readonly forward: Link;
  /** From the second end to the first. */
  readonly backward: Link;
  readonly #loop = new PacketLoop();
  readonly #devices: readonly [TunDevice, TunDevice];

  constructor(a: LabLinkEnd, b: LabLinkEnd, options: LabLinkOptions = {}) {
    const loss =
      typeof options.loss === 'object' ? options.loss : { forward: options.loss, backward: options.loss };
    const generator = xoroshiro128plus(options.seed ?? 1);
    const random = () => uniformFloat64(generator);
    this.forward = new Link({ loss: loss.forward ?? 0, random });
    this.backward = new Link({ loss: loss.backward ?? 0, random });
    const isLossless = (loss.forward ?? 0) === 0 && (loss.backward ?? 0) === 0;
    const tun = { offload: options.offload ?? isLossless, mtu: options.mtu ?? 1500, up: false };
    const near = TunDevice.open({ ...tun, name: temporaryName() });
    try {
      const far = TunDevice.open({ ...tun, name: temporaryName() });
      this.#devices = [near, far];
    } catch (error) {
      near.close();
      throw error;
    }
    moveDevice(near.name, a);
    moveDevice(this.#devices[1].name, b);
    this.#loop.addPump(near, new LinkHandler(this.forward, this.#devices[1]));
    this.#loop.addPump(this.#devices[1], new LinkHandler(this.backward, near));
    this.#loop.start();
  }

  /** Packets that a device refused to take at the far end, both directions. */
  get refused(): number {
    return this.#devices[0].stats.packetsRefused + this.#devices[1].stats.packetsRefused;
  }

  /** Stops the link; its devices go. */
  close(): void {
    this.#loop.stop();
    for (const device of this.#devices) device.close();
  }
}

/** Makes a link that goes when the scope closes. */
export function openLabLink(
  scope: LabScope,
  a: LabLinkEnd,
  b: LabLinkEnd,
  options?: LabLinkOptions,
): LabLink {
  const link = new LabLink(a, b, options);
  scope.defer(`link ${a.name}`, () => {
    link.close();
  });
  return link;
}

class LinkHandler implements BatchHandler {
  readonly #link: Link;
  readonly #out: Device;

  constructor(link: Link, out: Device) {
    this.#link = link;
    this.#out = out;
  }

  handleBatch(batch: PacketBatch, nowNs: number): void {
    for (let i = 0; i < batch.count; i++) {
      if (this.#link.offer(batch.length[i], nowNs) !== LINK_DROPPED) this.#out.write(batch, i);
    }
  }
}

let opened = 0;

/** A name that no other laboratory of this machine uses; it lasts until the device is moved. */
function temporaryName(): string {
  return `pfx${process.pid}x${opened++}`;
}

function moveDevice(name: string, end: LabLinkEnd): void {
  ip(['link', 'set', 'dev', name, 'netns', end.netns, 'name', end.name]);
  setLink(end.name, { up: true }, { netns: end.netns });
}
