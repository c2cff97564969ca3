import { describe, expect, it } from 'vitest';
import { startTransfer, sink } from '../../../lib/sim/apps/transfer.ts';
import { Requester, responder } from '../../../lib/sim/apps/request-response.ts';
import { END_RESET, END_TIMED_OUT } from '../../../lib/sim/tcp/app.ts';
import type { TcpConnection } from '../../../lib/sim/tcp/connection.ts';
import { SimPair } from '../../support/sim-pair.ts';

const MSS = 1460;

/** A transfer from `a` to a sink on `b`. */
function transfer(pair: SimPair, bytes: number): TcpConnection {
  pair.b.stack.listen(80, () => sink);
  return startTransfer(pair.a.stack, pair.b.addr, 80, bytes);
}

describe('opening and closing', () => {
  it('takes a round trip to open and sends its data with the acknowledgement', () => {
    const pair = new SimPair();
    transfer(pair, 100);
    pair.runMs(1000);
    expect(pair.seen.map(({ timeMs, from, flags, payload }) => [timeMs, from, flags, payload])).toEqual([
      [0, 'a', 'SYN', 0],
      [50, 'b', 'SYN ACK', 0],
      [100, 'a', 'FIN ACK', 100],
      [150, 'b', 'FIN ACK', 0],
      [200, 'a', 'ACK', 0],
    ]);
  });

  it('offers MSS, SACK and a window scale, and a window that grows beyond 64 KiB by it', () => {
    const pair = new SimPair();
    transfer(pair, 1e6);
    pair.runMs(1000);
    expect(pair.seen[0].window).toBe(65_535);
    const later = pair.seen.find((segment) => segment.from === 'b' && segment.flags === 'ACK')!;
    // 4 MiB needs a shift of 7.
    expect(later.window << 7).toBe(4 << 20);
  });

  it('repeats a lost SYN after 1, 2 and 4 s and begins with a window of one segment then', () => {
    const pair = new SimPair();
    pair.drop = ({ flags, timeMs }) => flags === 'SYN' && timeMs < 7000;
    transfer(pair, 1e6);
    pair.runMs(7200);
    const syns = pair.seen.filter(({ flags }) => flags === 'SYN');
    expect(syns.map(({ timeMs }) => timeMs)).toEqual([0, 1000, 3000, 7000]);
    expect(pair.data.map(({ timeMs }) => timeMs)).toEqual([7100]);
  });

  it('keeps the initial window after one lost SYN, as Linux does, and waits 3 s for data then', () => {
    const pair = new SimPair({ tcp: { tailLossProbe: false } });
    pair.drop = ({ flags, timeMs, payload }) => (flags === 'SYN' && timeMs === 0) || payload > 0;
    const c = transfer(pair, 1e6);
    pair.runMs(1150);
    expect(pair.data.length).toBe(10);
    expect(c.rtoNs).toBe(3e9);
    pair.runMs(4200);
    expect(pair.data.at(-1)).toMatchObject({ timeMs: 4100, seq: 1 });
  });

  it('repeats a lost SYN-ACK', () => {
    const pair = new SimPair();
    pair.drop = ({ flags, timeMs }) => flags === 'SYN ACK' && timeMs < 100;
    transfer(pair, 100);
    pair.runMs(3000);
    expect(pair.b.stack.totals.finished).toBe(1);
    expect(pair.a.stack.totals.finished).toBe(1);
  });

  it('gives up after six repeated SYNs and says so', () => {
    const pair = new SimPair();
    pair.drop = () => true;
    const ends: number[] = [];
    pair.a.stack.connect(pair.b.addr, 80, { onEnd: (_stack, _c, how) => ends.push(how) });
    pair.runMs(126_999);
    expect(ends).toEqual([]);
    pair.runMs(127_001);
    expect(ends).toEqual([END_TIMED_OUT]);
    expect(pair.a.stack.size).toBe(0);
  });

  it('is refused with a reset where nobody listens', () => {
    const pair = new SimPair();
    const ends: number[] = [];
    pair.a.stack.connect(pair.b.addr, 81, { onEnd: (_stack, _c, how) => ends.push(how) });
    pair.runMs(200);
    expect(ends).toEqual([END_RESET]);
  });

  it('remembers a connection for 60 s on the side that closed first, and not on the other', () => {
    const pair = new SimPair();
    transfer(pair, 100);
    pair.runMs(1000);
    expect([pair.a.stack.size, pair.b.stack.size]).toEqual([1, 0]);
    pair.runMs(60_100);
    expect(pair.a.stack.size).toBe(1);
    pair.runMs(60_200);
    expect(pair.a.stack.size).toBe(0);
  });

  it('acknowledges a repeated FIN out of TIME_WAIT', () => {
    const pair = new SimPair();
    // The last acknowledgement is lost.
    pair.drop = ({ timeMs, from }) => from === 'a' && timeMs === 200;
    transfer(pair, 100);
    pair.runMs(3000);
    expect(pair.b.stack.totals.finished).toBe(1);
    expect(pair.b.stack.size).toBe(0);
  });
});

