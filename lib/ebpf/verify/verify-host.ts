/**
 * One truth: the same packets at the same times through the TypeScript core (LexHost) and through the programs in the
 * kernel (BPF_PROG_TEST_RUN), which must agree on verdict, reason, bytes and counters.
 */
import { reportLexCounters } from '../../lex/counters.ts';
import { LexHost } from '../../lex/lex-host.ts';
import type { LexHostOptions } from '../../lex/options.ts';
import { lexSettings } from '../../lex/options.ts';
import { REASON_NAMES } from '../../lex/reasons.ts';
import { TestRun } from '../../sys/bpf.ts';
import { StructView } from '../btf.ts';
import { HostPrograms } from '../host-programs.ts';
import { Dice } from './dice.ts';
import { PacketSequence } from './packet-sequence.ts';
import { ETHERNET_BYTES, PacketWriter } from './packet-writer.ts';

/** Options of the comparison. */
export interface VerifyOptions {
  readonly sequences: number;
  /** Longest sequence, packets; default 60. */
  readonly packets?: number;
  readonly seed?: number;
  /** Told how many sequences are done, now and then. */
  readonly onProgress?: (done: number) => void;
}

/** Where the two differ. */
export interface Mismatch {
  readonly sequence: number;
  readonly packet: number;
  readonly what: string;
}

/** What came of it. */
export interface VerifyResult {
  readonly sequences: number;
  readonly packets: number;
  readonly seed: number;
  /** Packets by reason, over all sequences. */
  readonly reasons: Record<string, number>;
  readonly mismatches: readonly Mismatch[];
}

/** Flows that a sequence can have at most is below this: none is evicted, as the two choose differently. */
const FLOW_CAPACITY = 256;
const LONGEST_SEQUENCE = 200;
/** After so many differences it ends. */
const MAX_MISMATCHES = 5;
const SHORTEST_IP = 40;
/** EtherType 0x88b5, for experiments. @see IEEE 802 */
const EXPERIMENTAL_TYPE = [0x88, 0xb5];
const PROGRESS_EVERY = 1000;

/** The programs in the kernel and what they are given. */
export class HostVerifier {
  readonly #programs: HostPrograms;
  readonly #egress: TestRun;
  readonly #ingress: TestRun;
  readonly #context: readonly StructView[];
  readonly #writer: PacketWriter;
  #host = new LexHost({ flowCapacity: FLOW_CAPACITY });

