import { describe, expect, test } from 'vitest';
import {
  CODEPOINT_FNE,
  CODEPOINT_LECT,
  CODEPOINT_LEX,
  CODEPOINT_NAMES,
  CODEPOINT_NOT_LECT,
  DSCP_UNCHANGED,
  encodeMark,
  isAssignment,
  markCodepoint,
  markPathId,
  markingScheme,
} from '../../../lib/wire/marking/scheme.ts';

const pool2 = markingScheme('pool2');
const full = markingScheme('full');

// DSCP, codepoint, path ID: the whole of pool 2, written out from docs/protocol.md. All else is Not-LECT.
const POOL2: readonly (readonly [number, string, number])[] = [
  [3, 'LECT', 0],
  [7, 'FNE', 0],
  [11, 'LECT', 1],
  [15, 'LEx', 1],
  [19, 'LECT', 2],
  [23, 'LEx', 2],
  [27, 'LECT', 3],
  [31, 'LEx', 3],
  [35, 'LECT', 4],
  [39, 'LEx', 4],
  [43, 'LECT', 5],
  [47, 'LEx', 5],
  [51, 'LECT', 6],
  [55, 'LEx', 6],
  [59, 'LECT', 0],
  [63, 'LEx', 0],
];

function decoded(table: Uint8Array, dscp: number): readonly [string, number] {
  const mark = table[dscp]!;
  return [CODEPOINT_NAMES[markCodepoint(mark)]!, markPathId(mark)];
}

describe('the scheme pool2', () => {
  test.each(POOL2)('DSCP %i is %s on path %i', (dscp, codepoint, pathId) => {
    expect(decoded(pool2.decodeTable, dscp)).toEqual([codepoint, pathId]);
  });

  test('every DSCP outside pool 2 is Not-LECT without a path', () => {
    const outside = Array.from({ length: 64 }, (_, dscp) => dscp).filter((dscp) => (dscp & 3) !== 3);
    expect(outside).toHaveLength(48);
    for (const dscp of outside) expect(decoded(pool2.decodeTable, dscp)).toEqual(['Not-LECT', 0]);
  });

  test('it carries LECT and LEx on paths 0 to 6, and FNE without a path', () => {
    for (let pathId = 0; pathId <= 6; pathId++) {
      for (const codepoint of [CODEPOINT_LECT, CODEPOINT_LEX]) {
        const mark = pool2.decodeTable[encodeMark(pool2, codepoint, pathId)]!;
        expect([markCodepoint(mark), markPathId(mark)]).toEqual([codepoint, pathId]);
      }
      expect(encodeMark(pool2, CODEPOINT_FNE, pathId)).toBe(7);
    }
  });

  test('LECT and LEx of one path share the top three bits', () => {
    for (let pathId = 1; pathId <= 6; pathId++) {
      expect(encodeMark(pool2, CODEPOINT_LECT, pathId) >> 3).toBe(
        encodeMark(pool2, CODEPOINT_LEX, pathId) >> 3,
      );
    }
  });

  test('a path ID beyond 6 falls back to the codepoint without a path', () => {
    for (const pathId of [7, 8, 15, 16, 1000, -1]) {
      expect(encodeMark(pool2, CODEPOINT_LECT, pathId)).toBe(3);
      expect(encodeMark(pool2, CODEPOINT_LEX, pathId)).toBe(63);
      expect(encodeMark(pool2, CODEPOINT_FNE, pathId)).toBe(7);
    }
  });

  test('the encode table falls back in the same way for every mark it cannot carry', () => {
    for (let pathId = 7; pathId < 16; pathId++) {
      expect(pool2.encodeTable[CODEPOINT_LECT | (pathId << 2)]).toBe(3);
      expect(pool2.encodeTable[CODEPOINT_LEX | (pathId << 2)]).toBe(63);
      expect(pool2.encodeTable[CODEPOINT_FNE | (pathId << 2)]).toBe(7);
    }
  });

  test('an assignment is LECT with a path', () => {
    const assignments = Array.from({ length: 64 }, (_, dscp) => dscp).filter((dscp) =>
      isAssignment(pool2, pool2.decodeTable[dscp]!),
    );
    expect(assignments).toEqual([11, 19, 27, 35, 43, 51]);
  });
});

describe('the scheme full', () => {
  const NAMES_BY_LOW_BITS = ['Not-LECT', 'LECT', 'LEx', 'FNE'];

  test('the low two bits are the codepoint and the high four the path ID, except behind Not-LECT', () => {
    for (let dscp = 0; dscp < 64; dscp++) {
      const lowBits = dscp % 4;
      const pathId = lowBits === 0 ? 0 : Math.floor(dscp / 4);
      expect(decoded(full.decodeTable, dscp)).toEqual([NAMES_BY_LOW_BITS[lowBits], pathId]);
    }
  });

  test('it carries LECT, LEx and FNE on paths 0 to 15', () => {
    for (let pathId = 0; pathId <= 15; pathId++) {
      for (const codepoint of [CODEPOINT_LECT, CODEPOINT_LEX, CODEPOINT_FNE]) {
        const mark = full.decodeTable[encodeMark(full, codepoint, pathId)]!;
        expect([markCodepoint(mark), markPathId(mark)]).toEqual([codepoint, pathId]);
      }
    }
  });

  test('a path ID beyond 15 falls back to the codepoint without a path', () => {
    expect(encodeMark(full, CODEPOINT_LECT, 16)).toBe(1);
    expect(encodeMark(full, CODEPOINT_FNE, -1)).toBe(3);
  });

  test('an assignment is FNE with a path', () => {
    const assignments = Array.from({ length: 64 }, (_, dscp) => dscp).filter((dscp) =>
      isAssignment(full, full.decodeTable[dscp]!),
    );
    expect(assignments).toEqual([7, 11, 15, 19, 23, 27, 31, 35, 39, 43, 47, 51, 55, 59, 63]);
  });
});

describe.each([pool2, full])('every scheme ($name)', (scheme) => {
  test('has 64 entries in both tables', () => {
    expect(scheme.decodeTable).toHaveLength(64);
    expect(scheme.encodeTable).toHaveLength(64);
  });

  test('leaves the DSCP of Not-LECT as it is, whatever the path ID', () => {
    for (let pathId = 0; pathId <= 15; pathId++) {
      expect(encodeMark(scheme, CODEPOINT_NOT_LECT, pathId)).toBe(DSCP_UNCHANGED);
    }
  });

  test('decodes what it encodes to the same codepoint, for every mark', () => {
    for (let mark = 0; mark < 64; mark++) {
      const dscp = scheme.encodeTable[mark]!;
      if (dscp === DSCP_UNCHANGED) expect(markCodepoint(mark)).toBe(CODEPOINT_NOT_LECT);
      else expect(markCodepoint(scheme.decodeTable[dscp]!)).toBe(markCodepoint(mark));
    }
  });

  test('hands out no path ID above its maximum', () => {
    const pathIds = Array.from(scheme.decodeTable, markPathId);
    expect(Math.max(...pathIds)).toBe(scheme.maxPathId);
  });

  test('is found under its name', () => {
    expect(markingScheme(scheme.name)).toBe(scheme);
  });
});

test('an unknown scheme is an error that names the two', () => {
  expect(() => markingScheme('pool1')).toThrow(
    "scheme: \"pool1\" is not allowed; it takes 'pool2' or 'full'",
  );
  expect(() => markingScheme('')).toThrow('scheme');
});
