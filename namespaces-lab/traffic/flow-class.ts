/**
 * What a client is to do, and what it tells of each transfer: data that goes between the run and its client processes.
 */
import type { FlowSchedule } from './schedule.ts';
import type { SizeModel } from './sizes.ts';

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
  /** Connections are of MPTCP, and their first subflows start from these addresses in turn; default: TCP. */
  readonly subflowAddresses?: readonly string[];
}

export type { FlowOutcome, FlowRecord } from '../../lib/sim/scenarios/records.ts';

/** What a source tells at its end. */
export interface SourceReport {
  readonly connections: number;
  readonly completed: number;
  /** Connections by the congestion control that their sockets named. */
  readonly congestion: Readonly<Record<string, number>>;
  /** Sum of tcpi_bytes_retrans over all connections, those still open included; with MPTCP over their last subflows. */
  readonly kernelBytesRetrans: number;
  /** Connections whose account could not be read any more. */
  readonly unreadConnections: number;
  /** With MPTCP: connections by the number of subflows that they had at their end; 0: fallen back to TCP. */
  readonly subflows?: Readonly<Record<string, number>>;
}
