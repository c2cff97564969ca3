/**
 * The run `oracle`: are the bytes marked LEx the bytes that the kernel sent again? Real TCP transfers over a lossy link
 * behind the agent, and the kernel's own account of each connection (tcpi_bytes_retrans) as the truth.
 *
 * One group of transfers has one loss ratio and one setting of segmentation offload; its transfers use each congestion
 * control in turn. A last group has no loss, but keep-alives, closed windows and sequence numbers that wrap: not one
 * LEx may occur there.
 */
import { createInterface } from 'node:readline';
import { PreflexError } from '../../lib/errors.ts';
import { ip } from '../../lib/netns/ip.ts';
import type { LabScope } from '../../lib/netns/lab-scope.ts';
import { withLabScope } from '../../lib/netns/lab-scope.ts';
import { writeSysctl } from '../../lib/netns/sysctl.ts';
import { waitForListen } from '../../lib/netns/wait.ts';
import type { DeviceReport } from '../../lib/runtime/device-report.ts';
import type { Datapath } from '../processes/datapath.ts';
import { startDaemon } from '../processes/datapath.ts';
import { labModuleArgv, statusOf } from '../processes/preflex-process.ts';
import type { HostStatus } from '../result.ts';
import { buildLine, LINE } from '../topologies/line.ts';
import type { SenderPlan, Transfer, TransferResult } from '../traffic/sender.ts';

/** Options of the run. */
export interface OracleOptions {
  /** Transfers for each combination of loss, congestion control and offload; default 12. */
  readonly transfers?: number;
  /** Bytes a transfer; default 1,000,000. */
  readonly bytes?: number;
  /** Loss ratios; default 0.005, 0.02, 0.05. */
  readonly losses?: readonly number[];
  /** Congestion controls; default cubic, reno, bbr. */
  readonly congestions?: readonly string[];
  /** Seed of the losses; default 1. */
  readonly seed?: number;
  /** Where the agent marks; default tun. With ebpf "offload off" is a device without super-packets. */
  readonly datapath?: Datapath;
  /** Told what happens, a line each. */
  readonly onProgress?: (line: string) => void;
}

/** One group of transfers. */
export interface OracleRun {
  readonly loss: number;
  readonly offload: boolean;
  readonly version: 4 | 6;
  readonly congestions: readonly string[];
  readonly transfers: number;
  readonly bytes: number;
  /** Payload bytes that the agent marked LEx. */
  readonly lexPayloadBytes: number;
  /** Packets that the agent marked LEx. */
  readonly lexPackets: number;
  /** Sum of tcpi_bytes_retrans over the transfers. */
  readonly kernelBytesRetrans: number;
  readonly exclusions: Record<string, number>;
  /** kernelBytesRetrans - lexPayloadBytes - exclusions. */
  readonly difference: number;
  /** Packets that the kernel could not queue for the agent: counted as sent by TCP, seen by nobody. */
  readonly kernelDropped: number;
}

/** What the oracle says. */
export interface OracleResult {
  readonly lexPayloadBytes: number;
  readonly kernelBytesRetrans: number;
  readonly exclusions: Record<string, number>;
  readonly difference: number;
  readonly transfers: number;
  readonly bytes: number;
  /** Packets marked LEx on the path without loss. */
  readonly quietLexPackets: number;
  readonly runs: readonly OracleRun[];
}

interface Group {
  readonly loss: number;
  readonly offload: boolean;
  readonly version: 4 | 6;
  readonly transfers: readonly Transfer[];
}

const PORT = 9000;
const CONCURRENCY = 12;
const DEFAULT_LOSSES = [0.005, 0.02, 0.05];
const DEFAULT_CONGESTIONS = ['cubic', 'reno', 'bbr'];
/** A quarter of a default transfer before sequence numbers wrap. */
const WRAPPING_SEQUENCE = 2 ** 32 - 250_000;

/** Runs the oracle; every group in namespaces of its own. */
export async function runOracle(options: OracleOptions = {}): Promise<OracleResult> {
  const runs: OracleRun[] = [];
  for (const group of [...lossyGroups(options), quietGroup(options)]) {
    options.onProgress?.(
      `${group.transfers.length} transfers over IPv${group.version}, loss ${group.loss * 100} %, ` +
        `segmentation offload ${group.offload ? 'on' : 'off'}`,
    );
    runs.push(await withLabScope((scope) => runGroup(scope, group, options)));
  }
  return summarise(runs);
}

function lossyGroups(options: OracleOptions): Group[] {
  const congestions = options.congestions ?? DEFAULT_CONGESTIONS;
  const count = (options.transfers ?? 12) * congestions.length;
  const groups: Group[] = [];
  for (const loss of options.losses ?? DEFAULT_LOSSES) {
    for (const offload of [true, false]) {
      const transfers = Array.from({ length: count }, (_, i) => ({
        bytes: options.bytes ?? 1_000_000,
        congestion: congestions[i % congestions.length],
        // Every fourth wraps its sequence numbers while it loses.
        ...(i % 4 === 3 ? { initialSequence: WRAPPING_SEQUENCE } : {}),
      }));
      groups.push({ loss, offload, version: groups.length % 2 === 0 ? 4 : 6, transfers });
    }
  }
  return groups;
}

