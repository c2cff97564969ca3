import { afterEach, describe, expect, it } from 'vitest';
import type { PacketBatch } from '../../lib/device/device.ts';
import { MemoryDevice } from '../../lib/device/memory-device.ts';
import { PacketLoop } from '../../lib/runtime/packet-loop.ts';
import { nowNs } from '../../lib/sys/clock.ts';
import { eventually } from '../device/contract.ts';

function forwardTo(out: MemoryDevice): {
  handleBatch(batch: PacketBatch, nowNs: number): void;
  timesNs: number[];
} {
  const timesNs: number[] = [];
  return {
    timesNs,
    handleBatch(batch, at) {
      timesNs.push(at);
      for (let i = 0; i < batch.count; i++) out.write(batch, i);
    },
  };
}

describe('PacketLoop', () => {
  const devices: MemoryDevice[] = [];
  const loops: PacketLoop[] = [];
  const device = (name: string): MemoryDevice => {
    const made = new MemoryDevice({ name, queueLength: 4096 });
    devices.push(made);
    return made;
  };
  const makeLoop = (): PacketLoop => {
    const made = new PacketLoop();
    loops.push(made);
    return made;
  };
  afterEach(() => {
    for (const loop of loops.splice(0)) loop.stop();
    for (const made of devices.splice(0)) made.close();
  });

  it('moves every packet of a device to the handler, in order, however many there are', async () => {
    const [source, sink] = [device('source'), device('sink')];
    const loop = makeLoop();
    loop.addPump(source, forwardTo(sink));
    loop.start();
    for (let i = 0; i < 1000; i++) source.inject(Uint8Array.of(0x45, i >> 8, i & 255));
    await eventually(() => loop.stats.packets === 1000, 'all packets are handled');
    const numbers = sink.collect().map(({ packet }) => (packet[1] << 8) | packet[2]);
    expect(numbers).toEqual(Array.from({ length: 1000 }, (_, i) => i));
    expect(loop.stats.largestBatch).toBe(64);
  });

  it('gives both directions their turn while one of them never runs dry', async () => {
    const [busy, quiet, sink] = [device('busy'), device('quiet'), device('sink')];
    const loop = makeLoop();
    loop.addPump(busy, {
      handleBatch(batch) {
        // Every packet is followed by another one.
        for (let i = 0; i < batch.count; i++) busy.inject(batch.packet(i).slice());
      },
    });
    loop.addPump(quiet, forwardTo(sink));
    loop.start();
    for (let i = 0; i < 300; i++) busy.inject(Uint8Array.of(0x45));
    quiet.inject(Uint8Array.of(0x45, 7));
    await eventually(() => sink.stats.packetsWritten === 1, 'the quiet device had its turn');
    expect(sink.collect()[0].packet).toEqual(Uint8Array.of(0x45, 7));
  });

  it('tells how large batches were and how long they took, by device, and how late its timer ran', async () => {
    const [source, sink] = [device('source'), device('sink')];
    const loop = makeLoop();
    loop.addPump(source, forwardTo(sink));
    for (let i = 0; i < 66; i++) source.inject(Uint8Array.of(0x45));
    loop.start();
    await eventually(() => loop.report().lagNs.counts.some((count) => count > 0), 'the timer ran');
    const [{ source: name, batchPackets, batchNs }] = loop.report().pumps;
    expect(name).toBe('source');
    expect(batchPackets.bounds).toEqual([1, 2, 4, 8, 16, 32, 64]);
    expect(batchPackets.counts).toEqual([0, 1, 0, 0, 0, 0, 1, 0]);
    expect(batchPackets.sum).toBe(66);
    expect(batchNs.counts.reduce((sum, count) => sum + count)).toBe(2);
    expect(batchNs.sum).toBeGreaterThan(0);
  });

  it('reads the clock for each batch', async () => {
    const [source, sink] = [device('source'), device('sink')];
    const loop = makeLoop();
    const handler = forwardTo(sink);
    loop.addPump(source, handler);
    loop.start();
    const beforeNs = nowNs();
    source.inject(Uint8Array.of(0x45));
    await eventually(() => handler.timesNs.length === 1, 'the packet is handled');
    expect(handler.timesNs[0]).toBeGreaterThanOrEqual(beforeNs);
    expect(handler.timesNs[0]).toBeLessThanOrEqual(nowNs());
  });

  it('calls a core when its deadline has come, and not before', async () => {
    const loop = makeLoop();
    const startNs = nowNs();
    const calledNs: number[] = [];
    let deadlineNs = startNs + 60e6;
    loop.addCore({
      pollTimeout: () => deadlineNs,
      handleTimeout: (at) => {
        calledNs.push(at);
        deadlineNs = Infinity;
      },
    });
    loop.start();
    await eventually(() => calledNs.length === 1, 'the deadline has come');
    expect(calledNs[0]).toBeGreaterThanOrEqual(startNs + 60e6);
    expect(calledNs).toHaveLength(1);
  });

  it('forwards what still waits when it stops', () => {
    const [source, sink] = [device('source'), device('sink')];
    const loop = makeLoop();
    loop.addPump(source, forwardTo(sink));
    loop.start();
    for (let i = 0; i < 500; i++) source.inject(Uint8Array.of(0x45));
    loop.stop();
    expect(sink.collect()).toHaveLength(500);
  });

  it('turns as long as the device calls back, and as long as nothing comes', async () => {
    const [source, sink] = [device('source'), device('sink')];
    const loop = makeLoop();
    loop.addPump(source, forwardTo(sink));
    loop.start();
    for (let round = 0; round < 3; round++) {
      source.inject(Uint8Array.of(0x45, round));
      const { packets } = loop.stats;
      await eventually(() => loop.stats.packets > packets, 'the packet is handled');
      await nextTick(loop);
      expect(loop.checkTurning()).toBe(true);
      await nextTick(loop);
      expect(loop.checkTurning()).toBe(true);
    }
  });

  it('does not turn when packets wait again and again and the device never calls back', async () => {
    const [source, sink] = [device('source'), device('sink')];
    source.onReadable = () => () => undefined;
    const loop = makeLoop();
    const handler = forwardTo(sink);
    loop.addPump(source, handler);
    loop.start();
    const check = async (): Promise<boolean> => {
      source.inject(Uint8Array.of(0x45));
      await nextTick(loop);
      return loop.checkTurning();
    };
    // One packet can have come a moment before the look.
    expect(await check()).toBe(true);
    expect(await check()).toBe(false);
    expect(await check()).toBe(false);
    // What was found is not lost.
    expect(sink.collect()).toHaveLength(3);
    await nextTick(loop);
    expect(loop.checkTurning()).toBe(true);
  });

  it('does not turn without its timer', async () => {
    const loop = makeLoop();
    loop.start();
    await nextTick(loop);
    expect(loop.checkTurning()).toBe(true);
    expect(loop.checkTurning()).toBe(false);
  });
});

/** Waits until the timer of a loop has run: until it has looked at a deadline. */
function nextTick(loop: PacketLoop): Promise<void> {
  return new Promise((resolve) => {
    let isOver = false;
    loop.addCore({
      pollTimeout: () => {
        if (!isOver) resolve();
        isOver = true;
        return Infinity;
      },
      handleTimeout: () => undefined,
    });
  });
}