  /** @throws PreflexError when the programs cannot be loaded */
  constructor() {
    this.#programs = new HostPrograms({
      purpose: 'test',
      lex: lexSettings({ flowCapacity: FLOW_CAPACITY }),
      served: { addresses: undefined, linkHeaderBytes: ETHERNET_BYTES },
    });
    const context = this.#programs.spec.btf.structLayout('__sk_buff');
    this.#egress = new TestRun('lex_egress_at', this.#programs.programFd('egress'), context.size);
    this.#ingress = new TestRun('lex_ingress_at', this.#programs.programFd('ingress'), context.size);
    this.#context = [this.#egress, this.#ingress].map((run) => new StructView(context, run.context));
    this.#writer = new PacketWriter(this.#egress.packet);
  }

  /** The frame to be handled: written by the caller. */
  get writer(): PacketWriter {
    return this.#writer;
  }

  /** Both begin anew with these options. */
  restart(options: LexHostOptions): void {
    const all = { ...options, flowCapacity: FLOW_CAPACITY };
    this.#host = new LexHost(all);
    this.#programs.configure(lexSettings(all), { addresses: undefined, linkHeaderBytes: ETHERNET_BYTES });
    this.#programs.forget();
  }

  /** Only the programs forget what they know: from here on the two differ. */
  forgetFlows(): void {
    this.#programs.forget();
  }

  /**
   * Gives the packet in the writer to both.
   *
   * @returns the reason, or a text that says how they differ
   */
  handle(step: { isOutbound: boolean; length: number; nowNs: number; hints: number }): number | string {
    const { isOutbound, length, nowNs, hints } = step;
    const run = isOutbound ? this.#egress : this.#ingress;
    const context = this.#context[isOutbound ? 0 : 1];
    // The kernel takes no test packet that says it is IP and is too short for that.
    if (length < SHORTEST_IP) this.#egress.packet.set(EXPERIMENTAL_TYPE, ETHERNET_BYTES - 2);
    if (!isOutbound) run.packet.set(this.#egress.packet.subarray(0, ETHERNET_BYTES + length));
    context.write('cb', nowNs % 2 ** 32, 0);
    context.write('cb', Math.floor(nowNs / 2 ** 32), 1);
    context.write('cb', hints, 2);
    const verdict = run.run(ETHERNET_BYTES + length);

    const host = this.#host;
    host.handleTimeout(nowNs);
    const view = new DataView(run.packet.buffer, ETHERNET_BYTES, length);
    let taken = 0;
    if (isOutbound) host.handleOutbound(view, 0, length, nowNs, hints);
    else taken = host.handleInbound(view, 0, length, nowNs);
    const expected = host.lastReason | (taken << 8);
    if (verdict !== expected) {
      return `${describe(verdict)} in the kernel, ${describe(expected)} in TypeScript: ${hex(run.packet, length)}`;
    }
    // The core has rewritten the very bytes that the programs were given a copy of.
    if (!areEqual(run.packet, run.result, ETHERNET_BYTES + length)) {
      return `${hex(run.result, length)} in the kernel, ${hex(run.packet, length)} in TypeScript`;
    }
    return host.lastReason;
  }

  /** A text that says how the counters differ; undefined when they are alike. */
  compareCounters(): string | undefined {
    const kernel = JSON.stringify(reportLexCounters(this.#programs.counters().lex));
    const core = JSON.stringify(reportLexCounters(this.#host.counters));
    return kernel === core ? undefined : `counters: ${kernel} in the kernel, ${core} in TypeScript`;
  }

  close(): void {
    this.#programs.close();
  }
}

/** Runs generated sequences until they differ {@link MAX_MISMATCHES} times or are done. */
export function verifyHost(options: VerifyOptions): VerifyResult {
  const { sequences, seed = 1, packets: longest = 60, onProgress } = options;
  const verifier = new HostVerifier();
  const reasons = new Array<number>(REASON_NAMES.length).fill(0);
  const mismatches: Mismatch[] = [];
  let packets = 0;
  let done = 0;
  try {
    for (; done < sequences && mismatches.length < MAX_MISMATCHES; done++) {
      const dice = new Dice(seed + done);
      const host = drawOptions(dice);
      verifier.restart(host);
      const { scheme, idleLimitNs, closedLimitNs, datagramLimitNs } = lexSettings(host);
      const sequence = new PacketSequence(dice, verifier.writer, {
        scheme: scheme.name,
        idleLimitsNs: [idleLimitNs, closedLimitNs, datagramLimitNs],
      });
      const count = 1 + dice.below(Math.min(longest, LONGEST_SEQUENCE));
      let what: string | undefined;
      let packet = 0;
      for (; packet < count && what === undefined; packet++) {
        const outcome = verifier.handle(sequence.next());
        if (typeof outcome === 'string') what = outcome;
        else reasons[outcome]++;
      }
      packets += packet;
      what ??= verifier.compareCounters();
      if (what !== undefined) mismatches.push({ sequence: seed + done, packet, what });
      if ((done + 1) % PROGRESS_EVERY === 0) onProgress?.(done + 1);
    }
  } finally {
    verifier.close();
  }
  const counted = REASON_NAMES.map((name, reason) => [name, reasons[reason]] as const);
  return {
    sequences: done,
    packets,
    seed,
    reasons: Object.fromEntries(counted.filter(([, count]) => count > 0)),
    mismatches,
  };
}

function drawOptions(dice: Dice): LexHostOptions {
  return {
    scheme: dice.pick(['pool2', 'full'] as const),
    fneAfterTimeouts: 1 + dice.below(3),
    keepPathWithoutAnswer: !dice.once(3),
    flowletGapNs: dice.pick([1e9, 1e9, 200e6, 1.5e9]),
  };
}

function describe(verdict: number): string {
  const path = verdict >> 8;
  return `${REASON_NAMES[verdict & 0xff] ?? verdict}${path === 0 ? '' : ` of path ${path}`}`;
}

function hex(frame: Uint8Array, length: number): string {
  return Buffer.from(frame.buffer, ETHERNET_BYTES, length).toString('hex');
}

function areEqual(a: Uint8Array, b: Uint8Array, length: number): boolean {
  return Buffer.compare(a.subarray(0, length), b.subarray(0, length)) === 0;
}
