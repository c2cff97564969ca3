/**
 * Whether a run may be believed: a run checks itself, and says "invalid" when it must. Pure.
 */
import type { GatewayDaemonStatus } from '../../lib/runtime/gateway-daemon.ts';
import type { DeviceReport } from '../../lib/runtime/device-report.ts';
import { conservationFaults } from '../links/fabric-core.ts';
import type { FabricReport } from '../links/fabric.ts';
import type { HostStatus } from '../result.ts';
import type { SourceReport } from '../traffic/flow-class.ts';
import type { RoutePlace } from './experiment-setup.ts';

/** One check. */
export interface Check {
  readonly name: string;
  readonly isOk: boolean;
  /** What was found, in words and numbers. */
  readonly detail: string;
}

/** The verdict on a run. */
export interface Validity {
  readonly valid: boolean;
  readonly checks: readonly Check[];
  /** Names of checks that need a PREFLEX gateway, where there is none. */
  readonly leftOut: readonly string[];
}

/** What the checks look at. */
export interface Evidence {
  readonly fabric: FabricReport;
  /** Null where it is the kernel. */
  readonly gateway: GatewayDaemonStatus | null;
  readonly agents: Readonly<Record<string, HostStatus>>;
  readonly routes: readonly RoutePlace[];
  /** TUNs of agents and gateways by `PROCESS DEVICE`; none with programs in the kernel. */
  readonly devices: Readonly<Record<string, DeviceReport>>;
  /** Packets that the transmit queues of other devices dropped, by `NAMESPACE DEVICE`. */
  readonly queueDrops: Readonly<Record<string, number>>;
  readonly sources: Readonly<Record<string, SourceReport>>;
  readonly processor: ProcessorUse;
}

/** Shares of both processors' time over the run, 0..1. */
export interface ProcessorUse {
  readonly busy: number;
  readonly idle: number;
  /** Spent in programs of lower priority (nice above 0), which make way at once. */
  readonly yielding: number;
  /** Taken by the hypervisor for others. */
  readonly stolen: number;
}

/** The emulator may be so late: a hundredth of the base round trip in the median, a tenth at p99. */
export const MAX_LATENESS_P50_MS = 1;
export const MAX_LATENESS_P99_MS = 10;
/** Least share of processor time that must have been left over, idle or for programs of lower priority. */
export const MIN_IDLE = 0.05;
export const MAX_STOLEN = 0.1;
/** Largest difference between what the gateway says that it sent by a route and what the link was offered. */
const MAX_BYTE_DIFFERENCE = 0.001;
const GATEWAY_BYTES = 'bytes of the gateway = bytes offered to the links';
/** Least share of the connections that must have been MPTCP to their end, where they began so. */
const MIN_MPTCP = 0.5;

/** Judges a run. */
export function checkRun(evidence: Evidence): Validity {
  const { gateway } = evidence;
  const checks = [
    checkConservation(evidence),
    checkNoPath(evidence),
    ...(gateway === null ? [] : [checkGatewayBytes(evidence, gateway)]),
    checkQueues(evidence),
    ...checkPrograms(evidence),
    checkCongestion(evidence),
    ...checkSubflows(evidence),
    checkLateness(evidence),
    checkProcessor(evidence),
  ];
  return {
    valid: checks.every((check) => check.isOk),
    checks,
    leftOut: gateway === null ? [GATEWAY_BYTES] : [],
  };
}

function checkConservation({ fabric }: Evidence): Check {
  const faults = conservationFaults(fabric);
  const held = fabric.lanes.reduce((sum, lane) => sum + lane.heldPackets, 0);
  const refused = Object.values(fabric.ports).reduce((sum, port) => sum + port.refusedPackets, 0);
  const isOk = faults.length === 0 && held === 0 && refused === 0;
  return {
    name: 'packets conserved in the emulated network',
    isOk,
    detail: isOk
      ? 'read = dropped + written, on every port and link'
      : [...faults, `${held} held, ${refused} refused at the end`].join('; '),
  };
}

function checkNoPath({ fabric }: Evidence): Check {
  const count = Object.values(fabric.ports).reduce((sum, port) => sum + port.noPathPackets, 0);
  return { name: 'no packet without a path', isOk: count === 0, detail: `${count} packets` };
}