describe('acknowledging', () => {
  it('waits up to 40 ms with a single segment and acknowledges every second one at once', () => {
    const pair = new SimPair();
    pair.b.stack.listen(80, () => sink);
    pair.a.stack.write(pair.a.stack.connect(pair.b.addr, 80, {}), 3 * MSS);
    pair.runMs(400);
    const acks = pair.seen.filter(({ from, flags }) => from === 'b' && flags === 'ACK');
    expect(acks.map(({ timeMs, ack }) => [timeMs, ack])).toEqual([
      [150, 1 + 2 * MSS],
      [190, 1 + 3 * MSS],
    ]);
  });

  it('carries acknowledgements on data that goes the other way', () => {
    const pair = new SimPair();
    const options = { requestBytes: 100, responseBytes: 200, count: 5 };
    pair.b.stack.listen(80, () => responder(options));
    const requester = new Requester(options);
    pair.a.stack.connect(pair.b.addr, 80, requester);
    pair.runMs(2000);
    expect(requester.done).toBe(5);
    expect(requester.exchangeNs).toEqual([100e6, 100e6, 100e6, 100e6, 100e6]);
    // Only the last FIN is acknowledged by a segment of its own.
    const bare = pair.seen.filter(({ payload, flags }) => payload === 0 && flags === 'ACK');
    expect(bare.length).toBe(1);
  });

  it('tells of data behind a hole at once, by SACK', () => {
    const pair = new SimPair();
    pair.drop = ({ payload, seq, timeMs }) => payload > 0 && seq === 1 && timeMs < 150;
    transfer(pair, 4 * MSS);
    pair.runMs(160);
    const sacks = pair.seen.filter(({ sack }) => sack.length > 0);
    expect(sacks.map(({ timeMs, ack, sack }) => [timeMs, ack, sack])).toEqual([
      [150, 1, [[1 + MSS, 1 + 2 * MSS]]],
      [150, 1, [[1 + MSS, 1 + 3 * MSS]]],
      // The last one carries FIN.
      [150, 1, [[1 + MSS, 2 + 4 * MSS]]],
    ]);
  });

  it('tells of a duplicate by D-SACK', () => {
    const pair = new SimPair();
    // The only acknowledgement of the data is lost, so that a probe sends it again.
    pair.drop = ({ from, timeMs, flags }) => from === 'b' && flags === 'ACK' && timeMs < 250;
    pair.b.stack.listen(80, () => sink);
    pair.a.stack.write(pair.a.stack.connect(pair.b.addr, 80, {}), 100);
    pair.runMs(1000);
    const told = pair.seen.filter(({ sack }) => sack.length > 0);
    expect(told.map(({ ack, sack }) => [ack, sack])).toEqual([[101, [[1, 101]]]]);
  });
});

describe('the receive window', () => {
  const BUFFER = 20 * MSS;

  function stalled(): { pair: SimPair; receiver: () => TcpConnection } {
    const pair = new SimPair({ tcpOfB: { receiveBufferBytes: BUFFER } });
    let receiver: TcpConnection | undefined;
    pair.b.stack.listen(80, (c) => {
      receiver = c;
      c.isReading = false;
      return sink;
    });
    startTransfer(pair.a.stack, pair.b.addr, 80, 1e6);
    return { pair, receiver: () => receiver! };
  }

  it('stops the sender when nobody reads, and never is exceeded', () => {
    const { pair } = stalled();
    pair.runMs(5000);
    expect(pair.b.stack.totals.receivedBytes).toBe(BUFFER);
    expect(pair.b.stack.totals.beyondWindow).toBe(0);
    expect(pair.a.stack.totals.retransmittedBytes).toBe(0);
  });

  it('is probed with growing gaps while closed, by segments below the acknowledged ones', () => {
    const { pair } = stalled();
    pair.runMs(10_000);
    const probes = pair.seen.filter(
      ({ from, seq, payload, timeMs }) => from === 'a' && payload === 0 && timeMs > 450 && seq === BUFFER,
    );
    const gaps = probes.slice(1).map(({ timeMs }, i) => Math.round(timeMs - probes[i].timeMs));
    expect(probes.length).toBeGreaterThan(3);
    gaps.slice(1).forEach((gap, i) => expect(gap / gaps[i]).toBeCloseTo(2, 6));
  });

  it('lets the transfer go on when the application reads', () => {
    const { pair, receiver } = stalled();
    pair.runMs(5000);
    pair.b.stack.setReading(receiver(), true);
    pair.runMs(15_000);
    expect(pair.b.stack.totals.receivedBytes).toBe(1e6);
    expect(pair.a.stack.totals.finished).toBe(1);
  });

  it('lets the transfer go on when the window update is lost, by the probe', () => {
    const { pair, receiver } = stalled();
    pair.runMs(5000);
    pair.drop = ({ from, timeMs }) => from === 'b' && timeMs < 5001;
    pair.b.stack.setReading(receiver(), true);
    pair.runMs(25_000);
    expect(pair.a.stack.totals.finished).toBe(1);
  });
});
