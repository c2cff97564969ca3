/** What a host agent exports. */
import type { LexCounters } from '../../lex/counters.ts';
import { EXCLUSION_NAMES } from '../../lex/counters.ts';
import { REASON_IN_UNKNOWN_FLOW, REASON_MULTICAST, REASON_NAMES } from '../../lex/reasons.ts';
import type { HostAgent } from '../../runtime/host-agent.ts';
import { oncePerTurn } from './exporter.ts';
import type { MetricFamily } from './family.ts';
import { single } from './family.ts';
import { deviceFamilies, loopFamilies, processFamilies } from './process-metrics.ts';

/** What of the agent is needed here. */
export interface MeasuredHost extends Pick<HostAgent, 'loopReport' | 'reportDevices'> {
  readonly lex: Pick<HostAgent['lex'], 'counters' | 'flows' | 'learntAddresses'>;
}

/** Values of the label `codepoint`, by number. */
const CODEPOINT_LABELS = ['not_lect', 'lect', 'lex', 'fne'];

/** All families of a host agent. */
export function hostFamilies(agent: MeasuredHost): MetricFamily[] {
  return [
    ...processFamilies(),
    ...loopFamilies(oncePerTurn(() => agent.loopReport)),
    ...deviceFamilies(oncePerTurn(() => agent.reportDevices())),
    ...packetFamilies(agent.lex.counters),
    ...pathFamilies(agent.lex.counters),
    ...flowFamilies(agent.lex),
  ];
}

function packetFamilies(counters: LexCounters): MetricFamily[] {
  return [
    {
      name: 'preflex_host_packets_total',
      help: 'Packets by direction and reason of the mark; every packet has one reason.',
      type: 'counter',
      labels: ['direction', 'reason'],
      read: (add) => {
        for (const [reason, name] of REASON_NAMES.entries()) {
          if (reason === 0) continue;
          const isInbound = reason >= REASON_IN_UNKNOWN_FLOW;
          if (!isInbound) add(counters.outPackets[reason], { direction: 'outbound', reason: name });
          // What does not parse is counted by the same reason in both directions.
          if (isInbound || isUnparsed(reason))
            add(counters.inPackets[reason], { direction: 'inbound', reason: name });
        }
      },
    },
    {
      name: 'preflex_host_sent_packets_total',
      help: 'Outbound packets by codepoint; a super-packet counts once.',
      type: 'counter',
      labels: ['codepoint'],
      read: (add) => {
        for (const [i, codepoint] of CODEPOINT_LABELS.entries())
          add(counters.codepointPackets[i], { codepoint });
      },
    },
    {
      name: 'preflex_host_sent_bytes_total',
      help: 'Outbound bytes by codepoint, IP headers included; those of a super-packet once.',
      type: 'counter',
      labels: ['codepoint'],
      read: (add) => {
        for (const [i, codepoint] of CODEPOINT_LABELS.entries())
          add(counters.codepointBytes[i], { codepoint });
      },
    },
    single(
      'counter',
      'preflex_host_lex_payload_bytes_total',
      "Payload bytes of packets marked LEx; with the excluded bytes the kernel's retransmitted bytes.",
      () => counters.lexPayloadBytes,
    ),
    {
      name: 'preflex_host_excluded_bytes_total',
      help: 'Payload bytes sent again without the LEx mark, by reason.',
      type: 'counter',
      labels: ['reason'],
      read: (add) => {
        for (const [i, reason] of EXCLUSION_NAMES.entries()) add(counters.excludedBytes[i], { reason });
      },
    },
    single(
      'counter',
      'preflex_host_impossible_acks_total',
      'Inbound acknowledgements of data never sent.',
      () => counters.impossibleAcks,
    ),
  ];
}

function pathFamilies(counters: LexCounters): MetricFamily[] {
  const byPath = (name: string, help: string, values: Float64Array): MetricFamily => ({
    name,
    help,
    type: 'counter',
    labels: ['path'],
    read: (add) => {
      for (const [path, value] of values.entries()) add(value, { path: String(path) });
    },
  });
  return [
    byPath(
      'preflex_host_path_packets_total',
      'Outbound marked packets by the path ID that they carry, 0 for none.',
      counters.pathPackets,
    ),
    byPath(
      'preflex_host_assignments_total',
      'Assignments of a path that were taken, by path ID.',
      counters.assignments,
    ),
    single(
      'counter',
      'preflex_host_unpinned_flows_total',
      'Flows that gave up their path after timeouts and asked for another.',
      () => counters.unpinned,
    ),
    single(
      'counter',
      'preflex_host_moved_flows_total',
      'Flows that the host moved to another path that it had learnt.',
      () => counters.moved,
    ),
    single(
      'counter',
      'preflex_host_kept_paths_total',
      'Flowlets that kept their earlier path, since the answer assigned none.',
      () => counters.keptPaths,
    ),
  ];
}

function flowFamilies(lex: MeasuredHost['lex']): MetricFamily[] {
  return [
    single('gauge', 'preflex_host_flows', 'Flows in the table.', () => lex.flows.size),
    single('gauge', 'preflex_host_flows_capacity', 'Flows there is room for.', () => lex.flows.capacity),
    single(
      'counter',
      'preflex_host_flows_evicted_total',
      'Flows that were forgotten since the table was full.',
      () => lex.flows.evicted,
    ),
    single(
      'counter',
      'preflex_host_flows_expired_total',
      'Flows that were forgotten since they were idle.',
      () => lex.flows.expired,
    ),
    single(
      'gauge',
      'preflex_host_learnt_addresses',
      'Remote addresses whose paths are remembered; 0 unless the host is host-driven.',
      () => lex.learntAddresses,
    ),
  ];
}

/** Whether a reason is a parse code, which packets of both directions can have. */
function isUnparsed(reason: number): boolean {
  return reason < REASON_MULTICAST;
}
