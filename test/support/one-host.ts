/**
 * One LexHost under test, driven by segments of one connection in numbers that a reader can follow: times in seconds,
 * sequence numbers relative to the initial one (the SYN is 0, the first data byte 1), marks as text such as `FNE`,
 * `LECT`, `LECT/3` (on path 3), `LEx/3`, `Not-LECT`.
 *
 * The DSCP is read and written here by the tables of docs/protocol.md, not by the library's.
 */
import { LexHost } from '../../lib/lex/lex-host.ts';
import type { LexHostOptions } from '../../lib/lex/options.ts';
import { REASON_NAMES } from '../../lib/lex/reasons.ts';
import { buildTcp, buildUdp, viewOf } from './packets.ts';
import type { TcpFields, UdpFields } from './packets.ts';

export type SchemeName = 'pool2' | 'full';

/** Addresses of the host and of its peer. */
export interface Ends {
  readonly local: string;
  readonly remote: string;
}

export const IPV4_ENDS: Ends = { local: '10.0.0.1', remote: '10.0.1.1' };
export const IPV6_ENDS: Ends = { local: 'fd00::1', remote: 'fd00:1::1' };

export const FIN = 1;
export const SYN = 2;
export const RST = 4;
export const ACK = 16;

/** The mark that a DSCP stands for, as text. */
export function markText(scheme: SchemeName, dscp: number): string {
  const [codepoint, pathId] = scheme === 'pool2' ? readPool2(dscp) : readFull(dscp);
  return pathId === 0 ? codepoint : `${codepoint}/${pathId}`;
}

function readPool2(dscp: number): [string, number] {
  if ((dscp & 3) !== 3) return ['Not-LECT', 0];
  if (dscp === 59) return ['LECT', 0];
  if (dscp === 63) return ['LEx', 0];
  if (dscp === 3) return ['LECT', 0];
  if (dscp === 7) return ['FNE', 0];
  return [(dscp & 4) === 0 ? 'LECT' : 'LEx', dscp >> 3];
}

function readFull(dscp: number): [string, number] {
  const name = ['Not-LECT', 'LECT', 'LEx', 'FNE'][dscp & 3]!;
  return [name, name === 'Not-LECT' ? 0 : dscp >> 2];
}

/** DSCP of an assignment of a path, as the gateway writes it. */
export function assignmentDscp(scheme: SchemeName, pathId: number): number {
  return scheme === 'pool2' ? 8 * pathId + 3 : (pathId << 2) | 3;
}

/** DSCP of an FNE packet without a path. */
export function fneDscp(scheme: SchemeName): number {
  return scheme === 'pool2' ? 7 : 3;
}

/** The DSCP of a whole IP packet. */
export function dscpOf(packet: Uint8Array): number {
  return packet[0]! >> 4 === 4 ? packet[1]! >> 2 : ((packet[0]! & 0xf) << 2) | (packet[1]! >> 6);
}

/** What an inbound segment may say beside its acknowledgement. */
export interface Inbound {
  /** Path that the gateway assigns with it. */
  readonly assign?: number;
  /** Marked FNE by the peer. */
  readonly fne?: boolean;
  readonly window?: number;
  readonly length?: number;
  readonly seq?: number;
  readonly flags?: number;
  readonly sack?: readonly (readonly [number, number])[];
}

/** See the head of the file. */
export class OneHost {
  host: LexHost;
  /** Reason of the last packet. */
  reason = '';
  /** Path ID that the last inbound packet assigned. */
  taken = 0;
  /** Initial sequence number; the relative numbers start here. */
  isn = 1_000_000;
  peerIsn = 70_000;
  ports: { srcPort: number; dstPort: number } = { srcPort: 40000, dstPort: 80 };

  readonly scheme: SchemeName;
  readonly options: LexHostOptions;
  readonly ends: Ends;

  constructor(options: LexHostOptions = {}, ends: Ends = IPV4_ENDS) {
    this.options = options;
    this.ends = ends;
    this.scheme = options.scheme ?? 'pool2';
    this.host = new LexHost(options);
  }

  /** The agent starts again: everything that the host knew is gone. */
  restart(): void {
    this.host = new LexHost(this.options);
  }