/**
 * No loss, and everything that could be mistaken for a retransmission. Tail loss probes are off there: where the RTT is
 * shorter than a delayed acknowledgement the kernel sends one without need (RFC 8985 section 7.2), and that is a
 * retransmission, by the kernel's count as by the marks.
 */
function quietGroup(options: OracleOptions): Group {
  const transfers = (options.congestions ?? DEFAULT_CONGESTIONS).flatMap((congestion): Transfer[] => [
    { bytes: 1_000_000, congestion, keepAliveSeconds: 3.5 },
    { bytes: 20_000_000, congestion, stalls: true },
    { bytes: 1_000_000, congestion, initialSequence: WRAPPING_SEQUENCE },
    {
      bytes: 20_000_000,
      congestion,
      initialSequence: WRAPPING_SEQUENCE,
      stalls: true,
      keepAliveSeconds: 2.5,
    },
  ]);
  return { loss: 0, offload: true, version: 4, transfers };
}

async function runGroup(scope: LabScope, group: Group, options: OracleOptions): Promise<OracleRun> {
  const { host, far } = buildLine(scope, { loss: { forward: group.loss }, seed: options.seed ?? 1 });
  const isInKernel = options.datapath === 'ebpf';
  if (group.loss === 0) writeSysctl('net/ipv4/tcp_early_retrans', 0, { netns: host });
  scope.spawn(labModuleArgv('traffic/sink', [String(PORT)]), { netns: far, stdio: 'ignore' });
  const address = group.version === 4 ? LINE.hostAddress : LINE.hostAddress6;
  const args = ['host', '--address', address, '--device', LINE.device];
  if (!isInKernel && !group.offload) args.push('--no-offload');
  const agent = await startDaemon(scope, host, args, options.datapath);
  if (isInKernel && !group.offload) ip(['link', 'set', LINE.device, 'gso_max_segs', '1'], { netns: host });
  await waitForListen(PORT, { netns: far });
  const results = await runSender(scope, host, {
    address: group.version === 4 ? LINE.farAddress : LINE.farAddress6,
    port: PORT,
    concurrency: CONCURRENCY,
    transfers: group.transfers,
  });
  return compare(group, results, statusOf<HostStatus>(await agent.stop()));
}

async function runSender(scope: LabScope, netns: string, plan: SenderPlan): Promise<TransferResult[]> {
  const child = scope.spawn(labModuleArgv('traffic/sender', [JSON.stringify(plan)]), { netns });
  let stderr = '';
  child.stderr?.setEncoding('utf8').on('data', (text: string) => (stderr += text));
  const results: TransferResult[] = [];
  const lines = createInterface({ input: child.stdout! });
  for await (const line of lines) results.push(JSON.parse(line) as TransferResult);
  if (results.length !== plan.transfers.length) {
    throw new PreflexError(
      'ERR_SYSTEM',
      `only ${results.length} of ${plan.transfers.length} transfers ended\n${stderr}`,
    );
  }
  return results;
}

function compare(group: Group, results: readonly TransferResult[], status: HostStatus): OracleRun {
  const kernelBytesRetrans = results.reduce((sum, result) => sum + result.bytesRetrans, 0);
  const excluded = Object.values(status.exclusions).reduce((sum, bytes) => sum + bytes, 0);
  return {
    loss: group.loss,
    offload: group.offload,
    version: group.version,
    congestions: [...new Set(results.map((result) => result.congestion))].sort(),
    transfers: results.length,
    bytes: results.reduce((sum, result) => sum + result.bytes, 0),
    lexPayloadBytes: status.lexPayloadBytes,
    lexPackets: status.codepoints.lex.packets,
    kernelBytesRetrans,
    exclusions: status.exclusions,
    difference: kernelBytesRetrans - status.lexPayloadBytes - excluded,
    kernelDropped: 'devices' in status ? droppedBy(status.devices) : 0,
  };
}

function droppedBy(devices: Readonly<Record<string, DeviceReport>>): number {
  return Object.values(devices).reduce((sum, device) => sum + device.kernelDropped, 0);
}

function summarise(runs: readonly OracleRun[]): OracleResult {
  const sum = (value: (run: OracleRun) => number) => runs.reduce((total, one) => total + value(one), 0);
  const names = Object.keys(runs[0].exclusions);
  return {
    lexPayloadBytes: sum((run) => run.lexPayloadBytes),
    kernelBytesRetrans: sum((run) => run.kernelBytesRetrans),
    exclusions: Object.fromEntries(names.map((name) => [name, sum((run) => run.exclusions[name])])),
    difference: sum((run) => run.difference),
    transfers: sum((run) => run.transfers),
    bytes: sum((run) => run.bytes),
    quietLexPackets: sum((run) => (run.loss === 0 ? run.lexPackets : 0)),
    runs,
  };
}
