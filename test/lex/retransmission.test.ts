import { beforeEach, describe, expect, test } from 'vitest';
import { EXCLUSION_NAMES } from '../../lib/lex/counters.ts';
import { ACK, EVERY_KIND, FIN, OneHost, RST, SYN } from '../support/one-host.ts';

function excluded(h: OneHost): Record<string, number> {
  return Object.fromEntries(EXCLUSION_NAMES.map((name, i) => [name, h.host.counters.excludedBytes[i]]));
}

describe.each(EVERY_KIND)('rule 3 over $name', ({ ends, scheme }) => {
  let h: OneHost;
  let t: number;
  const lexBytes = () => h.host.counters.lexPayloadBytes;
  beforeEach(() => {
    h = new OneHost({ scheme }, ends);
    t = h.connect();
  });

  describe('payload sent before is LEx', () => {
    beforeEach(() => {
      h.send(t, 1, 100);
      h.send(t, 101, 100);
      h.ack(t + 0.1, 1);
    });

    test.each([
      ['the head', 1, 100],
      ['a later segment', 101, 100],
      ['a piece of one', 31, 10],
      ['both in one', 1, 200],
      ['the last byte', 200, 1],
    ])('%s', (_, seq, length) => {
      expect(h.send(t + 0.1, seq, length)).toBe('LEx');
      expect(h.reason).toBe('lexRetransmission');
      expect(lexBytes()).toBe(length);
    });

    test('old bytes with new ones behind them', () => {
      expect(h.send(t + 0.1, 151, 100)).toBe('LEx');
      expect(lexBytes()).toBe(100);
    });

    test('and the new ones behind them are sent from then on, too', () => {
      h.send(t + 0.1, 151, 100);
      expect(h.send(t + 0.2, 201, 50)).toBe('LEx');
      expect(h.send(t + 0.2, 251, 50)).toBe('LECT');
    });

    test('bytes that were acknowledged already', () => {
      h.ack(t + 0.1, 201);
      expect(h.send(t + 0.2, 1, 100)).toBe('LEx');
    });

    test('each time again', () => {
      for (let i = 1; i <= 3; i++) {
        h.ack(t + i / 10, 1);
        expect(h.send(t + i / 10, 1, 100)).toBe('LEx');
      }
      expect(lexBytes()).toBe(300);
    });

    test('data with a FIN', () => {
      expect(h.send(t + 0.1, 101, 100, { tcpFlags: ACK | FIN })).toBe('LEx');
    });
  });

  test('the last byte together with a new one is LEx, not a keep-alive', () => {
    h.send(t, 1, 100);
    h.ack(t + 0.1, 101);
    expect(h.send(t + 0.2, 100, 2)).toBe('LEx');
    expect(h.send(t + 0.3, 101, 1)).toBe('LEx');
  });

  test('a pure ACK with data outstanding is LECT', () => {
    h.send(t, 1, 100);
    expect(h.send(t, 101, 0)).toBe('LECT');
    expect(h.send(t, 1, 0)).toBe('LECT');
  });

  test('a bare FIN that is repeated carries no payload and is not LEx', () => {
    h.send(t, 1, 0, { tcpFlags: ACK | FIN });
    expect(h.send(t + 0.3, 1, 0, { tcpFlags: ACK | FIN })).toBe('LECT');
    expect(lexBytes()).toBe(0);
  });

  test('data with a FIN is LEx when it goes out again', () => {
    h.send(t, 1, 100, { tcpFlags: ACK | FIN });
    expect(h.send(t + 0.3, 1, 100, { tcpFlags: ACK | FIN })).toBe('LEx');
    expect(lexBytes()).toBe(100);
  });

  test('a FIN added to data that goes out again is known afterwards: the ACK of both is believed', () => {
    h.send(t, 1, 100);
    h.ack(t, 1);
    expect(h.send(t + 0.05, 1, 100, { tcpFlags: ACK | FIN })).toBe('LEx');
    h.ack(t + 0.2, 102);
    expect(h.host.counters.impossibleAcks).toBe(0);
  });

  test('a reset in the middle of things is LECT', () => {
    h.send(t, 1, 100);
    expect(h.send(t, 101, 0, { tcpFlags: RST | ACK })).toBe('LECT');
  });

  test('a GSO super-packet is one decision and counts all of its payload', () => {
    h.send(t, 1, 60_000);
    expect(h.send(t, 60_001, 60_000)).toBe('LECT');
    h.ack(t + 0.1, 1);
    expect(h.send(t + 0.1, 1, 60_000)).toBe('LEx');
    expect(lexBytes()).toBe(60_000);
    expect(h.host.counters.outPackets.reduce((a, b) => a + b)).toBe(5);
  });

  test('a flow seen from its middle knows the bytes from there on', () => {
    h.restart();
    h.send(t, 1001, 100);
    expect(h.send(t, 1101, 100)).toBe('LECT');
    expect(h.send(t + 0.05, 1001, 100)).toBe('LEx');
    expect(h.send(t + 0.05, 1101, 100)).toBe('LEx');
    // Below the mark lies also what was sent before the host looked.
    expect(h.send(t + 0.05, 901, 100)).toBe('LEx');
    expect(excluded(h).restart).toBe(100);
  });

  describe('sequence numbers that wrap', () => {
    test.each([-1, -2, -51, -101, -150, -(2 ** 31) - 51, 2 ** 31 - 51])(
      'initial number %i: a loss-free flow has no LEx, a lossy one has it where it lost',
      (isn) => {
        for (const loses of [false, true]) {
          h = new OneHost({ scheme }, ends);
          h.isn = isn >>> 0;
          t = h.connect();
          for (let i = 0; i < 10; i++) {
            const seq = 1 + i * 50;
            expect(h.send(t, seq, 50)).toBe('LECT');
            if (loses) {
              expect(h.send(t, seq + 50, 50)).toBe('LECT');
              h.ack(t + 0.1, seq);
              expect(h.send(t + 0.1, seq, 50)).toBe('LEx');
              expect(h.send(t + 0.1, seq + 50, 50)).toBe('LEx');
              h.ack(t + 0.2, seq + 100);
              i++;
            } else h.ack(t + 0.1, seq + 50);
            t += 0.2;
          }
          expect(lexBytes()).toBe(loses ? 500 : 0);
          expect(h.host.counters.impossibleAcks).toBe(0);
        }
      },
    );

    test('a keep-alive just behind the wrap is FNE', () => {
      h = new OneHost({ scheme }, ends);
      h.isn = 0xffffffff;
      t = h.connect();
      expect(h.send(t + 0.5, 0, 0)).toBe('FNE');
      expect(h.reason).toBe('fneKeepAlive');
    });

    test('6 GB in one flow are new from the first byte to the last', () => {
      // The host only sees numbers; steps of 2^30 are as good as the packets between them.
      for (let seq = 1; seq < 6e9; seq += 2 ** 29) {
        expect(h.send(t, seq, 1000)).toBe('LECT');
        h.ack(t + 0.1, seq + 1000);
        t += 0.2;
      }
      expect(lexBytes()).toBe(0);
    });
  });

  describe('zero-window probes are not LEx', () => {
    test('of Linux: no byte at una - 1', () => {
      h.send(t, 1, 100);
      h.ack(t + 0.1, 101, { window: 0 });
      for (const later of [0.3, 0.7, 1.5]) {
        expect(h.send(t + later, 100, 0)).toBe('LECT');
        expect(h.reason).toBe('lectZeroWindowProbe');
        h.ack(t + later + 0.1, 101, { window: 0 });
      }
      expect(lexBytes()).toBe(0);
    });

    test('of BSD: one new byte, then the same again', () => {
      h.send(t, 1, 100);
      h.ack(t + 0.1, 101, { window: 0 });
      expect(h.send(t + 0.3, 101, 1)).toBe('LECT');
      for (const later of [0.6, 1.2, 2.4, 4.8, 9.6, 19.2]) {
        h.ack(t + later - 0.2, 101, { window: 0 });
        expect(h.send(t + later, 101, 1)).toBe('LECT');
        expect(h.reason).toBe('lectZeroWindowProbe');
      }
      expect(lexBytes()).toBe(0);
      expect(excluded(h).zeroWindow).toBe(6);
    });

    test('and are no timeouts while the peer answers them: the path stays', () => {
      h.ack(t, 1, { assign: 3 });
      h.send(t, 1, 100);
      h.ack(t + 0.1, 101, { window: 0 });
      h.send(t + 0.3, 101, 1);
      for (const later of [0.6, 1.2, 2.4, 4.8]) {
        h.ack(t + later - 0.2, 101, { window: 0 });
        expect(h.send(t + later, 101, 1)).toBe('LECT/3');
      }
      expect(h.host.counters.unpinned).toBe(0);
    });

    test('but when nothing answers them any more they give the path up', () => {
      h.ack(t, 1, { assign: 3 });
      h.send(t, 1, 100);
      h.ack(t + 0.1, 101, { window: 0 });
      h.send(t + 0.3, 101, 1);
      h.ack(t + 0.4, 101, { window: 0 });
      expect(h.send(t + 0.9, 101, 1)).toBe('LECT/3');
      expect(h.send(t + 2.1, 101, 1)).toBe('LECT/3');
      expect(h.send(t + 4.5, 101, 1)).toBe('FNE');
    });

    test('nor are the repeats of a sender whose peer took its window back', () => {
      h.send(t, 1, 100);
      h.send(t, 101, 100);
      h.ack(t + 0.1, 101, { window: 0 });
      expect(h.send(t + 0.4, 101, 100)).toBe('LECT');
      expect(excluded(h).zeroWindow).toBe(100);
      h.ack(t + 0.5, 101, { window: 500 });
      expect(h.send(t + 0.5, 101, 100)).toBe('LEx');
    });

    test('an old segment does not close the window', () => {
      h.ack(t, 1, { seq: 1001 });
      h.send(t, 1, 100);
      h.ack(t + 0.1, 1, { seq: 501, window: 0 });
      expect(h.send(t + 0.3, 1, 100)).toBe('LEx');
    });

    test('an opened window makes a probe at una - 1 a keep-alive again', () => {
      h.ack(t, 1, { window: 0 });
      h.ack(t + 0.1, 1, { window: 1 });
      expect(h.send(t + 0.5, 0, 0)).toBe('FNE');
      expect(h.reason).toBe('fneKeepAlive');
    });
  });

  describe('TCP Fast Open', () => {
    beforeEach(() => {
      h = new OneHost({ scheme }, ends);
      t = 0.1;
      expect(h.syn(0, 300)).toBe('FNE');
    });
    const synAck = (at: number, ack: number) => h.ack(at, ack, { flags: SYN | ACK, seq: 0 });

    test('data that was accepted is not sent again; new data is LECT', () => {
      synAck(t, 301);
      expect(h.send(t, 301, 100)).toBe('LECT');
      expect(excluded(h).tfo).toBe(0);
    });

    test('data that was refused is LECT when it goes out again in one piece', () => {
      synAck(t, 1);
      expect(h.send(t, 1, 300)).toBe('LECT');
      expect(h.reason).toBe('lectTfoRepeat');
      expect(excluded(h).tfo).toBe(300);
      expect(lexBytes()).toBe(0);
    });

    test('the third time it was lost: LEx', () => {
      synAck(t, 1);
      h.send(t, 1, 300);
      expect(h.send(t + 0.3, 1, 300)).toBe('LEx');
    });

    test('in pieces each piece is LECT, and LEx when it goes out once more', () => {
      synAck(t, 1);
      expect(h.send(t, 1, 100)).toBe('LECT');
      expect(h.send(t, 101, 100)).toBe('LECT');
      expect(h.send(t, 201, 100)).toBe('LECT');
      expect(excluded(h).tfo).toBe(300);
      expect(h.send(t + 0.3, 1, 100)).toBe('LEx');
      expect(h.send(t + 0.3, 101, 100)).toBe('LEx');
      expect(h.send(t + 0.3, 201, 100)).toBe('LEx');
    });

    test('a piece lost before the rest went out is LEx, the rest is not', () => {
      synAck(t, 1);
      h.send(t, 1, 100);
      expect(h.send(t + 0.3, 1, 100)).toBe('LEx');
      h.ack(t + 0.4, 101);
      expect(h.send(t + 0.4, 101, 200)).toBe('LECT');
      expect(h.send(t + 0.8, 101, 200)).toBe('LEx');
    });

    test('a repeated SYN-ACK does not make the third time look like the second', () => {
      synAck(t, 1);
      h.send(t, 1, 300);
      synAck(t + 0.2, 1);
      expect(h.send(t + 0.3, 1, 300)).toBe('LEx');
    });

    test('a refused piece with new data behind it is LECT, and all of it is known afterwards', () => {
      synAck(t, 1);
      expect(h.send(t, 1, 400)).toBe('LECT');
      expect(h.send(t + 0.3, 301, 100)).toBe('LEx');
    });

    test('a SYN repeated without its data leaves the data to be repeated once', () => {
      expect(h.syn(1, 0)).toBe('FNE');
      synAck(1.1, 1);
      expect(h.send(1.1, 1, 300)).toBe('LECT');
      expect(h.send(1.4, 1, 300)).toBe('LEx');
    });

    test('over the wrap it is the same', () => {
      for (const isn of [
        0xffffffff,
        0xfffffffe,
        0xffffffff - 150,
        2 ** 32 - 301,
        0x7fffffff,
        0x7fffffff - 150,
      ]) {
        h = new OneHost({ scheme }, ends);
        h.isn = isn;
        h.syn(0, 300);
        synAck(t, 1);
        expect(h.send(t, 1, 150)).toBe('LECT');
        expect(h.send(t, 151, 150)).toBe('LECT');
        expect(h.send(t + 0.3, 1, 150)).toBe('LEx');
        expect(h.send(t + 0.3, 151, 150)).toBe('LEx');
      }
    });
  });

  describe('acknowledgements that cannot be', () => {
    test('of data never sent are counted and not believed', () => {
      h.send(t, 1, 100);
      h.ack(t + 0.1, 5000);
      expect(h.host.counters.impossibleAcks).toBe(1);
      expect(h.send(t + 0.1, 101, 100)).toBe('LECT');
      h.ack(t + 0.2, 201);
      expect(h.host.counters.impossibleAcks).toBe(1);
    });

    test('are believed once in a flow seen from its middle', () => {
      h.restart();
      h.send(t, 1, 100);
      h.ack(t + 0.1, 5001);
      expect(h.host.counters.impossibleAcks).toBe(0);
      expect(h.send(t + 0.2, 4901, 100)).toBe('LEx');
      expect(h.send(t + 0.2, 5001, 100)).toBe('LECT');
      h.ack(t + 0.3, 9001);
      expect(h.host.counters.impossibleAcks).toBe(1);
      expect(h.send(t + 0.3, 5101, 100)).toBe('LECT');
    });

    test('below una change nothing', () => {
      h.send(t, 1, 100);
      h.ack(t + 0.1, 101);
      h.ack(t + 0.2, 51, { window: 0 });
      expect(h.send(t + 0.5, 100, 0)).toBe('FNE');
      expect(h.reason).toBe('fneKeepAlive');
    });
  });
});