function checkGatewayBytes({ fabric, routes }: Evidence, gateway: GatewayDaemonStatus): Check {
  const differences = routes.map((place) => {
    const route = gateway.routes.find((candidate) => candidate.name === place.name);
    const sent = (route?.total.bytes ?? 0) + (route?.notLectBytes ?? 0);
    const offered = fabric.ports[place.port].readBytes;
    return { name: place.name, ratio: Math.abs(sent - offered) / Math.max(1, offered) };
  });
  return {
    name: GATEWAY_BYTES,
    isOk: differences.every(({ ratio }) => ratio <= MAX_BYTE_DIFFERENCE),
    detail: differences.map(({ name, ratio }) => `${name} ${(ratio * 100).toFixed(3)} %`).join(', '),
  };
}

function checkQueues({ devices, queueDrops }: Evidence): Check {
  const drops = [
    ...Object.entries(devices).map(([name, device]) => [name, device.kernelDropped] as const),
    ...Object.entries(queueDrops),
  ].filter(([, count]) => count > 0);
  const refused = Object.entries(devices).flatMap(([name, device]) =>
    Object.entries(device.refused).map(([reason, count]) => `${name} refused ${count} (${reason})`),
  );
  const found = [...drops.map(([name, count]) => `${name} dropped ${count}`), ...refused];
  return {
    name: 'no drops at TUN and veth queues',
    isOk: found.length === 0,
    detail: found.length === 0 ? 'none' : found.join(', '),
  };
}

/** With programs in the kernel only: they pass unmarked what their maps have no room for. */
function checkPrograms({ agents }: Evidence): Check[] {
  const refused = Object.entries(agents).flatMap(([name, status]) =>
    'datapath' in status ? [[name, status.flows.refused] as const] : [],
  );
  if (refused.length === 0) return [];
  const found = refused.filter(([, count]) => count > 0);
  return [
    {
      name: 'room for every flow in the kernel',
      isOk: found.length === 0,
      detail:
        found.length === 0
          ? 'no packet refused'
          : found.map(([name, count]) => `agent ${name} refused ${count} packets`).join(', '),
    },
  ];
}

function checkCongestion({ sources }: Evidence): Check {
  const names = new Set(Object.values(sources).flatMap((source) => Object.keys(source.congestion)));
  return {
    name: 'every connection uses cubic',
    isOk: [...names].every((name) => name === 'cubic'),
    detail: [...names].join(', ') || 'no connection',
  };
}

/** With MPTCP only. A handshake that a dead route delays falls back to TCP by the kernel's own rule. */
function checkSubflows({ sources }: Evidence): Check[] {
  const counts = new Map<string, number>();
  for (const { subflows } of Object.values(sources)) {
    for (const [number, count] of Object.entries(subflows ?? {})) {
      counts.set(number, (counts.get(number) ?? 0) + count);
    }
  }
  if (Object.values(sources).every((source) => source.subflows === undefined)) return [];
  const all = [...counts.values()].reduce((sum, count) => sum + count, 0);
  const detail = [...counts].map(([number, count]) => `${count} with ${number} subflows`).join(', ');
  return [
    {
      name: 'most connections are MPTCP',
      isOk: all > 0 && 1 - (counts.get('0') ?? 0) / all >= MIN_MPTCP,
      detail: detail === '' ? 'no connection' : detail,
    },
  ];
}

function checkLateness({ fabric: { lateness } }: Evidence): Check {
  const { p50Ms, p99Ms, maxMs } = lateness;
  return {
    name: `emulator late by at most ${MAX_LATENESS_P50_MS} ms (median) and ${MAX_LATENESS_P99_MS} ms (p99)`,
    isOk: (p50Ms ?? 0) <= MAX_LATENESS_P50_MS && (p99Ms ?? 0) <= MAX_LATENESS_P99_MS,
    detail: `median ${p50Ms} ms, p99 ${p99Ms} ms, max ${maxMs} ms of ${lateness.packets} packets`,
  };
}

function checkProcessor({ processor: { busy, idle, yielding, stolen } }: Evidence): Check {
  const percent = (share: number): string => `${(share * 100).toFixed(1)} %`;
  return {
    name: `enough processor time: ${percent(MIN_IDLE)} left over, at most ${percent(MAX_STOLEN)} stolen`,
    isOk: idle + yielding >= MIN_IDLE && stolen <= MAX_STOLEN,
    detail: `busy ${percent(busy)}, idle ${percent(idle)}, at lower priority ${percent(yielding)}, stolen ${percent(stolen)}`,
  };
}
