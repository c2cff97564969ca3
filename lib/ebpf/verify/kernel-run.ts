/**
 * The two programs of one role in test runs (BPF_PROG_TEST_RUN): given the packets that a TypeScript core is given, at
 * the times that it is given, and compared with it to the byte.
 */
import { TestRun } from '../../sys/bpf.ts';
import type { Btf } from '../btf.ts';
import { StructView } from '../btf.ts';
import { ETHERNET_BYTES, PacketWriter } from './packet-writer.ts';

const SHORTEST_IP = 40;
/** EtherType 0x88b5, for experiments. @see IEEE 802 */
const EXPERIMENTAL_TYPE = [0x88, 0xb5];

/** A packet that is to be handled; its bytes are in the writer. */
export interface PacketStep {
  readonly isOutbound: boolean;
  /** Bytes of the IP packet that are there. */
  readonly length: number;
  readonly nowNs: number;
}

/** Fields of struct __sk_buff that a role's programs read. */
export interface PacketFields {
  readonly mark?: number;
  readonly gso_size?: number;
}

interface Direction {
  readonly run: TestRun;
  readonly context: StructView;
  readonly result: StructView;
}

/** The programs of a role, by direction. */
export class KernelRun {
  /** Writes the frame to be handled. */
  readonly writer: PacketWriter;
  readonly #outbound: Direction;
  readonly #inbound: Direction;
  #given: Direction;
  #length = 0;
  #verdict = 0;

  /** @param programs - descriptors of programs for test runs */
  constructor(btf: Btf, programs: { readonly outbound: number; readonly inbound: number }) {
    const layout = btf.structLayout('__sk_buff');
    const open = (name: string, fd: number): Direction => {
      const run = new TestRun(name, fd, layout.size);
      return {
        run,
        context: new StructView(layout, run.context),
        result: new StructView(layout, run.contextResult),
      };
    };
    this.#outbound = open('outbound', programs.outbound);
    this.#inbound = open('inbound', programs.inbound);
    this.#given = this.#outbound;
    this.writer = new PacketWriter(this.#outbound.run.packet);
  }

  /** The verdict of the last run: the reason, and the path ID in bits 8 and above. */
  get verdict(): number {
    return this.#verdict;
  }

  /**
   * Gives the packet in the writer to the program.
   *
   * @param argument - what the program is told beside the time, in cb[2]
   * @returns the packet as it was given, for a core to handle: {@link compare} holds it against the program's
   */
  run({ isOutbound, length, nowNs }: PacketStep, argument: number, fields: PacketFields = {}): DataView {
    const given = isOutbound ? this.#outbound : this.#inbound;
    const written = this.writer.bytes;
    // The kernel takes no test packet that says it is IP and is too short for that.
    if (length < SHORTEST_IP) written.set(EXPERIMENTAL_TYPE, ETHERNET_BYTES - 2);
    if (!isOutbound) given.run.packet.set(written.subarray(0, ETHERNET_BYTES + length));
    given.context.write('cb', nowNs % 2 ** 32, 0);
    given.context.write('cb', Math.floor(nowNs / 2 ** 32), 1);
    given.context.write('cb', argument, 2);
    if (fields.mark !== undefined) given.context.write('mark', fields.mark);
    if (fields.gso_size !== undefined) given.context.write('gso_size', fields.gso_size);
    this.#given = given;
    this.#length = length;
    this.#verdict = given.run.run(ETHERNET_BYTES + length);
    return new DataView(given.run.packet.buffer, ETHERNET_BYTES, length);
  }

  /** The IP packet as the program left it in the last run. */
  get result(): Uint8Array {
    return this.#given.run.result.subarray(ETHERNET_BYTES, ETHERNET_BYTES + this.#length);
  }

  /** The mark that the program left in the last run. */
  get mark(): number {
    return this.#given.result.read('mark');
  }

  /**
   * How the program differed in the last run from a core, which has rewritten the packet that {@link run} returned;
   * undefined when they agree.
   *
   * @param expected - reason and path ID of the core, as in {@link verdict}
   * @param names - of the reasons
   */
  compare(expected: number, names: readonly string[]): string | undefined {
    const { packet, result } = this.#given.run;
    const hex = (bytes: Uint8Array): string =>
      Buffer.from(bytes.subarray(ETHERNET_BYTES, ETHERNET_BYTES + this.#length)).toString('hex');
    if (this.#verdict !== expected) {
      const [kernel, core] = [this.#verdict, expected].map((verdict) => describe(verdict, names));
      return `${kernel} in the kernel, ${core} in TypeScript: ${hex(packet)}`;
    }
    const end = ETHERNET_BYTES + this.#length;
    return Buffer.compare(packet.subarray(0, end), result.subarray(0, end)) === 0
      ? undefined
      : `${hex(result)} in the kernel, ${hex(packet)} in TypeScript`;
  }
}

function describe(verdict: number, names: readonly string[]): string {
  const path = verdict >>> 8;
  return `${names[verdict & 0xff] ?? verdict}${path === 0 ? '' : ` of path ${path}`}`;
}
