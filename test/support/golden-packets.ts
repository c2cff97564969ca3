/** The golden packets: files of packets written down by hand, with what must become of each and why. */
import { readFileSync } from 'node:fs';
import type { LexHostOptions } from '../../lib/lex/options.ts';
import type { GatewayOptions } from '../../lib/pref/gateway-options.ts';

/** One packet. */
export interface GoldenPacket {
  readonly note: string;
  /** Since the first packet of the sequence. */
  readonly ms: number;
  readonly way: 'out' | 'in';
  /** From the IP header on, as hex. */
  readonly bytes: string;
  /** The same afterwards; left out where not a bit changes. */
  readonly becomes?: string;
  readonly reason: string;
  /** Path ID of its route, or that was assigned; 0 where left out. */
  readonly path?: number;
  /** HINT_ numbers of an application; host only. */
  readonly hints?: number;
  /** Path ID of the route that it came in by; gateway only. */
  readonly via?: number;
  /** Payload of each segment of a super-packet; gateway only. */
  readonly gsoSize?: number;
}

/** Packets of one host. */
export interface HostSequence {
  readonly name: string;
  readonly options: LexHostOptions;
  readonly packets: readonly GoldenPacket[];
}

/** Packets at one gateway. */
export interface GatewayGoldenSequence {
  readonly name: string;
  readonly options: GatewayOptions;
  readonly destinations: readonly {
    readonly prefixes: readonly string[];
    readonly pathIds: readonly number[];
  }[];
  /** Path IDs of routes that are down. */
  readonly down: readonly number[];
  readonly packets: readonly GoldenPacket[];
  /** Bytes and flowlets in the end; all others are 0. */
  readonly meters: readonly {
    readonly destination: number;
    readonly path: number;
    readonly bytes: number;
    readonly lexBytes: number;
    readonly fneRepeatBytes: number;
    readonly flowlets: number;
  }[];
}

/** Time of the first packet of each sequence, ns. */
export const GOLDEN_START_NS = 1e9;

/** Sequences of a host. */
export const hostSequences = readSequences<HostSequence>('host-packets');

/** Sequences of a gateway. */
export const gatewaySequences = readSequences<GatewayGoldenSequence>('gateway-packets');

/** Bytes of hex with blanks. */
export function bytesOfHex(hex: string): Uint8Array<ArrayBuffer> {
  return Uint8Array.from(Buffer.from(hex.replaceAll(' ', ''), 'hex'));
}

/** Hex as it stands in the files. */
export function hexOfBytes(bytes: Uint8Array): string {
  return Buffer.from(bytes)
    .toString('hex')
    .replaceAll(/.{4}(?=.)/g, '$& ');
}

/** What must become of a packet: the reason, the path and all bytes. */
export function expectedOf({ note, bytes, becomes, path = 0, reason }: GoldenPacket): GoldenOutcome {
  return { note, reason, path, bytes: becomes ?? bytes };
}

/** What became of a packet. */
export interface GoldenOutcome {
  readonly note: string;
  readonly reason: string;
  readonly path: number;
  readonly bytes: string;
}

function readSequences<S extends { readonly packets: readonly GoldenPacket[] }>(name: string): readonly S[] {
  const url = new URL(`../golden/${name}.json`, import.meta.url);
  return (JSON.parse(readFileSync(url, 'utf8')) as { readonly sequences: readonly S[] }).sequences;
}
