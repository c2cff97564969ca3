/** The watch over a connection's timeouts, in virtual time: what it tells, and when. */
import { afterEach, beforeEach, describe, expect, it, vi } from 'vitest';
import { StallWatch } from '../../lib/sockets/stall-watch.ts';
import type { TcpInfo } from '../../lib/sys/tcp-info.ts';
import { parseTcpInfo, TCP_INFO_BYTES } from '../../lib/sys/tcp-info.ts';

/** A connection with 10,000 bytes sent and 4,000 acknowledged, and what its watch said. */
class Connection {
  info: TcpInfo | undefined = {
    ...parseTcpInfo(new Uint8Array(TCP_INFO_BYTES)),
    unacked: 6,
    bytesSent: 10_000,
    bytesAcked: 4000,
  };
  /** Whether it has a path when it moves. */
  hasPath = true;
  readonly told: string[] = [];
  readonly watch: StallWatch;

  constructor(limit = 2) {
    this.watch = new StallWatch(
      {
        info: () => this.info,
        stalled: () => this.told.push('stalled'),
        moved: (isIdle) => {
          this.told.push(isIdle ? 'moved, idle' : 'moved');
          return this.hasPath;
        },
        proven: () => this.told.push('proven'),
      },
      limit,
    );
    this.watch.begin();
  }

  /** The kernel's account changes, and so much time passes. Returns what was told meanwhile. */
  after(ms: number, change: Partial<TcpInfo> = {}): string[] {
    this.info = { ...this.info!, ...change };
    this.told.length = 0;
    vi.advanceTimersByTime(ms);
    return [...this.told];
  }
}

const IDLE = { unacked: 0, notsentBytes: 0, bytesAcked: 10_000 };

describe('the watch over timeouts', () => {
  beforeEach(() => vi.useFakeTimers());
  afterEach(() => vi.useRealTimers());

  it('tells of a stall at the limit, and of each timeout after it, once', () => {
    const connection = new Connection();
    expect(connection.after(1000, { retransmits: 1 })).toEqual([]);
    expect(connection.after(100, { retransmits: 2 })).toEqual(['stalled']);
    expect(connection.after(1000)).toEqual([]);
    expect(connection.after(5, { retransmits: 3 })).toEqual(['stalled']);
  });

  it('tells of progress within five milliseconds, once', () => {
    const connection = new Connection();
    connection.after(100, { retransmits: 2 });
    expect(connection.after(5, { retransmits: 0, bytesAcked: 5000 })).toEqual(['moved']);
    expect(connection.after(1000)).toEqual([]);
  });

  it('asks again every five milliseconds until there is a path', () => {
    const connection = new Connection();
    connection.after(100, { retransmits: 2 });
    connection.hasPath = false;
    expect(connection.after(15, { retransmits: 0 })).toEqual(['moved', 'moved', 'moved']);
    connection.hasPath = true;
    expect(connection.after(1000)).toEqual(['moved']);
  });

  it('waits for the next progress when it stalls while it has no path yet', () => {
    const connection = new Connection();
    connection.after(100, { retransmits: 2 });
    connection.hasPath = false;
    expect(connection.after(5, { retransmits: 0 })).toEqual(['moved']);
    expect(connection.after(100, { retransmits: 1 })).toEqual([]);
    expect(connection.after(5, { retransmits: 0 })).toEqual(['moved']);
  });

  it('takes one timeout for a stall on a path that is not proven', () => {
    const connection = new Connection();
    connection.after(100, { retransmits: 2 });
    connection.after(5, { retransmits: 0 });
    expect(connection.after(100, { bytesAcked: 9999, bytesSent: 20_000 })).toEqual([]);
    expect(connection.after(100, { retransmits: 1 })).toEqual(['stalled']);
  });

  it('takes as many as the limit once all that was sent before is acknowledged', () => {
    const connection = new Connection();
    connection.after(100, { retransmits: 2, bytesRetrans: 1000 });
    connection.after(5, { retransmits: 0 });
    expect(connection.after(100, { bytesAcked: 9000, bytesSent: 20_000 })).toEqual(['proven']);
    expect(connection.after(1000, { retransmits: 1 })).toEqual([]);
    expect(connection.after(100, { retransmits: 2 })).toEqual(['stalled']);
  });

  it('sees what proves the path and the next timeout in one look', () => {
    const connection = new Connection();
    connection.after(100, { retransmits: 2 });
    connection.after(5, { retransmits: 0 });
    expect(connection.after(100, { bytesAcked: 10_000, retransmits: 1 })).toEqual(['proven']);
  });

  it('says that nothing is outstanding when it moves, and sleeps', () => {
    const connection = new Connection();
    connection.after(100, { retransmits: 2 });
    expect(connection.after(5, { ...IDLE, retransmits: 0 })).toEqual(['moved, idle', 'proven']);
    expect(vi.getTimerCount()).toBe(0);
    connection.watch.begin();
    expect(connection.after(100, { unacked: 1, retransmits: 1 })).toEqual([]);
  });

  it('sleeps when all is acknowledged, and wakes with the next write', () => {
    const connection = new Connection();
    expect(connection.after(100, IDLE)).toEqual([]);
    expect(vi.getTimerCount()).toBe(0);
    connection.watch.begin();
    expect(connection.after(100, { unacked: 1, retransmits: 2 })).toEqual(['stalled']);
  });

  it('ends with the connection', () => {
    const connection = new Connection();
    connection.info = undefined;
    vi.advanceTimersByTime(100);
    expect(vi.getTimerCount()).toBe(0);
    expect(connection.told).toEqual([]);
  });
});
