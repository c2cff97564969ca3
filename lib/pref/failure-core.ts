/**
 * What the parts of the detection of failures share: the samples and the evidence, the suspensions, the list of what was
 * decided, the rules, and the time.
 *
 * ```
 *      failure-detector.ts      what happens to flows is noted; what is known of them is asked
 *            |
 *      failure-decisions.ts     is a route failing?
 *            |
 *      suspended-groups.ts      from a suspension to the return
 *      fallen-groups.ts         what a route gets back that carried nothing without being suspended
 * ```
 */

import { FailureEvents } from './failure-events.ts';
import { FailureEvidence } from './failure-evidence.ts';
import { FlowSample } from './failure-sample.ts';
import { RepeatWatch } from './repeat-watch.ts';
import type { RouteTable } from './route-table.ts';
import { Suspensions } from './suspensions.ts';

/** What a detector can take over while it runs, checked. */
export interface FailureRules {
  readonly isOn: boolean;
  /** 0.2e9 to 0.8e9. */
  readonly windowNs: number;
  /** 0.5 to 1. */
  readonly share: number;
}

/** Options of the detector, checked. */
export interface FailureSettings extends FailureRules {
  /** Flows in a group, 8 to 64. */
  readonly sample: number;
  /** Flows in all, a power of 2 from 64 to 65,536. */
  readonly sampleEntries: number;
}

/** Nanoseconds in a millisecond. */
export const NS_PER_MS = 1e6;

/**
 * Without a packet for so long, ms, this gateway may have stood still itself; then answers may wait to be read, and what
 * is overdue says nothing until it has run on for some time, ms.
 */
const STEADY_STEP_MS = 50;
const STEADY_MS = 100;

/** The detector's parts. */
export class FailureCore {
  readonly table: RouteTable;
  readonly events = new FailureEvents();
  readonly suspensions: Suspensions;
  readonly sample: FlowSample;
  readonly evidence: FailureEvidence;
  /** Flows that receive. */
  readonly repeats: RepeatWatch;
  windowNs: number;
  windowMs: number;

  /** The time, ns; a number as large as this would be allocated if it were handed from function to function. */
  readonly clockNs = new Float64Array(1);
  /** The time, ms modulo 2^32. */
  nowMs = 0;
  /** For how long the time has gone on in small steps, ms: {@link STEADY_MS} at most. */
  private steadyMs = 0;

  /** @param probeShare - beta_E / N for N routes */
  constructor(settings: FailureSettings, table: RouteTable, probeShare: (routeCount: number) => number) {
    this.table = table;
    this.windowNs = settings.windowNs;
    this.windowMs = settings.windowNs / NS_PER_MS;
    this.suspensions = new Suspensions(table, probeShare);
    this.sample = new FlowSample(settings.sampleEntries, settings.sample);
    this.evidence = new FailureEvidence(this.sample, this.windowMs, settings.share);
    this.repeats = new RepeatWatch(settings.sampleEntries, settings.sample, this.windowMs, settings.share);
  }

  /** Takes another window and share over. */
  configure(windowNs: number, share: number): void {
    this.windowNs = windowNs;
    this.windowMs = windowNs / NS_PER_MS;
    this.evidence.configure(this.windowMs, share);
    this.repeats.evidence.configure(this.windowMs, share);
  }

  /** Goes on to the time that was written to {@link clockNs}. @hotpath */
  advance(): void {
    const nowMs = (this.clockNs[0] / NS_PER_MS) | 0;
    const stepMs = (nowMs - this.nowMs) | 0;
    if (stepMs > STEADY_STEP_MS) this.steadyMs = 0;
    else if (this.steadyMs < STEADY_MS) this.steadyMs += stepMs;
    this.nowMs = nowMs;
  }

  /** The time, ms: a whole number that does not wrap. */
  get wholeMs(): number {
    return Math.floor(this.clockNs[0] / NS_PER_MS);
  }

  /** Whether the time has gone on in small steps for a while. */
  get isSteady(): boolean {
    return this.steadyMs >= STEADY_MS;
  }
}
