/**
 * One truth: the same packets at the same times through the TypeScript core (LexHost) and through the programs in the
 * kernel (BPF_PROG_TEST_RUN), which must agree on verdict, reason, bytes and counters.
 */
import { reportLexCounters } from '../../lex/counters.ts';
import { LexHost } from '../../lex/lex-host.ts';
import type { LexHostOptions } from '../../lex/options.ts';
import { lexSettings } from '../../lex/options.ts';
import { REASON_NAMES } from '../../lex/reasons.ts';
import { HostPrograms } from '../host-programs.ts';
import { Dice } from './dice.ts';
import { KernelRun } from './kernel-run.ts';
import type { SequenceStep } from './packet-sequence.ts';
import { PacketSequence } from './packet-sequence.ts';
import type { PacketWriter } from './packet-writer.ts';
import { ETHERNET_BYTES } from './packet-writer.ts';
import type { Life, VerifyOptions, VerifyResult } from './verify-loop.ts';
import { runLives } from './verify-loop.ts';

/** Flows that a sequence can have at most is below this: none is evicted, as the two choose differently. */
const FLOW_CAPACITY = 256;

/** The programs in the kernel and what they are given. */
export class HostVerifier {
  readonly #programs: HostPrograms;
  readonly #kernel: KernelRun;
  #host = new LexHost({ flowCapacity: FLOW_CAPACITY });

  /** @throws PreflexError when the programs cannot be loaded */
  constructor() {
    this.#programs = new HostPrograms({
      purpose: 'test',
      lex: lexSettings({ flowCapacity: FLOW_CAPACITY }),
      served: { addresses: undefined, linkHeaderBytes: ETHERNET_BYTES },
    });
    this.#kernel = new KernelRun(this.#programs.spec.btf, {
      outbound: this.#programs.programFd('egress'),
      inbound: this.#programs.programFd('ingress'),
    });
  }

  /** The frame to be handled: written by the caller. */
  get writer(): PacketWriter {
    return this.#kernel.writer;
  }

  /** The IP packet as the program left it last. */
  get result(): Uint8Array {
    return this.#kernel.result;
  }

  /** Path ID that was assigned by the packet handled last, and taken; 0 = none. */
  get taken(): number {
    return this.#kernel.verdict >>> 8;
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
  handle(step: SequenceStep): number | string {
    const { isOutbound, length, nowNs, hints } = step;
    const view = this.#kernel.run(step, hints);
    const host = this.#host;
    host.handleTimeout(nowNs);
    let taken = 0;
    if (isOutbound) host.handleOutbound(view, 0, length, nowNs, hints);
    else taken = host.handleInbound(view, 0, length, nowNs);
    return this.#kernel.compare(host.lastReason | (taken << 8), REASON_NAMES) ?? host.lastReason;
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

/** Runs generated sequences, each a life of a host, until they differ too often or are done. */
export function verifyHost(options: VerifyOptions): VerifyResult {
  const verifier = new HostVerifier();
  try {
    return runLives(options, REASON_NAMES, 1, (seed, _one, longest, reasons) =>
      runLife(verifier, seed, longest, reasons),
    );
  } finally {
    verifier.close();
  }
}

function runLife(verifier: HostVerifier, seed: number, longest: number, reasons: number[]): Life {
  const dice = new Dice(seed);
  const host = drawOptions(dice);
  verifier.restart(host);
  const { scheme, idleLimitNs, closedLimitNs, datagramLimitNs } = lexSettings(host);
  const sequence = new PacketSequence(dice, verifier.writer, {
    scheme: scheme.name,
    idleLimitsNs: [idleLimitNs, closedLimitNs, datagramLimitNs],
  });
  const count = 1 + dice.below(longest);
  for (let packets = 1; packets <= count; packets++) {
    const outcome = verifier.handle(sequence.next());
    if (typeof outcome === 'string') return { packets, what: outcome };
    reasons[outcome]++;
  }
  return { packets: count, what: verifier.compareCounters() };
}

function drawOptions(dice: Dice): LexHostOptions {
  return {
    scheme: dice.pick(['pool2', 'full'] as const),
    fneAfterTimeouts: 1 + dice.below(3),
    keepPathWithoutAnswer: !dice.once(3),
    flowletGapNs: dice.pick([1e9, 1e9, 200e6, 1.5e9]),
  };
}
