import { describe, expect, test } from 'vitest';
import { HostPair, smallGateway } from './host-pair.ts';
import { dscpOf } from './one-host.ts';
import { buildUdp } from './packets.ts';

describe('HostPair', () => {
  const packet = buildUdp({ src: '10.0.0.1', dst: '10.0.1.1', payloadLength: 10 });

  test("delivers after the delay, in order, and keeps the sender's bytes", () => {
    const pair = new HostPair({ delayNs: 30 });
    const arrived: number[] = [];
    pair.onDeliver = () => arrived.push(pair.nowNs);
    pair.send('a', packet);
    pair.at(5, () => pair.send('a', packet));
    pair.run(34);
    expect(arrived).toEqual([30]);
    pair.run(100);
    expect(arrived).toEqual([30, 35]);
    expect(pair.nowNs).toBe(100);
    expect(dscpOf(packet)).toBe(0);
    expect(pair.passages.map((passage) => [passage.sentNs, passage.mark])).toEqual([
      [0, 'FNE'],
      [5, 'LECT'],
    ]);
  });

  test('loses what the test says', () => {
    const pair = new HostPair({ delayNs: 1, isLost: (passage) => passage.number === 1 });
    let arrived = 0;
    pair.onDeliver = () => arrived++;
    for (let i = 0; i < 3; i++) pair.send('a', packet);
    pair.run(10);
    expect(arrived).toBe(2);
  });

  test('refuses to act in the past', () => {
    const pair = new HostPair({ delayNs: 1 });
    pair.run(10);
    expect(() => pair.at(9, () => undefined)).toThrow(/past/);
  });

  test('its gateway assigns a path to an FNE that enters', () => {
    const pair = new HostPair({ delayNs: 1, ...smallGateway('pool2', false) });
    const seen: number[] = [];
    pair.onDeliver = (_, bytes) => seen.push(dscpOf(bytes));
    pair.send('a', packet);
    pair.send('a', packet);
    pair.run(10);
    expect(seen).toEqual([11, 3]);
  });
});
