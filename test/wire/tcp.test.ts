import { describe, expect, test } from 'vitest';
import fc from 'fast-check';
import * as tcp from '../../lib/wire/tcp.ts';
import * as options from '../../lib/wire/tcp-options.ts';
import { PARSE_BAD_HEADER, PARSE_OK, PARSE_TRUNCATED } from '../../lib/wire/parse-code.ts';
import type { TcpFields } from '../support/packets.ts';
import { buildTcp, viewOf } from '../support/packets.ts';

const byte = fc.integer({ min: 0, max: 255 });
const word = fc.integer({ min: 0, max: 0xffff });
const int32 = fc.integer({ min: -(2 ** 31), max: 2 ** 31 - 1 });

/** The TCP header of a segment that the test builder wrote: its view, and 20 as its offset. */
function headerOf(fields: TcpFields): DataView {
  return viewOf(buildTcp(fields));
}
const AT = 20;

/** Kind and length of every option that the iteration finds. */
function listed(view: DataView): [number, number][] {
  const found: [number, number][] = [];
  for (
    let option = options.firstOption(view, AT);
    option >= 0;
    option = options.nextOption(view, AT, option)
  ) {
    found.push([options.optionKind(view, option), options.optionLength(view, option)]);
  }
  return found;
}

describe('the TCP header', () => {
  test('a written header reads back field by field, at any offset', () => {
    const fields = fc.record({
      srcPort: word,
      dstPort: word,
      seqNumber: int32,
      ackNumber: int32,
      flags: byte,
      windowField: word,
      urgentPointer: word,
    });
    const words = fc.integer({ min: 0, max: 10 });
    fc.assert(
      fc.property(fields, words, fc.integer({ min: 0, max: 9 }), (given, optionWords, at) => {
        const length = 20 + 4 * optionWords;
        const view = new DataView(new ArrayBuffer(at + length));
        const optionBytes = new Uint8Array(4 * optionWords).fill(1);
        expect(tcp.writeTcpHeader(view, at, { ...given, options: optionBytes })).toBe(length);
        expect(tcp.checkTcp(view, at, length)).toBe(PARSE_OK);
        expect(tcp.headerLength(view, at)).toBe(length);
        expect({
          srcPort: tcp.srcPort(view, at),
          dstPort: tcp.dstPort(view, at),
          seqNumber: tcp.seqNumber(view, at),
          ackNumber: tcp.ackNumber(view, at),
          flags: tcp.flags(view, at),
          windowField: tcp.windowField(view, at),
          urgentPointer: tcp.urgentPointer(view, at),
        }).toEqual(given);
      }),
    );
  });

  test('a written header equals the one that the test builder writes', () => {
    const built = buildTcp({ seqNumber: 4_000_000_000, ackNumber: 77, tcpFlags: 18, mss: 1460 });
    const written = new Uint8Array(24);
    tcp.writeTcpHeader(viewOf(written), 0, {
      srcPort: 40000,
      dstPort: 80,
      seqNumber: 4_000_000_000,
      ackNumber: 77,
      flags: 18,
      windowField: 1000,
      options: Uint8Array.of(2, 4, 0x05, 0xb4),
    });
    tcp.setChecksum(viewOf(written), 0, tcp.checksum(viewOf(built), 20));
    expect(written).toEqual(built.slice(20));
  });

  test('formatTcp gives one line with the options that are there', () => {
    const syn = headerOf({ tcpFlags: 2, mss: 1460, windowScale: 7, timestamps: [5, 0] });
    expect(tcp.formatTcp(syn, AT)).toBe(
      'TCP 40000 > 80 SYN seq 1 ack 0 window 1000 mss 1460 wscale 7 ts 5/0',
    );
    const ack = headerOf({ seqNumber: 2 ** 32 - 1, sack: [[10, 20]] });
    expect(tcp.formatTcp(ack, AT)).toBe('TCP 40000 > 80 ACK seq 4294967295 ack 0 window 1000 sack 10-20');
    expect(tcp.formatTcp(headerOf({ tcpFlags: 0 }), AT)).toContain(' none ');
  });
});

