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
import type { TunDevice } from '../../lib/device/tun-device.ts';
import type { LabScope } from '../../lib/netns/lab-scope.ts';
import type { BatchHandler } from '../../lib/runtime/packet-loop.ts';
import { PacketLoop } from '../../lib/runtime/packet-loop.ts';
import { Link, LINK_DROPPED } from '../../lib/sim/link.ts';
import type { PortPlace } from './port.ts';
import { openPort } from './port.ts';

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
  /** Sees each packet that gets through and may change it in place, as a network may: a congestion mark, for example. */
  readonly alter?: (view: DataView, at: number, length: number) => void;
}

/** A running link. */
export class LabLink {
  /** From the first end to the second. */
  readonly forward: Link;
  /** From the second end to the first. */
  readonly backward: Link;
  readonly #loop = new PacketLoop();
  readonly #devices: readonly [TunDevice, TunDevice];

  constructor(a: PortPlace, b: PortPlace, options: LabLinkOptions = {}) {
    const loss =
      typeof options.loss === 'object' ? options.loss : { forward: options.loss, backward: options.loss };
    const generator = xoroshiro128plus(options.seed ?? 1);
    const random = () => uniformFloat64(generator);
    this.forward = new Link({ loss: loss.forward ?? 0, random });
    this.backward = new Link({ loss: loss.backward ?? 0, random });
    const isLossless = (loss.forward ?? 0) === 0 && (loss.backward ?? 0) === 0;
    const port = { offload: options.offload ?? isLossless, mtu: options.mtu ?? 1500 };
    const near = openPort(a, port);
    try {
      this.#devices = [near, openPort(b, port)];
    } catch (error) {
      near.close();
      throw error;
    }
    this.#loop.addPump(near, new LinkHandler(this.forward, this.#devices[1], options.alter));
    this.#loop.addPump(this.#devices[1], new LinkHandler(this.backward, near, options.alter));
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
export function openLabLink(scope: LabScope, a: PortPlace, b: PortPlace, options?: LabLinkOptions): LabLink {
  const link = new LabLink(a, b, options);
  scope.defer(`link ${a.name}`, () => {
    link.close();
  });
  return link;
}

class LinkHandler implements BatchHandler {
  readonly #link: Link;
  readonly #out: Device;
  readonly #alter: LabLinkOptions['alter'];

  constructor(link: Link, out: Device, alter: LabLinkOptions['alter']) {
    this.#link = link;
    this.#out = out;
    this.#alter = alter;
  }

  handleBatch(batch: PacketBatch, nowNs: number): void {
    for (let i = 0; i < batch.count; i++) {
      if (this.#link.offer(batch.length[i], nowNs) === LINK_DROPPED) continue;
      this.#alter?.(batch.view, batch.at[i], batch.length[i]);
      this.#out.write(batch, i);
    }
  }
}
