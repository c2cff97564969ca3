import { describe, expect, test } from 'vitest';
import { EXCLUSION_FNE_REPEAT } from '../../lib/lex/counters.ts';
import type { LexHostOptions } from '../../lib/lex/options.ts';
import { GIVEN_UP_NS } from '../../lib/lex/path-memory.ts';
import { LexHost } from '../../lib/lex/lex-host.ts';
import { EVERY_KIND, OneHost } from '../support/one-host.ts';
import type { Ends } from '../support/one-host.ts';

/** Opens a connection from this port that is assigned a path, at time `t`. */
function open(h: OneHost, srcPort: number, path: number, t: number): void {
  h.ports = { srcPort, dstPort: 80 };
  h.connect(t, 0.1, { assign: path });
}

/** Sends 100 bytes at `t` and lets them time out once and twice; returns the marks of the repeats. */
function timeOutTwice(h: OneHost, t: number, seq = 1): string[] {
  h.send(t, seq, 100);
  return [h.send(t + 0.4, seq, 100), h.send(t + 1.2, seq, 100)];
}

describe.each(EVERY_KIND)('a host-driven host over $name', ({ ends, scheme }) => {
  const make = (options: LexHostOptions = {}): OneHost =>
    new OneHost({ scheme, hostDriven: true, ...options }, ends);

  test('moves a flow to a path learnt for the same address at its second timeout, and counts it', () => {
    const h = make();
    open(h, 40001, 2, 0);
    open(h, 40000, 1, 0.2);
    expect(timeOutTwice(h, 0.4)).toEqual(['LEx/1', 'LECT/2']);
    expect(h.reason).toBe('lectMoved');
    expect(h.host.counters.moved).toBe(1);
    expect(h.host.counters.unpinned).toBe(0);
    expect(h.host.counters.excludedBytes[EXCLUSION_FNE_REPEAT]).toBe(100);
    expect(h.host.counters.lexPayloadBytes).toBe(100);
    // It stays there.
    h.ack(1.7, 101);
    expect(h.send(1.7, 101, 100)).toBe('LECT/2');
  });

  test('asks the gateway when it has learnt no other path', () => {
    const h = make();
    open(h, 40000, 1, 0);
    expect(timeOutTwice(h, 0.2)).toEqual(['LEx/1', 'FNE']);
    expect(h.host.counters.moved).toBe(0);
    expect(h.host.counters.unpinned).toBe(1);
  });

  test('tries each learnt path for one timeout, the latest first, and then asks', () => {
    const h = make();
    open(h, 40002, 3, 0);
    open(h, 40001, 2, 0.2);
    open(h, 40000, 1, 0.4);
    expect(timeOutTwice(h, 0.6)).toEqual(['LEx/1', 'LECT/2']);
    expect(h.send(3.4, 1, 100)).toBe('LECT/3');
    expect(h.send(6.6, 1, 100)).toBe('FNE');
    expect(h.host.counters.moved).toBe(2);
  });

  test('does not use what it learnt for another address', () => {
    const h = make();
    const elsewhere: Ends = { ...ends, remote: ends.remote.replace(/1$/, '9') };
    const other = new OneHost({ scheme, hostDriven: true }, elsewhere);
    other.host = h.host;
    open(other, 40001, 2, 0);
    open(h, 40000, 1, 0.2);
    expect(h.host.learntAddresses).toBe(2);
    expect(timeOutTwice(h, 0.4)[1]).toBe('FNE');
  });

  test('does not move a flow to a path that another gave up within 30 s', () => {
    const h = make();
    open(h, 40001, 2, 0);
    open(h, 40002, 1, 0.1);
    open(h, 40000, 2, 0.2);
    expect(timeOutTwice(h, 0.4)[1]).toBe('LECT/1');
    h.ports = { srcPort: 40002, dstPort: 80 };
    expect(timeOutTwice(h, 2)[1]).toBe('FNE');
  });

  test('tries a path that was given up again after 30 s, or when it is assigned anew', () => {
    for (const isAssigned of [false, true]) {
      const h = make();
      open(h, 40001, 2, 0);
      open(h, 40002, 1, 0.1);
      open(h, 40000, 2, 0.2);
      timeOutTwice(h, 0.4);
      if (isAssigned) open(h, 40003, 2, 2);
      const t = isAssigned ? 3 : 2 + GIVEN_UP_NS / 1e9;
      open(h, 40004, 1, t);
      expect(timeOutTwice(h, t + 0.2)[1]).toBe('LECT/2');
    }
  });

  test('forgets a path that was not assigned for its lifetime', () => {
    const h = make({ learntPathLifetimeNs: 20e9 });
    open(h, 40001, 2, 0);
    open(h, 40000, 1, 21);
    expect(timeOutTwice(h, 21.2)[1]).toBe('FNE');
  });
});

describe('the memory of learnt paths', () => {
  test('is bounded: another address takes the place of one', () => {
    const ends = (i: number): Ends => ({ local: '10.0.0.1', remote: `10.1.0.${i}` });
    const h = new OneHost({ hostDriven: true, learntAddresses: 4 }, ends(1));
    for (let i = 1; i <= 50; i++) {
      const one = new OneHost({ hostDriven: true }, ends(i));
      one.host = h.host;
      open(one, 40000, 1, i);
    }
    expect(h.host.learntAddresses).toBe(4);
  });

  test('is emptied by the sweep', () => {
    const h = new OneHost({ hostDriven: true, learntPathLifetimeNs: 10e9 });
    open(h, 40000, 1, 0);
    expect(h.host.learntAddresses).toBe(1);
    for (let t = 1; t < 20; t++) h.host.handleTimeout(t * 1e9);
    expect(h.host.learntAddresses).toBe(0);
  });

  test('is not there unless it is asked for', () => {
    const h = new OneHost();
    open(h, 40001, 2, 0);
    open(h, 40000, 1, 0.2);
    expect(h.host.learntAddresses).toBe(0);
    expect(timeOutTwice(h, 0.4)[1]).toBe('FNE');
  });

  test.each([
    [{ hostDriven: 1 }, /hostDriven: 1 .* true or false/],
    [{ learntAddresses: 0 }, /learntAddresses: 0 .* from 1 to/],
    [{ learntPathLifetimeNs: 1 }, /learntPathLifetimeNs: 1 /],
  ])('its options are checked: %j', (options, message) => {
    expect(() => new LexHost(options as unknown as LexHostOptions)).toThrow(message);
  });
});
