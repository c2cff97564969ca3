/**
 * The other ends that a socket talks to: one object for each address and port, found by text when sending and by the
 * kernel's structure when receiving, so that text is parsed and written once a peer and not once a datagram.
 */
import type { RemoteInfo } from 'node:dgram';
import type { DatagramPeer } from '../lex/datagram-flows.ts';
import type { DatagramCalls } from '../sys/datagram-calls.ts';
import {
  AF_INET,
  AF_INET6,
  encodeSocketAddress,
  formatSocketAddress,
  isMappedAddress,
  SOCKET_ADDRESS_WORDS,
  socketAddressBytes,
  socketPort,
} from '../sys/socket-address.ts';
import { IP_TOS, IPV6_TCLASS, SOL_IP, SOL_IPV6 } from '../sys/socket-levels.ts';

/** Peers remembered; one more, and all are forgotten (and found again when needed). */
const CAPACITY = 8192;
const IPV4_HEADER_BYTES = 20;
const IPV6_HEADER_BYTES = 40;
const UDP_HEADER_BYTES = 8;

/** The other end of a datagram. */
export type RemoteEnd = Readonly<Pick<RemoteInfo, 'address' | 'family' | 'port'>>;

/** One other end. */
export class Peer implements DatagramPeer {
  readonly address: Int32Array;
  readonly version: 4 | 6;
  readonly port: number;
  readonly isGroup: boolean;
  /** Address (with the zone), family and port as Node writes them. */
  readonly end: RemoteEnd;
  /** struct sockaddr, as words. */
  readonly name: Int32Array;
  readonly nameBytes: number;
  /** Where the structure is in memory. */
  readonly nameAddress: number;
  /** Level and option of the control message that carries the traffic class. */
  readonly level: number;
  readonly option: number;
  /** Bytes of the headers of one datagram to it, without options. */
  readonly headerBytes: number;
  /** Next peer whose structure has the same hash. */
  next: Peer | undefined;

  /** @param words - struct sockaddr; copied */
  constructor(words: Int32Array, calls: DatagramCalls) {
    // V8 would keep a small array's memory where it moves.
    const memory = new ArrayBuffer(4 * SOCKET_ADDRESS_WORDS);
    const name = new Int32Array(memory);
    name.set(words);
    const isIpv4Socket = (name[0]! & 0xffff) === AF_INET;
    const isMapped = isMappedAddress(name);
    this.name = name;
    this.nameAddress = calls.addressOf(memory);
    this.nameBytes = socketAddressBytes(name[0]! & 0xffff);
    this.port = socketPort(name, 0);
    this.end = Object.freeze({
      address: formatSocketAddress(name, calls.interfaceName),
      family: isIpv4Socket ? 'IPv4' : 'IPv6',
      port: this.port,
    });
    this.version = isIpv4Socket || isMapped ? 4 : 6;
    const view = new DataView(name.buffer, name.byteOffset);
    const at = isIpv4Socket ? 4 : isMapped ? 20 : 8;
    this.address = new Int32Array(4);
    for (let i = 0; i < (this.version === 4 ? 1 : 4); i++) this.address[i] = view.getInt32(at + 4 * i);
    const first = view.getUint8(at);
    this.isGroup = this.version === 4 ? first >> 4 === 0xe || this.address[0] === -1 : first === 0xff;
    // The kernel hands datagrams to mapped addresses to IPv4, control messages included.
    this.level = this.version === 4 ? SOL_IP : SOL_IPV6;
    this.option = this.version === 4 ? IP_TOS : IPV6_TCLASS;
    this.headerBytes = UDP_HEADER_BYTES + (this.version === 4 ? IPV4_HEADER_BYTES : IPV6_HEADER_BYTES);
    this.next = undefined;
  }
}

/** The peers of one socket; they go with it. */
export class Peers {
  readonly #calls: DatagramCalls;
  readonly #family: number;
  readonly #byText = new Map<string, Map<number, Peer>>();
  readonly #byHash = new Map<number, Peer>();
  #size = 0;

  /** @param family - AF_INET or AF_INET6: of the sockets, which for mapped addresses is not that of the packets */
  constructor(calls: DatagramCalls, family: number) {
    this.#calls = calls;
    this.#family = family;
  }

  /**
   * The peer of an address and a port, undefined when the text is no address of the family.
   *
   * @param port - 0..65535
   */
  byText(address: string, port: number): Peer | undefined {
    const known = this.#byText.get(address)?.get(port);
    if (known !== undefined) return known;
    const name = encodeSocketAddress(this.#family, address, port, this.#calls.interfaceIndex);
    if (name === undefined) return undefined;
    const peer = this.byName(name, 0);
    if (this.#byText.size >= CAPACITY) this.#byText.clear();
    let ports = this.#byText.get(address);
    if (ports === undefined) this.#byText.set(address, (ports = new Map()));
    ports.set(port, peer);
    return peer;
  }

  /**
   * The peer of a struct sockaddr.
   *
   * @hotpath
   * @param words - memory that holds it; copied when it is new
   * @param at - word at which it starts
   */
  byName(words: Int32Array, at: number): Peer {
    const hash = hashName(words, at, this.#family);
    const first = this.#byHash.get(hash);
    for (let peer = first; peer !== undefined; peer = peer.next) {
      if (isSameName(peer.name, words, at, this.#family)) return peer;
    }
    return this.#add(words, at, hash);
  }

  #add(words: Int32Array, at: number, hash: number): Peer {
    if (this.#size >= CAPACITY) {
      this.#byText.clear();
      this.#byHash.clear();
      this.#size = 0;
    }
    const name = new Int32Array(SOCKET_ADDRESS_WORDS);
    const used = socketAddressBytes(this.#family) >> 2;
    for (let i = 0; i < used; i++) name[i] = words[at + i]!;
    // Flow information is the sender's and not to be sent back.
    if (this.#family === AF_INET6) name[1] = 0;
    const peer = new Peer(name, this.#calls);
    peer.next = this.#byHash.get(hash);
    this.#byHash.set(hash, peer);
    this.#size++;
    return peer;
  }
}

/** Whether two structures name the same end; IPv6 flow information is no part of it. @hotpath */
export function isSameName(a: Int32Array, b: Int32Array, at: number, family: number): boolean {
  if (a[0] !== b[at]) return false;
  if (family === AF_INET) return a[1] === b[at + 1];
  return (
    a[5] === b[at + 5] && a[4] === b[at + 4] && a[3] === b[at + 3] && a[2] === b[at + 2] && a[6] === b[at + 6]
  );
}

function hashName(words: Int32Array, at: number, family: number): number {
  const address =
    family === AF_INET
      ? words[at + 1]!
      : words[at + 2]! ^
        Math.imul(words[at + 3]!, 31) ^
        words[at + 4]! ^
        Math.imul(words[at + 5]!, 0x9e3779b1);
  return (Math.imul(address, 0x85ebca6b) ^ Math.imul(words[at]!, 0xc2b2ae35)) | 0;
}
