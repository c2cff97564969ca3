/**
 * The emulated network in virtual time:
 *
 *      a --\                        /--> c (10.0.3.0/24)
 *           >--- L: 8 Mbit/s, 10 ms ---> d (10.0.4.0/24)
 *      b --/     queue 3 packets
 */
import { describe, expect, it } from 'vitest';
import { PacketBatch } from '../../../lib/device/packet-batch.ts';
import { MemoryDevice } from '../../../lib/device/memory-device.ts';
import { parseAddress } from '../../../lib/wire/addr.ts';
import { conservationFaults, FabricCore } from '../../../namespaces-lab/links/fabric-core.ts';
import type { FabricPlan } from '../../../namespaces-lab/links/fabric-plan.ts';

const MS = 1e6;
const PLAN: FabricPlan = {
  ports: ['a', 'b', 'c', 'd'].map((name) => ({ name, netns: 'x', device: name })),
  links: [
    { name: 'L', forward: { rateBitsPerSec: 8e6, delayMs: 10, queuePackets: 3 }, backward: { delayMs: 5 } },
  ],
  paths: [
    { from: 'a', prefix: '10.0.3.0/24', link: 'L', direction: 'forward', to: 'c' },
    { from: 'a', prefix: '10.0.4.0/24', link: 'L', direction: 'forward', to: 'd' },
    { from: 'b', prefix: '10.0.3.0/24', link: 'L', direction: 'forward', to: 'c' },
    { from: 'c', prefix: '10.0.1.0/24', link: 'L', direction: 'backward', to: 'a' },
  ],
};

function packet(dst: string, bytes = 1000, tag = 0): Uint8Array {
  const data = new Uint8Array(bytes);
  data[0] = 0x45;
  data.set(parseAddress(dst), 16);
  data[bytes - 1] = tag;
  return data;
}

class Lab {
  now = 0;
  readonly devices = PLAN.ports.map(({ name }) => new MemoryDevice({ name }));
  readonly core: FabricCore;
  readonly #batch = new PacketBatch(16);

  constructor(plan: FabricPlan = PLAN) {
    this.core = new FabricCore(plan, this.devices, () => this.now);
  }

  send(port: number, ...packets: Uint8Array[]): void {
    for (const data of packets) this.devices[port].inject(data);
    this.devices[port].read(this.#batch);
    this.core.handleBatch(port, this.#batch, this.now);
  }

  /** Moves the clock and gives the tags of what came out of a port. */
  at(ms: number, port: number): number[] {
    this.now = ms * MS;
    this.core.release(1000);
    return this.devices[port].collect().map(({ packet: data }) => data.at(-1)!);
  }
}

describe('FabricCore', () => {
  it('delivers a packet after its transmission and the delay, not before', () => {
    const lab = new Lab();
    lab.send(0, packet('10.0.3.9'));
    expect(lab.core.pollTimeout()).toBe(11 * MS);
    expect(lab.at(10.999, 2)).toEqual([]);
    expect(lab.at(11, 2)).toEqual([0]);
    expect(lab.core.pollTimeout()).toBe(Infinity);
  });

  it('lets ports share the rate and the queue of a link, and counts what each lost', () => {
    const lab = new Lab();
    lab.send(0, packet('10.0.3.9', 1000, 1), packet('10.0.4.9', 1000, 2));
    lab.send(1, packet('10.0.3.9', 1000, 3), packet('10.0.3.9', 1000, 4));
    expect(lab.at(11, 2)).toEqual([1]);
    expect(lab.at(12, 3)).toEqual([2]);
    expect(lab.at(13, 2)).toEqual([3]);
    const [forward] = lab.core.counters().lanes;
    expect(forward.ingress).toEqual({
      a: { offeredPackets: 2, offeredBytes: 2000, droppedPackets: 0, droppedBytes: 0 },
      b: { offeredPackets: 2, offeredBytes: 2000, droppedPackets: 1, droppedBytes: 1000 },
    });
    expect(forward.droppedPackets['queueFull']).toBe(1);
  });

  it('releases in the order of due times across links', () => {
    const lab = new Lab();
    lab.send(0, packet('10.0.3.9'));
    lab.send(2, packet('10.0.1.1', 1000, 7));
    expect(lab.core.pollTimeout()).toBe(5 * MS);
    expect(lab.at(5, 0)).toEqual([7]);
  });

  it('stops at the limit of a turn', () => {
    const lab = new Lab();
    lab.send(2, packet('10.0.1.1', 100, 1), packet('10.0.1.1', 100, 2));
    lab.now = 6 * MS;
    expect(lab.core.release(1)).toBe(5 * MS);
    expect(lab.devices[0].collect()).toHaveLength(1);
  });

  it('loses what is offered while a direction is down, and nothing else', () => {
    const lab = new Lab();
    lab.send(0, packet('10.0.3.9', 1000, 1));
    lab.core.setDown('L', 'forward', true);
    lab.send(0, packet('10.0.3.9', 1000, 2));
    lab.send(2, packet('10.0.1.1', 1000, 3));
    expect(lab.at(50, 2)).toEqual([1]);
    expect(lab.devices[0].collect()).toHaveLength(1);
    lab.core.setDown('L', 'forward', false);
    lab.send(0, packet('10.0.3.9', 1000, 4));
    expect(lab.at(70, 2)).toEqual([4]);
  });

  it('counts packets without a path', () => {
    const lab = new Lab();
    lab.send(1, packet('10.0.4.9'));
    expect(lab.core.counters().ports['b'].noPathPackets).toBe(1);
  });

  it('measures how late packets left', () => {
    const lab = new Lab();
    lab.send(2, packet('10.0.1.1'));
    lab.at(5.25, 0);
    expect(lab.core.lateness.report()).toMatchObject({ packets: 1, maxMs: 0.25 });
  });

  it('finds nothing late on a link without rate and delay, where nothing waits', () => {
    const lab = new Lab({ ...PLAN, links: [{ name: 'L' }] });
    lab.send(2, packet('10.0.1.1', 1000, 7));
    expect(lab.at(5, 0)).toEqual([7]);
    expect(lab.core.lateness.report().packets).toBe(0);
  });

  it('conserves packets, and would say if it did not', () => {
    const lab = new Lab();
    lab.send(0, packet('10.0.3.9'), packet('10.0.4.9'), packet('192.0.2.1'));
    lab.send(1, packet('10.0.3.9'), packet('10.0.3.9'));
    lab.at(11.5, 2);
    const counters = lab.core.counters();
    expect(conservationFaults(counters)).toEqual([]);
    const spoilt = {
      ...counters,
      ports: { ...counters.ports, c: { ...counters.ports['c'], writtenPackets: 9 } },
    };
    expect(conservationFaults(spoilt)).toEqual([
      'accepted by links against written, refused or held: 3 and 11 packets',
    ]);
  });

  it.each([
    [
      { paths: [{ ...PLAN.paths[0], to: 'e' }] },
      /fabric.paths.to: "e" is not allowed; it takes one of a, b, c, d/,
    ],
    [{ paths: [{ ...PLAN.paths[0], link: 'M' }] }, /link: "M" is not allowed; it takes one of L/],
    [{ ports: [...PLAN.ports, PLAN.ports[0]] }, /a name of its own for each port/],
    [{ schedule: [{ atSeconds: 1, link: 'L', direction: 'up' as never, isDown: true }] }, /direction: "up"/],
    [{ size: 3 }, /fabric.size: 3/],
  ])('refuses a plan that does not hold together: %j', (change, message) => {
    expect(() => new Lab({ ...PLAN, ...change })).toThrow(message);
  });
});
