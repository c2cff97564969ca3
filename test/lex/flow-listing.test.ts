/** Lists of flows and the history of each: what they say, and that a list costs bounded steps. */
import fc from 'fast-check';
import { describe, expect, test } from 'vitest';
import type { FlowQuery, FlowReport } from '../../lib/lex/flow-listing.ts';
import { LexHost } from '../../lib/lex/lex-host.ts';
import { parseAddress } from '../../lib/wire/addr.ts';
import { buildTcp, buildUdp, viewOf } from '../support/packets.ts';
import type { TcpFields, UdpFields } from '../support/packets.ts';

const S = 1e9;
const SYN = 2;
const FIN = 1;
const ACK = 16;
const HOST = '10.0.0.1';
const PEER = '10.0.1.1';
/** DSCP of the scheme pool2: "use path 3". */
const ASSIGN_3 = 8 * 3 + 3;

const out = (host: LexHost, nowNs: number, fields: TcpFields = {}): void => {
  const bytes = buildTcp({ src: HOST, dst: PEER, srcPort: 1000, dstPort: 80, ...fields });
  host.handleOutbound(viewOf(bytes), 0, bytes.length, nowNs);
};
const back = (host: LexHost, nowNs: number, fields: TcpFields = {}): void => {
  const bytes = buildTcp({ src: PEER, dst: HOST, srcPort: 80, dstPort: 1000, ...fields });
  host.handleInbound(viewOf(bytes), 0, bytes.length, nowNs);
};
const datagram = (host: LexHost, nowNs: number, fields: UdpFields = {}): void => {
  const bytes = buildUdp({ src: HOST, dst: PEER, srcPort: 1000, dstPort: 53, ...fields });
  host.handleOutbound(viewOf(bytes), 0, bytes.length, nowNs);
};

/** Walks over the whole table, `places` at a time. */
function list(host: LexHost, query: Partial<FlowQuery> = {}, nowNs = 100 * S, places = 64): FlowReport[] {
  const listing = host.listFlows({ sort: 'bytes', limit: 10, ...query });
  while (!listing.step(places));
  return listing.reports(nowNs);
}

/** A connection that is pinned to path 3, loses a segment and gives the path up after two timeouts. */
function troubledHost(): LexHost {
  const host = new LexHost({ flowHistory: true });
  out(host, 1 * S, { tcpFlags: SYN, seqNumber: 0 });
  back(host, 1.1 * S, { tcpFlags: SYN | ACK, seqNumber: 0, ackNumber: 1, dscp: ASSIGN_3 });
  out(host, 1.1 * S, { seqNumber: 1, ackNumber: 1, payloadLength: 100 });
  for (const at of [1.4, 2, 8]) out(host, at * S, { seqNumber: 1, ackNumber: 1, payloadLength: 100 });
  return host;
}

