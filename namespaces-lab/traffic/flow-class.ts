/**
 * What a client is to do, and what it tells of each transfer: data that goes between the run and its client processes.
 */
import type { FlowSchedule } from './schedule.ts';

/** How large transfers are: a fixed size, or drawn from a Weibull distribution. */
export type SizeModel =
  { readonly bytes: number } | { readonly weibull: { readonly shape: number; readonly scaleBytes: number } };

/** Transfers of one kind, from one source to the clients of one domain. */
export interface FlowClass {
  /** `INGRESS>EGRESS`, for example `p>e1`. */
  readonly name: string;
  /** Of the source. */
  readonly address: string;
  readonly port: number;
  readonly size: SizeModel;
  /** Closed loop: so many at the same time; when one ends the next begins. */
  readonly concurrent?: FlowSchedule;
  /** Open loop instead: so many new ones a second, evenly spaced. */
  readonly perSecond?: number;
  /** The source sends no faster than this, bytes a second; default: as fast as TCP lets it. */
  readonly bytesPerSec?: number;
}

/** The work of one client process. */
export interface ClientPlan {
  /** All classes of the run, in one order for all its clients: each has the random stream of its place. */
  readonly classes: readonly FlowClass[];
  /** Which of them this client runs. */
  readonly own: readonly string[];
  /** An int32. */
  readonly seed: number;
  /** Seconds after the start at which nothing new is started and what runs is given up. */
  readonly seconds: number;
  /** Moments, seconds after the start: each flow that runs then tells the gap that it was in. */
  readonly gapProbes?: readonly number[];
}

/** How a transfer ended. */
export type FlowOutcome = 'completed' | 'failed' | 'unfinished';

/** One transfer. Times in seconds after the start of the traffic. */
export interface FlowRecord {
  readonly name: string;
  readonly start: number;
  readonly end: number;
  readonly bytes: number;
  readonly receivedBytes: number;
  readonly outcome: FlowOutcome;
  /** What the socket said, for `failed`. */
  readonly error?: string;
  /** From the call of connect to its success; null when it had none. */
  readonly connectSeconds: number | null;
  /** Longest time without progress: between two readings, or before the first, or after the last. */
  readonly stallSeconds: number;
  /** When that began. */
  readonly stallAt: number;
  /** For each of the plan's gapProbes the length of the gap around it; null when the flow did not run then. */
  readonly probeGaps?: readonly (number | null)[];
}

/** What a source tells at its end. */
export interface SourceReport {
  readonly connections: number;
  readonly completed: number;
  /** Connections by the congestion control that their sockets named. */
  readonly congestion: Readonly<Record<string, number>>;
  /** Sum of tcpi_bytes_retrans over all connections, those still open included. */
  readonly kernelBytesRetrans: number;
  /** Connections whose account could not be read any more. */
  readonly unreadConnections: number;
}