describe('checkTcp', () => {
  test('takes a header that fits', () => {
    expect(tcp.checkTcp(headerOf({ mss: 1 }), AT, 24)).toBe(PARSE_OK);
  });

  test('calls fewer than 20 bytes, or fewer than the data offset says, truncated', () => {
    expect(tcp.checkTcp(headerOf({}), AT, 19)).toBe(PARSE_TRUNCATED);
    expect(tcp.checkTcp(headerOf({ mss: 1 }), AT, 23)).toBe(PARSE_TRUNCATED);
  });

  test('calls a data offset below 5 a bad header', () => {
    const view = headerOf({});
    view.setUint8(AT + 12, 0x40);
    expect(tcp.checkTcp(view, AT, 20)).toBe(PARSE_BAD_HEADER);
  });
});

describe('TCP options', () => {
  test('every option of a SYN is found in order', () => {
    const view = headerOf({
      tcpFlags: 2,
      mss: 1460,
      sackPermitted: true,
      timestamps: [1, 2],
      windowScale: 7,
    });
    expect(listed(view)).toEqual([
      [2, 4],
      [4, 2],
      [8, 10],
      [3, 3],
    ]);
  });

  test('values read back as they were built', () => {
    const block = fc.tuple(int32, int32);
    fc.assert(
      fc.property(
        word,
        byte,
        int32,
        int32,
        fc.array(block, { minLength: 1, maxLength: 2 }),
        (mss, scale, value, echo, sack) => {
          const view = headerOf({ mss, windowScale: scale, timestamps: [value, echo], sack });
          expect(options.maximumSegmentSize(view, AT)).toBe(mss);
          expect(options.windowScaleShift(view, AT)).toBe(scale);
          const timestamps = options.timestampsOption(view, AT);
          expect(options.timestampValue(view, timestamps)).toBe(value);
          expect(options.timestampEcho(view, timestamps)).toBe(echo);
          const sackAt = options.sackOption(view, AT);
          const blocks = Array.from({ length: options.sackBlockCount(view, sackAt) }, (_, i) => [
            options.sackLeftEdge(view, sackAt, i),
            options.sackRightEdge(view, sackAt, i),
          ]);
          expect(blocks).toEqual(sack);
        },
      ),
    );
  });

  test('a header without options has none', () => {
    const view = headerOf({});
    expect(options.firstOption(view, AT)).toBe(-1);
    expect(options.maximumSegmentSize(view, AT)).toBe(-1);
    expect(options.windowScaleShift(view, AT)).toBe(-1);
    expect(options.timestampsOption(view, AT)).toBe(-1);
    expect(options.sackOption(view, AT)).toBe(-1);
    expect(options.isSackPermitted(view, AT)).toBe(false);
  });

  test('SACK permitted is seen', () => {
    expect(options.isSackPermitted(headerOf({ sackPermitted: true }), AT)).toBe(true);
  });

  test.each<[string, number[]]>([
    ['a length of 0', [8, 0, 0, 0]],
    ['a length of 1', [8, 1, 0, 0]],
    ['a length beyond the header', [8, 10, 0, 0]],
    ['an end of list', [0, 3, 3, 7]],
    ['a kind without room for its length', [1, 1, 1, 8]],
  ])('%s ends the list, what came before counts', (_, tail) => {
    const view = headerOf({ mss: 536, tcpOptions: tail });
    expect(listed(view)).toEqual([[2, 4]]);
    expect(options.maximumSegmentSize(view, AT)).toBe(536);
  });

  test('an option shorter than its kind is not taken for one', () => {
    expect(options.maximumSegmentSize(headerOf({ tcpOptions: [2, 3, 5, 0] }), AT)).toBe(-1);
  });

  test('iteration ends inside the header, whatever its bytes', () => {
    fc.assert(
      fc.property(fc.array(byte, { maxLength: 40 }), (bytes) => {
        const view = headerOf({ tcpOptions: bytes });
        const end = AT + tcp.headerLength(view, AT);
        for (const [, length] of listed(view)) expect(length).toBeGreaterThanOrEqual(2);
        for (let o = options.firstOption(view, AT); o >= 0; o = options.nextOption(view, AT, o)) {
          expect(o + options.optionLength(view, o)).toBeLessThanOrEqual(end);
        }
      }),
    );
  });
});
