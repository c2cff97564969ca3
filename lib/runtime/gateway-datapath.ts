/** Where the packets of a gateway daemon pass: what the daemon asks of its datapath, whichever it is. */
import type { FlowEnds } from '../pref/preview.ts';
import type { KernelForwarding } from './config-schema.ts';
import type { DeviceReport } from './device-report.ts';
import type { ForwardingState } from './forwarding-watch.ts';
import type { DestinationTable } from './live-destinations.ts';
import type { LoopReport, LoopStats, TimedCore } from './packet-loop.ts';
import type { Prefix } from './prefixes.ts';
import type { TableGateway } from './table-destinations.ts';
import type { RecoveredJournal } from './undo-journal.ts';

/** What a datapath in the kernel shows of itself. */
export interface KernelDatapathStatus {
  /** How the programs hang on their devices. */
  readonly attachment: 'tcx' | 'clsact';
  /** Whether counters, ratios and memories of an earlier daemon were taken over. */
  readonly isTakenOver: boolean;
  /** As configured. */
  readonly forwarding: KernelForwarding;
  /** Who sends packets by their routes now. */
  readonly forwardingBy: ForwardingState['by'];
  /** Why the kernel does with `auto`; else null. */
  readonly forwardingReason: string | null;
  /** Packets that the programs sent by their routes themselves, since the counters began. */
  readonly redirected: number;
  /** Reports of flows for the detector of failures that were read, and that found no room. */
  readonly reports: number;
  readonly reportsLost: number;
  /** Destinations that the programs have no room for. */
  readonly leftOutDestinations: number;
  /** Prefixes of other destinations that there is no room for; their packets meet the next shorter one. */
  readonly leftOutPrefixes: number;
  /** Devices that came back and took no program, with the reason; their routes are down until one does. */
  readonly refusedDevices: Readonly<Partial<Record<string, string>>>;
}

/** What came of following the machine. */
export interface Followed {
  /** Names of routes with tables of our own that can carry nothing now; undefined when the machine did not say. */
  readonly down: readonly string[] | undefined;
  /** What the machine refused; all else is done, and the next time it is tried again. */
  readonly failure: Error | undefined;
}

/** A datapath. It is opened, begun, led through, and stopped, in this order. */
export interface GatewayDatapath {
  readonly name: 'tun' | 'ebpf';
  /** What the user should know; see `PlumbingPlan.warnings`. */
  readonly warnings: readonly string[];
  /** What an earlier crash had left and has been taken back first. */
  readonly recovered: readonly RecoveredJournal[];
  /** The gateway, for those who change its destinations. */
  readonly destinationTable: DestinationTable & TableGateway;
  /** Deadlines to be looked at before the gateway's. */
  readonly core: TimedCore | undefined;
  /** Undefined for one whose packets do not come by here. */
  readonly kernelStatus: KernelDatapathStatus | undefined;
  readonly loopStats: LoopStats;
  readonly loopReport: LoopReport;
  /** False when it lost what it cannot do without. */
  readonly isHealthy: boolean;
  /** Packets begin to be handled as they come; all destinations are there. */
  begin(cores: readonly TimedCore[]): void;
  /** The machine leads its traffic through. */
  leadThrough(): void;
  /** Whether packets have been moved as they came since the last call. */
  checkTurning(): boolean;
  /** Reads what is only read now and then, before it is shown. */
  readFigures(): void;
  /** Reads what is known of a flow to a destination, before the gateway previews its packets. */
  readFlow(destination: number, ends: FlowEnds): void;
  /** Routes went down or came up. */
  routesChanged(): void;
  /** Limits, neighbours or rules of failures are others now. */
  policyChanged(): void;
  /** Diverts other destinations from now on. @throws PreflexError ERR_SYSTEM; then the destinations before stay */
  divert(destinations: readonly Prefix[]): void;
  /** Follows the machine, and puts back what somebody took away of what leads the traffic through. */
  followMachine(): Followed;
  reportDevices(): Record<string, DeviceReport>;
  /** After a start that failed: nothing of it stays behind. */
  abandon(): void;
  /** No packet is led here any more, or the kernel goes on alone. */
  stop(): void;
  /** Gives everything back; the figures have been read. */
  close(): void;
}
