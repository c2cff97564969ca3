/**
 * A host: a TCP, and below it the very LexHost that the agent runs, if the host is a PREFLEX one.
 *
 *      TcpStack -- emit --> LexHost.handleOutbound --> link
 *      TcpStack <-------- LexHost.handleInbound <---- link
 */
import { LexHost } from '../lex/lex-host.ts';
import type { LexHostOptions } from '../lex/options.ts';
import { formatAddress, parseAddress } from '../wire/addr.ts';
import { protocol } from '../wire/ipv4.ts';
import { PROTOCOL_TCP } from '../wire/protocol-numbers.ts';
import { invalidOption } from '../errors.ts';
import type { Carrier } from './carrier.ts';
import type { EventQueue } from './event-queue.ts';
import { NetworkNode, NODE_DROP_NOT_FOR_US } from './node.ts';
import { SLOT_BYTES } from './packet-pool.ts';
import type { PacketPool } from './packet-pool.ts';
import type { RandomStream } from './random.ts';
import type { TcpOptions } from './tcp/options.ts';
import { TcpStack } from './tcp/stack.ts';

/** Event of a {@link Host}: its LexHost sweeps idle flows. Argument: the node's index. */
export const EVENT_LEX = 3;

const DST = 16;

/** Options of a {@link Host}. */
export interface HostOptions {
  /** IPv4 address. */
  readonly address: string;
  /** Marks its packets by LEX; true for the defaults; default false. */
  readonly lex?: boolean | LexHostOptions;
  readonly tcp?: TcpOptions;
}

/** A host of the network. */
export class Host extends NetworkNode {
  readonly address: string;
  readonly addr: number;
  readonly stack: TcpStack;
  readonly lex: LexHost | undefined;
  /** Packets and bytes sent, those dropped on the first link included. */
  sentPackets = 0;
  sentBytes = 0;
  /** Packets and bytes that arrived for this host. */
  deliveredPackets = 0;
  deliveredBytes = 0;
  readonly #queue: EventQueue;
  #isSweeping = false;

  /** @throws PreflexError naming the option, its value and the allowed range */
  constructor(
    index: number,
    name: string,
    pool: PacketPool,
    queue: EventQueue,
    random: RandomStream,
    options: HostOptions,
  ) {
    super(index, name, pool, true);
    this.#queue = queue;
    this.addr = ipv4Word(options.address, `${name}.address`);
    this.address = options.address;
    if (options.lex !== undefined && options.lex !== false) {
      this.lex = new LexHost(options.lex === true ? {} : options.lex);
    }
    this.stack = new TcpStack(
      { nodeIndex: index, addr: this.addr, queue, pool, random, emit: (slot) => this.emit(slot) },
      options.tcp,
    );
  }

  /** Takes a packet that arrived: for this host, or counted as a stray. @hotpath */
  override receive(slot: number, _from: Carrier): void {
    this.#queue.isForwarding = false;
    const { view } = this.pool;
    const at = slot * SLOT_BYTES;
    if (view.getInt32(at + DST) !== this.addr || protocol(view, at) !== PROTOCOL_TCP) {
      this.drop(slot, NODE_DROP_NOT_FOR_US);
      return;
    }
    const length = this.pool.lengthOf(slot);
    this.deliveredPackets++;
    this.deliveredBytes += length;
    if (this.lex !== undefined) this.lex.handleInbound(view, at, length, this.#queue.nowNs);
    this.stack.receive(slot);
  }

  /**
   * Sends a packet of this host's TCP.
   *
   * @hotpath
   */
  emit(slot: number): void {
    const { view } = this.pool;
    const length = this.pool.lengthOf(slot);
    this.sentPackets++;
    this.sentBytes += length;
    if (this.lex !== undefined) {
      this.lex.handleOutbound(view, slot * SLOT_BYTES, length, this.#queue.nowNs);
      if (!this.#isSweeping) this.sweep();
    }
    this.forward(slot);
  }

  /** Lets the LexHost forget idle flows, and asks to be called again while it has some. */
  sweep(): void {
    const lex = this.lex!;
    lex.handleTimeout(this.#queue.nowNs);
    const atNs = lex.pollTimeout();
    this.#isSweeping = atNs !== Infinity;
    if (this.#isSweeping) this.#queue.schedule(atNs, EVENT_LEX, this.index, 0);
  }
}

/** The address of that text as int32. */
export function ipv4Word(text: string, field: string): number {
  const bytes = parseAddress(text, field);
  if (bytes.length !== 4)
    throw invalidOption(field, text, 'an IPv4 address: the simulated hosts have no other');
  return new DataView(bytes.buffer, bytes.byteOffset).getInt32(0);
}

/** The text of an address. */
export function ipv4Text(addr: number): string {
  const view = new DataView(new ArrayBuffer(4));
  view.setInt32(0, addr);
  return formatAddress(view, 0, 4);
}
