/** When the host gives a path up because nothing seems to come through: rules 2d and 2g of docs/protocol.md. */
import { beforeEach, describe, expect, test } from 'vitest';
import { ACK, EVERY_KIND, FIN, OneHost } from '../support/one-host.ts';
import type { LexHostOptions } from '../../lib/lex/options.ts';

describe.each(EVERY_KIND)('TCP over $name', ({ ends, scheme }) => {
  let h: OneHost;
  const hostWith = (options: LexHostOptions) => new OneHost({ scheme, ...options }, ends);
  beforeEach(() => {
    h = hostWith({});
  });

  describe('rule 2d: successive timeouts', () => {
    /** A flow pinned to path 2 with two segments of 100 bytes outstanding; RTT 0.1 s. Returns the time. */
    function outstanding(): number {
      const t = h.connect(0, 0.1, { assign: 2 });
      expect(h.send(t, 1, 100)).toBe('LECT/2');
      expect(h.send(t, 101, 100)).toBe('LECT/2');
      return t;
    }

    test('by default the retransmission at the second timeout is FNE, the first is LEx', () => {
      const t = outstanding();
      expect(h.send(t + 0.3, 1, 100)).toBe('LEx/2');
      expect(h.send(t + 0.9, 1, 100)).toBe('FNE');
      expect(h.reason).toBe('fneTimeouts');
      expect(h.send(t + 2.1, 1, 100)).toBe('FNE');
      expect(h.host.counters.unpinned).toBe(1);
    });

    test.each([1, 3, 15])('the number of timeouts can be set: %i', (fneAfterTimeouts) => {
      h = hostWith({ fneAfterTimeouts });
      const t = outstanding();
      for (let timeout = 1; timeout <= fneAfterTimeouts + 1; timeout++) {
        const mark = h.send(t + 0.3 * (2 ** timeout - 1), 1, 100);
        expect(mark).toBe(timeout < fneAfterTimeouts ? 'LEx/2' : 'FNE');
      }
    });

    test('a first silence that holds a probe timeout as well counts as two', () => {
      const t = outstanding();
      expect(h.send(t + 0.46, 1, 100)).toBe('FNE');
      expect(h.reason).toBe('fneTimeouts');
    });

    test('also when the probe is new data', () => {
      const t = outstanding();
      expect(h.send(t + 0.3, 201, 100)).toBe('LECT/2');
      expect(h.send(t + 0.6, 1, 100)).toBe('FNE');
    });

    test('a longer silence is one timeout when it follows an acknowledgement of the probe', () => {
      const t = outstanding();
      h.send(t + 0.2, 201, 100);
      h.ack(t + 0.3, 1, { sack: [[201, 301]] });
      expect(h.send(t + 0.6, 1, 100)).toBe('LEx/2');
    });

    test('on a short path the probe must have waited for the RTO to be told from its lateness', () => {
      const t = h.connect(0, 0.002, { assign: 2 });
      h.send(t, 1, 100);
      expect(h.send(t + 0.21, 1, 100)).toBe('LEx/2');
      h.ack(t + 0.212, 101);
      h.send(t + 0.22, 101, 100);
      expect(h.send(t + 0.62, 101, 100)).toBe('FNE');
    });

    test('later packets carry no path until one is assigned', () => {
      const t = outstanding();
      h.send(t + 0.3, 1, 100);
      h.send(t + 0.9, 1, 100);
      expect(h.send(t + 1, 201, 100)).toBe('LECT');
      h.ack(t + 1.1, 201);
      expect(h.send(t + 1.1, 301, 100)).toBe('LECT');
      expect(h.send(t + 1.1, 201, 100)).toBe('LEx');
      h.ack(t + 1.2, 401, { assign: 5 });
      expect(h.send(t + 1.2, 401, 100)).toBe('LECT/5');
    });

    test('a fast retransmission, which duplicate ACKs clock, is no timeout', () => {
      const t = outstanding();
      for (let i = 0; i < 3; i++) h.ack(t + 0.1, 1);
      expect(h.send(t + 0.1, 1, 100)).toBe('LEx/2');
      for (let i = 0; i < 3; i++) h.ack(t + 0.25, 1);
      expect(h.send(t + 0.25, 1, 100)).toBe('LEx/2');
      for (let i = 0; i < 3; i++) h.ack(t + 0.5, 1);
      expect(h.send(t + 0.5, 1, 100)).toBe('LEx/2');
    });

    test("a retransmission clocked by SACK on the peer's data segments is no timeout", () => {
      h = hostWith({ fneAfterTimeouts: 1 });
      const t = outstanding();
      h.ack(t + 0.15, 1, { length: 500, sack: [[101, 201]] });
      expect(h.send(t + 0.15, 1, 100)).toBe('LEx/2');
    });

    test('a fast retransmission and one timeout after it are not two', () => {
      const t = outstanding();
      h.ack(t + 0.1, 1);
      expect(h.send(t + 0.1, 1, 100)).toBe('LEx/2');
      expect(h.send(t + 0.5, 1, 100)).toBe('LEx/2');
      expect(h.send(t + 1.3, 1, 100)).toBe('FNE');
    });

    test('acknowledgement progress starts the count again', () => {
      const t = outstanding();
      expect(h.send(t + 0.3, 1, 100)).toBe('LEx/2');
      h.ack(t + 0.4, 101);
      expect(h.send(t + 0.8, 101, 100)).toBe('LEx/2');
      h.ack(t + 0.9, 151);
      expect(h.send(t + 1.3, 151, 50)).toBe('LEx/2');
      expect(h.send(t + 2.3, 151, 50)).toBe('FNE');
    });

    test('an acknowledgement without progress does not', () => {
      const t = outstanding();
      h.send(t + 0.3, 1, 100);
      h.ack(t + 0.4, 1);
      expect(h.send(t + 0.9, 1, 100)).toBe('FNE');
    });

    test('retransmissions behind the head do not count', () => {
      const t = outstanding();
      expect(h.send(t + 0.3, 1, 100)).toBe('LEx/2');
      expect(h.send(t + 0.6, 101, 100)).toBe('LEx/2');
      expect(h.send(t + 0.9, 101, 100)).toBe('LEx/2');
    });

    test('a FIN without data that is sent again and again gives the path up as well', () => {
      const t = h.connect(0, 0.1, { assign: 2 });
      h.send(t, 1, 0, { tcpFlags: ACK | FIN });
      expect(h.send(t + 0.3, 1, 0, { tcpFlags: ACK | FIN })).toBe('LECT/2');
      expect(h.send(t + 0.9, 1, 0, { tcpFlags: ACK | FIN })).toBe('FNE');
    });

    test('the repeated bytes are counted as an exclusion', () => {
      const t = outstanding();
      h.send(t + 0.3, 1, 100);
      h.send(t + 0.9, 1, 100);
      expect(h.host.counters.lexPayloadBytes).toBe(100);
      expect(h.host.counters.excludedBytes[2]).toBe(100);
    });

    test('the earlier path does not come back when the gateway never answers', () => {
      const t = outstanding();
      h.send(t + 0.3, 1, 100);
      h.send(t + 0.9, 1, 100);
      h.ack(t + 1, 201);
      h.ack(t + 2, 201);
      expect(h.send(t + 2, 201, 100)).toBe('FNE');
      h.ack(t + 2.2, 301);
      expect(h.send(t + 2.2, 301, 100)).toBe('LECT');
    });
  });

  describe('rule 2g: the peer repeats what was acknowledged', () => {
    /** A download on path 3: 1,000 bytes came, and were acknowledged; returns the time. */
    const receive = (): number => {
      h.connect(0, 0.1, { assign: 3 });
      h.ack(0.2, 1, { length: 1000 });
      expect(acknowledge(0.2)).toBe('LECT/3');
      return 0.2;
    };
    const acknowledge = (t: number): string => h.send(t, 1, 0, { ackNumber: h.peerIsn + 1001 });

    test('after a silence longer than a round trip the acknowledgement is FNE, and the path is given up', () => {
      const t = receive();
      h.ack(t + 0.35, 1, { length: 1000 });
      expect(acknowledge(t + 0.35)).toBe('FNE');
      expect(h.reason).toBe('fnePeerRepeats');
      expect(acknowledge(t + 0.36)).toBe('LECT');
      expect(h.host.counters.unpinned).toBe(1);
    });

    test('what is repeated with the same burst asks no more', () => {
      const t = receive();
      h.ack(t + 0.35, 1, { length: 500 });
      expect(acknowledge(t + 0.35)).toBe('FNE');
      h.ack(t + 0.36, 1, { seq: 501, length: 500 });
      expect(acknowledge(t + 0.36)).toBe('LECT');
    });

    test('what is repeated sooner was not repeated by a timer', () => {
      const t = receive();
      h.ack(t + 0.19, 1, { length: 1000 });
      expect(acknowledge(t + 0.19)).toBe('LECT/3');
    });

    test('data that was not acknowledged asks for nothing, new or in a hole', () => {
      const t = receive();
      h.ack(t + 0.35, 1, { seq: 2001, length: 1000 });
      expect(acknowledge(t + 0.35)).toBe('LECT/3');
      h.ack(t + 0.7, 1, { seq: 1001, length: 1000 });
      expect(acknowledge(t + 0.7)).toBe('LECT/3');
    });

    test('a byte alone is a keep-alive', () => {
      const t = receive();
      h.ack(t + 0.5, 1, { seq: 1000, length: 1 });
      expect(acknowledge(t + 0.5)).toBe('LECT/3');
    });

    test('own data that is sent again stays LEx, and what is new asks', () => {
      const t = receive();
      h.send(t, 1, 100);
      h.ack(t + 0.35, 1, { length: 1000 });
      expect(h.send(t + 0.35, 1, 100)).toBe('LEx/3');
      expect(h.send(t + 0.36, 101, 100)).toBe('FNE');
      expect(h.reason).toBe('fnePeerRepeats');
    });

    test('a host that came to the flow in its middle knows what it acknowledged since', () => {
      acknowledge(0);
      h.ack(0.5, 1, { assign: 3, length: 1000 });
      expect(acknowledge(0.5)).toBe('FNE');
    });
  });
});