describe('the report of a flow', () => {
  test('says what it sent, when and why it was pinned and lost its path, and the last verdicts', () => {
    const [flow] = list(troubledHost(), {}, 10 * S);
    expect(flow).toEqual({
      protocol: 6,
      local: HOST,
      localPort: 1000,
      remote: PEER,
      remotePort: 80,
      pathId: 0,
      previousPathId: 0,
      state: 'open',
      isHeard: true,
      idleNs: 2 * S,
      srttUs: 100_000,
      timeouts: 3,
      history: {
        outPackets: 5,
        outBytes: 40 + 4 * 140,
        lexBytes: 140,
        inBytes: 40,
        pinnedAgoNs: 8.9 * S,
        pinnedBy: 'assignment',
        lostAgoNs: 8 * S,
        lostBy: 'fneTimeouts',
        earlierPathId: 3,
        verdicts: ['fneTimeouts', 'lexRetransmission', 'lectData', 'fneSyn'],
      },
    });
  });

  test('has no history without the option, and the order by bytes is then none', () => {
    const host = new LexHost();
    out(host, S, { tcpFlags: SYN });
    expect(list(host)).toMatchObject([{ state: 'opening', history: undefined }]);
  });

  test('begins anew when the ports are used again', () => {
    const host = troubledHost();
    out(host, 20 * S, { tcpFlags: SYN, seqNumber: 5000 });
    expect(list(host)[0].history).toMatchObject({ outPackets: 1, verdicts: ['fneSyn'], lexBytes: 0 });
  });

  test('data and acknowledgments in turn do not push the other verdicts out', () => {
    const host = troubledHost();
    for (let i = 0; i < 20; i++) {
      back(host, (9 + i / 100) * S, { seqNumber: 1 + i, ackNumber: 101 + i, payloadLength: 1 });
      out(host, (9 + i / 100) * S, { seqNumber: 101 + i, ackNumber: 2 + i, payloadLength: i % 2 });
    }
    expect(list(host)[0].history?.verdicts).toContain('fneTimeouts');
  });

  test('knows the states of TCP and what is none', () => {
    const host = troubledHost();
    out(host, 9 * S, { tcpFlags: FIN | ACK, seqNumber: 101, ackNumber: 1 });
    expect(list(host)).toMatchObject([{ state: 'closing' }]);
    back(host, 9.1 * S, { tcpFlags: FIN | ACK, seqNumber: 1, ackNumber: 102 });
    expect(list(host)).toMatchObject([{ state: 'closed' }]);
    datagram(host, 9 * S, { src: 'fd00::1', dst: 'fd00::2' });
    expect(list(host, { sort: 'recent' })).toMatchObject([
      { state: 'closed' },
      { state: 'datagrams', protocol: 17, local: 'fd00::1', remote: 'fd00::2', isHeard: false },
    ]);
  });
});

describe('a list of flows', () => {
  const word = (text: string): Int32Array => {
    const view = new DataView(parseAddress(text).buffer);
    return Int32Array.of(view.getInt32(0), 0, 0, 0);
  };

  test.each([
    ['bytes', [3, 2, 1, 0]],
    ['age', [0, 1, 2, 3]],
    ['recent', [3, 2, 1, 0]],
  ] as const)('is in order by %s', (sort, ports) => {
    const host = new LexHost({ flowHistory: true });
    for (let i = 0; i < 4; i++) datagram(host, (1 + i) * S, { srcPort: i + 1, payloadLength: 10 * i });
    expect(list(host, { sort }).map((flow) => flow.localPort)).toEqual(ports.map((port) => port + 1));
  });

  test('has the first ones of all, whatever the length of the steps (against sorting)', () => {
    fc.assert(
      fc.property(
        fc.uniqueArray(fc.integer({ min: 1, max: 65_535 }), { minLength: 1, maxLength: 200 }),
        fc.integer({ min: 1, max: 40 }),
        fc.integer({ min: 1, max: 300 }),
        (ports, limit, places) => {
          const host = new LexHost({ flowHistory: true, flowCapacity: 256 });
          for (const port of ports) datagram(host, S, { srcPort: port, payloadLength: (port * 7919) % 400 });
          const sizes = ports.map((port) => 28 + ((port * 7919) % 400)).sort((a, b) => b - a);
          const listed = list(host, { limit }, 2 * S, places);
          expect(listed.map((flow) => flow.history?.outBytes)).toEqual(sizes.slice(0, limit));
        },
      ),
    );
  });

  test('of one flow finds it from either end, and by protocol, address and port', () => {
    const host = new LexHost();
    for (let i = 0; i < 4; i++) datagram(host, S, { srcPort: i + 1 });
    out(host, S, { tcpFlags: SYN, srcPort: 1, dstPort: 53 });
    const end = (address: string, port: number) => ({ address: word(address), port });
    const find = (protocol: number, a: ReturnType<typeof end>, b: ReturnType<typeof end>): string[] =>
      list(host, { match: { protocol, version: 4, ends: [a, b] } }).map(
        (flow) => `${flow.protocol} ${flow.localPort}`,
      );
    expect(find(17, end(HOST, 2), end(PEER, 53))).toEqual(['17 2']);
    expect(find(17, end(PEER, 53), end(HOST, 2))).toEqual(['17 2']);
    expect(find(0, end(PEER, 0), end(HOST, 1)).sort()).toEqual(['17 1', '6 1']);
    expect(find(0, end(PEER, 53), end(HOST, 0))).toHaveLength(5);
    expect(find(17, end(HOST, 53), end(PEER, 2))).toEqual([]);
    expect(find(17, end('10.9.9.9', 0), end(PEER, 0))).toEqual([]);
  });

  test('lists no flow twice when the table changes between steps', () => {
    const host = new LexHost({ flowHistory: true, flowCapacity: 64 });
    const listing = host.listFlows({ sort: 'bytes', limit: 500 });
    let port = 0;
    do {
      // Four new flows for each place: records are evicted and move all the time.
      for (let i = 0; i < 4; i++) datagram(host, ++port * S, { srcPort: (port % 90) + 1, payloadLength: 10 });
    } while (!listing.step(1));
    const names = listing.reports(1000 * S).map((flow) => flow.localPort);
    expect(new Set(names).size).toBe(names.length);
    expect(listing.matched).toBeGreaterThan(0);
  });

  test('reports can be fetched in parts', () => {
    const host = new LexHost({ flowHistory: true });
    for (let i = 0; i < 5; i++) datagram(host, S, { srcPort: i + 1, payloadLength: i });
    const listing = host.listFlows({ sort: 'bytes', limit: 4 });
    while (!listing.step(1000));
    const parts = [listing.reports(S, 0, 3), listing.reports(S, 3, 6)].map((part) =>
      part.map((flow) => flow.localPort),
    );
    expect([parts, listing.matched]).toEqual([[[5, 4, 3], [2]], 5]);
  });
});

