/** The end of an experiment: everything is stopped in an order in which nothing is lost, and says what it counted. */
import { linkCounters } from '../../lib/netns/links.ts';
import { waitFor } from '../../lib/netns/wait.ts';
import type { DeviceReport } from '../../lib/runtime/device-report.ts';
import type { GatewayDaemonStatus } from '../../lib/runtime/gateway-daemon.ts';
import type { LaneCounters } from '../links/fabric-core.ts';
import type { FabricReport } from '../links/fabric.ts';
import { statusOf } from '../processes/preflex-process.ts';
import type { HostStatus } from '../result.ts';
import type { SourceReport } from '../traffic/flow-class.ts';
import type { Experiment, NamedProcess } from './experiment-setup.ts';

const DRAIN_MS = 20_000;

/** What is known when everything has ended. */
export interface End {
  readonly fabric: FabricReport;
  /** The reported one; null where it is the kernel. */
  readonly gateway: GatewayDaemonStatus | null;
  readonly gateways: Readonly<Record<string, GatewayDaemonStatus>>;
  readonly agents: Readonly<Record<string, HostStatus>>;
  readonly devices: Readonly<Record<string, DeviceReport>>;
  readonly queueDrops: Readonly<Record<string, number>>;
  readonly sources: Readonly<Record<string, SourceReport>>;
}

/** Stops everything. */
export async function takeDown(experiment: Experiment): Promise<End> {
  // Clients have given up by their own clock; sources read the accounts of what is still open, then cut it.
  const sources = await stopAll<SourceReport>(experiment.sources);
  await stopAll(experiment.clients);
  await drained(experiment);
  const queueDrops = Object.fromEntries(
    experiment.devices.map(({ netns, device }) => [
      `${netns.replace(/^pfx-\d+-/, '')} ${device}`,
      linkCounters(device, { netns }).txDropped,
    ]),
  );
  const agents = await stopAll<HostStatus>(experiment.agents);
  const gateways = await stopAll<GatewayDaemonStatus>(experiment.gateways);
  const fabric = statusOf<FabricReport>(await experiment.fabric.stop());
  const devices: Record<string, DeviceReport> = {};
  const add = (kind: string, statuses: Record<string, HostStatus | GatewayDaemonStatus>): void => {
    for (const [name, status] of Object.entries(statuses)) {
      // With programs in the kernel there are none.
      if (!('devices' in status)) continue;
      for (const [device, report] of Object.entries(status.devices)) {
        devices[`${kind} ${name} ${device}`] = report;
      }
    }
  };
  add('agent', agents);
  add('gateway', gateways);
  return {
    sources,
    queueDrops,
    agents,
    gateways,
    fabric,
    devices,
    gateway: Object.values(gateways)[0] ?? null,
  };
}

/** Waits until no packet is under way and none comes. */
async function drained(experiment: Experiment): Promise<void> {
  let before = -1;
  let requests = 0;
  await waitFor(
    'the emulated network to run empty',
    async () => {
      const { lanes } = await askCounters(experiment, `drain-${requests++}`);
      const held = lanes.reduce((sum, lane) => sum + lane.heldPackets, 0);
      const offered = lanes.reduce(
        (sum, lane) =>
          sum + Object.values(lane.ingress).reduce((total, port) => total + port.offeredPackets, 0),
        0,
      );
      const isDone = held === 0 && offered === before;
      before = offered;
      return isDone ? true : undefined;
    },
    { timeoutMs: DRAIN_MS },
  );
}

/** The emulated network's counters now; `timeNs` on CLOCK_MONOTONIC. */
export async function askCounters(
  { fabric }: Experiment,
  id: string,
): Promise<{ timeNs: number; lanes: LaneCounters[] }> {
  const line = await fabric.ask({ command: 'counters', id }, 'counters');
  return line as unknown as { timeNs: number; lanes: LaneCounters[] };
}

async function stopAll<T>(processes: readonly NamedProcess[]): Promise<Record<string, T>> {
  const lines = await Promise.all(processes.map(({ process }) => process.stop()));
  return Object.fromEntries(processes.map(({ name }, i) => [name, statusOf<T>(lines[i])]));
}
