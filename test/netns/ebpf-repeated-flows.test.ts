/**
 * Flows that receive, as the programs keep them for their next FNE packet: one in a place, of one destination. Every
 * packet goes through programs and core, which must come to the same.
 */
import { expect, it } from 'vitest';
import { ETHERNET_BYTES } from '../../lib/ebpf/verify/packet-writer.ts';
import { GatewayVerifier } from '../../lib/ebpf/verify/gateway-verifier.ts';
import { OUT_FNE_DRAWN, OUT_FNE_REPEATED } from '../../lib/pref/reasons.ts';
import { TCP_ACK, parsePacket } from '../../lib/wire/packet-view.ts';
import { describeNetns } from '../support/netns.ts';
import { buildTcp } from '../support/packets.ts';

const ROUTES = [1, 2, 3].map((pathId) => ({ pathId, name: `r${pathId}` }));
const PREFIX = '10.0.1.0/24';
const INSIDE = '10.0.0.1';
const OUTSIDE = '10.0.1.1';
const SEGMENT = 100;
const DSCP_FNE = 7;
/** LECT on path 2. */
const DSCP_PATH_2 = 2 * 8 + 3;
const PLACES = 1024;
const IDLE_MS = 2000;
const RTO_MS = 200;

/** Programs and core with two destinations behind three routes. */
class Pair {
  readonly verifier = new GatewayVerifier();
  nowMs = 1000;

  constructor() {
    const pathIds = [1, 2, 3];
    this.verifier.restart({ routes: ROUTES, seed: 1 }, [
      { prefixes: [PREFIX], pathIds },
      { prefixes: [], pathIds },
    ]);
  }

  send(port: number, dscp = DSCP_PATH_2, ackNumber = SEGMENT): number | string {
    return this.#handle(true, outbound(port, dscp, ackNumber));
  }

  /** The segment from 0 comes, for the first time or again. */
  letIn(port: number, payloadLength = SEGMENT): number | string {
    const ends = { src: OUTSIDE, dst: INSIDE, srcPort: 443, dstPort: port };
    const seqNumber = SEGMENT - payloadLength;
    return this.#handle(false, buildTcp({ ...ends, seqNumber, payloadLength, tcpFlags: TCP_ACK }));
  }

  /** A segment comes, is acknowledged, and comes again after an RTO. */
  receiveAgain(port: number): void {
    this.send(port, DSCP_PATH_2, 0);
    this.letIn(port);
    this.send(port);
    this.nowMs += RTO_MS;
    this.letIn(port);
  }

  /** The place of a flow. */
  placeOf(port: number): number {
    const { flowHash, packet } = this.verifier.core;
    const bytes = outbound(port, DSCP_FNE, 0);
    const view = new DataView(bytes.buffer, bytes.byteOffset, bytes.length);
    parsePacket(view, 0, bytes.length, packet);
    flowHash.compute(view, packet, false, true);
    return flowHash.h1 & (PLACES - 1);
  }

  #handle(isOutbound: boolean, packet: Uint8Array): number | string {
    this.verifier.writer.bytes.set(packet, ETHERNET_BYTES);
    const step = { isOutbound, length: packet.length, nowNs: this.nowMs * 1e6, gsoSize: 0 };
    const outcome = this.verifier.handle(step);
    expect(outcome).toBeTypeOf('number');
    return outcome;
  }
}

function outbound(port: number, dscp: number, ackNumber: number): Uint8Array {
  const ends = { src: INSIDE, dst: OUTSIDE, srcPort: port, dstPort: 443 };
  return buildTcp({ ...ends, dscp, tcpFlags: TCP_ACK, ackNumber });
}

/** With two flows that have the same place. */
function withRivals(use: (pair: Pair, first: number, second: number) => void): void {
  const pair = new Pair();
  try {
    const place = pair.placeOf(1);
    let second = 2;
    while (pair.placeOf(second) !== place) second++;
    use(pair, 1, second);
  } finally {
    pair.verifier.close();
  }
}

describeNetns('a flow that receives, in the programs', () => {
  it('takes another route when what it acknowledged came again', () => {
    withRivals((pair, port) => {
      pair.receiveAgain(port);
      expect(pair.send(port, DSCP_FNE)).toBe(OUT_FNE_REPEATED);
    });
  });

  it('takes none for the last byte alone, which is a keep-alive', () => {
    withRivals((pair, port) => {
      pair.send(port, DSCP_PATH_2, 0);
      pair.letIn(port);
      pair.send(port);
      pair.nowMs += RTO_MS;
      pair.letIn(port, 1);
      expect(pair.send(port, DSCP_FNE)).toBe(OUT_FNE_DRAWN);
    });
  });

  it('is drawn as ever when its prefix has gone to another destination', () => {
    withRivals((pair, port) => {
      pair.receiveAgain(port);
      pair.verifier.setPrefix(PREFIX, 1);
      expect(pair.send(port, DSCP_FNE)).toBe(OUT_FNE_DRAWN);
    });
  });

  it('is not watched while another one has its place', () => {
    withRivals((pair, first, second) => {
      pair.send(first);
      pair.nowMs += IDLE_MS - 1;
      pair.receiveAgain(second);
      expect(pair.send(second, DSCP_FNE)).toBe(OUT_FNE_DRAWN);
    });
  });

  it('gets the place of one that was idle for 2 s', () => {
    withRivals((pair, first, second) => {
      pair.send(first);
      pair.nowMs += IDLE_MS;
      pair.receiveAgain(second);
      expect(pair.send(second, DSCP_FNE)).toBe(OUT_FNE_REPEATED);
    });
  });
});