describe('a host that is to follow other rules', () => {
  test('takes them from the next packet on, and keeps its flows', () => {
    const host = new LexHost({ flowHistory: true });
    out(host, S, { tcpFlags: SYN, seqNumber: 0 });
    back(host, 1.1 * S, { tcpFlags: SYN | ACK, ackNumber: 1, dscp: ASSIGN_3 });
    host.useRules({ fneAfterTimeouts: 5, flowletGapNs: 10 * S });
    out(host, 1.2 * S, { seqNumber: 1, payloadLength: 10 });
    for (const at of [1.5, 4, 8]) out(host, at * S, { seqNumber: 1, payloadLength: 10 });
    expect(list(host)).toMatchObject([{ pathId: 3, timeouts: 3 }]);
    expect(host.flows.size).toBe(1);
    host.useRules({});
    out(host, 16 * S, { seqNumber: 1, payloadLength: 10 });
    expect(list(host)).toMatchObject([{ pathId: 0, history: { lostBy: 'fneTimeouts' } }]);
  });

  test('remembers learnt paths from when it may choose itself until it may not', () => {
    const host = new LexHost();
    const learn = (): void => {
      out(host, S, { tcpFlags: SYN });
      back(host, 1.1 * S, { tcpFlags: SYN | ACK, ackNumber: 1, dscp: ASSIGN_3 });
    };
    learn();
    expect(host.learntAddresses).toBe(0);
    host.useRules({ hostDriven: true });
    learn();
    expect(host.learntAddresses).toBe(1);
    host.useRules({ hostDriven: true, flowletGapNs: 2 * S });
    expect(host.learntAddresses).toBe(1);
    host.useRules({});
    expect(host.learntAddresses).toBe(0);
  });

  test('refuses what is out of range and changes nothing', () => {
    const host = new LexHost();
    expect(() => host.useRules({ hostDriven: true, fneAfterTimeouts: 16 })).toThrow(
      'fneAfterTimeouts: 16 is not allowed; it takes a whole number from 1 to 15',
    );
    expect(() => host.useRules({ hostDriven: 1 as unknown as boolean })).toThrow(
      'hostDriven: 1 is not allowed',
    );
    out(host, S, { tcpFlags: SYN });
    back(host, 1.1 * S, { tcpFlags: SYN | ACK, ackNumber: 1, dscp: ASSIGN_3 });
    expect(host.learntAddresses).toBe(0);
  });
});
