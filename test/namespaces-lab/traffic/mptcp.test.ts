/** MPTCP's account of a connection. */
import { describe, expect, it } from 'vitest';
import { TCP_INFO_BYTES } from '../../../lib/sys/tcp-info.ts';
import { parseSubflows } from '../../../namespaces-lab/traffic/mptcp.ts';

const HEADER_BYTES = 16;
/** Offset of tcpi_bytes_retrans. */
const BYTES_RETRANS = 208;

describe('parseSubflows', () => {
  it('sums what was sent again over the subflows', () => {
    const bytes = new Uint8Array(HEADER_BYTES + 8 * TCP_INFO_BYTES);
    const view = new DataView(bytes.buffer);
    for (const [i, value] of [HEADER_BYTES, 3, TCP_INFO_BYTES, TCP_INFO_BYTES].entries()) {
      view.setUint32(4 * i, value, true);
    }
    for (const [i, value] of [100, 0, 23n ** 9n].entries()) {
      view.setBigUint64(HEADER_BYTES + i * TCP_INFO_BYTES + BYTES_RETRANS, BigInt(value), true);
    }
    expect(parseSubflows(bytes)).toEqual({ subflows: 3, bytesRetrans: 100 + 23 ** 9 });
  });
});