  /** Sends any bytes; returns the mark. */
  sendBytes(packet: Uint8Array, t: number, hints = 0): string {
    this.host.handleOutbound(viewOf(packet), 0, packet.length, t * 1e9, hints);
    this.reason = REASON_NAMES[this.host.lastReason]!;
    return markText(this.scheme, dscpOf(packet));
  }

  /** Receives any bytes; returns the reason. */
  receiveBytes(packet: Uint8Array, t: number): string {
    this.taken = this.host.handleInbound(viewOf(packet), 0, packet.length, t * 1e9);
    this.reason = REASON_NAMES[this.host.lastReason]!;
    return this.reason;
  }

  /** An outbound segment with relative sequence number `seq`. */
  send(t: number, seq: number, length: number, fields: TcpFields = {}, hints = 0): string {
    return this.sendBytes(this.segment(seq, length, fields), t, hints);
  }

  /** The bytes of an outbound segment. */
  segment(seq: number, length: number, fields: TcpFields = {}): Uint8Array {
    return buildTcp({
      src: this.ends.local,
      dst: this.ends.remote,
      ...this.ports,
      seqNumber: this.isn + seq,
      ackNumber: this.peerIsn + 1,
      payloadLength: length,
      ...fields,
    });
  }

  /** An outbound SYN, with `length` bytes of data. */
  syn(t: number, length = 0): string {
    return this.send(t, 0, length, { tcpFlags: SYN });
  }

  /** An inbound segment that acknowledges up to the relative sequence number `ack`; returns the reason. */
  ack(t: number, ack: number, more: Inbound = {}): string {
    return this.receiveBytes(
      buildTcp({
        src: this.ends.remote,
        dst: this.ends.local,
        srcPort: this.ports.dstPort,
        dstPort: this.ports.srcPort,
        seqNumber: this.peerIsn + (more.seq ?? 1),
        ackNumber: this.isn + ack,
        tcpFlags: more.flags ?? ACK,
        windowField: more.window ?? 1000,
        payloadLength: more.length ?? 0,
        dscp: this.inboundDscp(more),
        ...(more.sack ? { sack: more.sack.map(([l, r]) => [this.isn + l, this.isn + r] as const) } : {}),
      }),
      t,
    );
  }

  /** Sends a datagram; returns the mark. */
  sendUdp(t: number, fields: UdpFields = {}, hints = 0): string {
    const packet = buildUdp({
      src: this.ends.local,
      dst: this.ends.remote,
      srcPort: 40000,
      dstPort: 53,
      payloadLength: 20,
      ...fields,
    });
    return this.sendBytes(packet, t, hints);
  }

  /** Receives a datagram; returns the reason. */
  receiveUdp(t: number, more: Inbound = {}): string {
    const packet = buildUdp({
      src: this.ends.remote,
      dst: this.ends.local,
      srcPort: 53,
      dstPort: 40000,
      payloadLength: 20,
      dscp: this.inboundDscp(more),
    });
    return this.receiveBytes(packet, t);
  }

  /** A handshake from time `t` with the given RTT; ends after the client's ACK. Returns the time of its end. */
  connect(t = 0, rtt = 0.1, more: Inbound = {}): number {
    this.syn(t);
    this.ack(t + rtt, 1, { flags: SYN | ACK, seq: 0, ...more });
    this.send(t + rtt, 1, 0);
    return t + rtt;
  }

  private inboundDscp(more: Inbound): number {
    if (more.assign !== undefined) return assignmentDscp(this.scheme, more.assign);
    return more.fne === true ? fneDscp(this.scheme) : 0;
  }
}

/** Both IP versions with both marking schemes, for `describe.each`. */
export const EVERY_KIND: readonly { name: string; ends: Ends; scheme: SchemeName }[] = [
  { name: 'IPv4, pool2', ends: IPV4_ENDS, scheme: 'pool2' },
  { name: 'IPv4, full', ends: IPV4_ENDS, scheme: 'full' },
  { name: 'IPv6, pool2', ends: IPV6_ENDS, scheme: 'pool2' },
  { name: 'IPv6, full', ends: IPV6_ENDS, scheme: 'full' },
];
