/** `preflex explain`: why the flowlets of a destination, or the packets of a flow, go where they go. */
import type { Command } from 'commander';
import { PreflexError } from '../errors.ts';
import type { FlowReport } from '../lex/flow-listing.ts';
import type {
  DestinationExplanation,
  ExplainedPacket,
  GatewayExplainAnswer,
} from '../runtime/control/gateway-explain.ts';
import type { HostExplainAnswer } from '../runtime/control/host-operations.ts';
import { parseTarget } from '../runtime/control/explain-target.ts';
import type { DaemonEvent } from '../runtime/events.ts';
import { describeEvent } from '../runtime/events.ts';
import type { CommonFlags } from './control-flags.ts';
import { askAll, chosenDaemons, namesOf, withCommonFlags } from './control-flags.ts';
import { flowText } from './flows.ts';
import { print, printJson, runCommand } from './output.ts';
import { formatBytes, formatPercent, formatSeconds, formatTable } from './table.ts';

/** What the gateway's reasons say, for those that a preview can meet. */
const REASON_WORDS: Readonly<Record<string, string>> = {
  outNoRouteUp: 'no route of the destination is up: the default route',
  outPathId: 'the route of its path ID',
  outUnknownPathId: 'no route there has this path ID: by the hash of the flow',
  outDownPathId: 'the route of its path ID is down: by the hash of the flow',
  outSuspendedPathId: 'the route of its path ID is suspended: by the hash of the flow, over the others',
  outFneDrawn: 'drawn by the flowlet ratios',
  outFneAssigned: 'assigned to the packet that it answers',
  outFneRepeated: 'sent before without an answer: a route that was not tried',
  outFneRepeatedDatagram: 'sent before without an answer: the same route',
  outFollowsFne: 'as its FNE packet, which is not answered yet',
  outUnassigned: 'no path assigned: by the hash of the flow',
  outNotLectHashed: 'unmarked: by the hash of the flow',
  outNotLectDefault: 'unmarked: the default route',
  inAssignedFne: 'drawn by the flowlet ratios',
  inAssignedAnswer: 'it answers an FNE packet, and gets the route of that',
  inAssignedAgain: 'asked before: the same route again',
  inReassigned: 'its path is suspended: the route that it takes meanwhile',
  inNoRouteUp: 'no route of the destination is up',
  inDestinationLimit: 'its prefix is over the limit of FNE packets',
  inTotalLimit: 'the gateway is over the limit of FNE packets',
};

/** Adds the command. */
export function addExplainCommand(program: Command): void {
  withCommonFlags(
    program
      .command('explain')
      .description('why this route: of a prefix or an address, or of a flow')
      .argument('<target...>', 'PREFIX, ADDRESS, or a flow: [tcp|udp] SRC[:PORT] DST[:PORT]'),
  ).action((target: string[], flags: CommonFlags) => runCommand(() => runExplain(target.join(' '), flags)));
}

async function runExplain(target: string, flags: CommonFlags): Promise<void> {
  const { kind } = parseTarget(target);
  const daemons = await chosenDaemons(flags);
  const asked = kind === 'flow' ? daemons : daemons.filter(({ role }) => role === 'gateway');
  if (asked.length === 0)
    throw new PreflexError(
      'ERR_SYSTEM',
      `Routes to prefixes are a gateway's, and ${namesOf(daemons)} is none.`,
    );
  const answers = await askAll<HostExplainAnswer | GatewayExplainAnswer>(asked, 'explain', () => ({
    target,
  }));
  if (flags.json) {
    printJson({ daemons: answers.map(({ daemon, answer }) => ({ ...daemon, ...answer })) });
    return;
  }
  for (const { daemon, answer } of answers) {
    print(`${daemon.name} (${daemon.role})`);
    for (const line of 'flows' in answer ? describeHostAnswer(answer) : describeGatewayAnswer(answer))
      print(line);
  }
}

/** A host's answer, a line each. */
export function describeHostAnswer({ changes, flows, matched, nowNs, target }: HostExplainAnswer): string[] {
  if (matched === 0) return [`  no flow ${target} is known here`];
  const more = matched > flows.length ? [`  and ${matched - flows.length} flows more`] : [];
  return [...flows.flatMap(describeFlow), ...more, ...describeChanges(changes, nowNs)];
}

function describeFlow(flow: FlowReport): string[] {
  const { history } = flow;
  const path = flow.pathId === 0 ? 'no path ID' : `path ID ${flow.pathId}`;
  const previous =
    flow.previousPathId === 0 ? '' : `, back to ${flow.previousPathId} if the next answer assigns none`;
  const rtt = flow.srttUs === 0 ? '' : `, RTT ${(flow.srttUs / 1000).toFixed(1)} ms`;
  const lines = [
    `  ${flowText(flow)}: ${path}${previous}`,
    `    ${flow.state}, silent for ${formatSeconds(flow.idleNs / 1e9)}, ${flow.timeouts} timeouts in a row${rtt}`,
  ];
  if (history === undefined) return lines;
  const { earlierPathId, lostAgoNs, lostBy, pinnedAgoNs, pinnedBy } = history;
  const changes = [
    pinnedAgoNs === undefined
      ? 'never pinned'
      : `pinned ${formatSeconds(pinnedAgoNs / 1e9)} ago (${pinnedBy})`,
    ...(lostAgoNs === undefined ? [] : [`unpinned ${formatSeconds(lostAgoNs / 1e9)} ago (${lostBy})`]),
    ...(earlierPathId === 0 ? [] : [`before the last change on path ${earlierPathId}`]),
  ];
  return [
    ...lines,
    `    ${changes.join(', ')}`,
    `    sent ${formatBytes(history.outBytes)} in ${history.outPackets} packets, ${formatBytes(history.lexBytes)} marked LEx`,
    `    last verdicts, the newest first: ${history.verdicts.join(', ') || 'none'}`,
  ];
}

/** A gateway's answer, a line each. */
export function describeGatewayAnswer(answer: GatewayExplainAnswer): string[] {
  const { defaultRoute, destination, packets } = answer;
  const lines =
    destination === undefined
      ? [`  no destination covers ${answer.target}: what goes there takes the default route, ${defaultRoute}`]
      : describeDestination(destination);
  if (packets !== undefined) return [...lines, '  its packets would now go', ...describePackets(packets)];
  const isFlow = answer.target.trim().includes(' ');
  return isFlow && destination !== undefined
    ? [...lines, '  with tcp or udp and both ports, what its packets would meet is told too']
    : lines;
}

function describeDestination(destination: DestinationExplanation): string[] {
  const { mix, balancer, turnover } = destination.ratios;
  const others = destination.prefixCount - 1;
  const share = others > 0 ? `, which shares its ratios with ${others} other prefixes` : '';
  const weights =
    mix === undefined
      ? 'ratios kept, since nothing was sent in the last interval'
      : `beta_E ${round(mix.betaE)}, beta_C ${round(mix.betaC)}, beta_L ${round(mix.betaL)}`;
  const turned = turnover === undefined ? '' : `, turnover ${round(turnover)}`;
  const seconds = destination.updateIntervalNs / 1e9;
  const table = formatTable([
    ['route', 'state', 'ratio', '= E', '+ C', '+ L', 'T_i', 'L_i', 'loss', 'flowlets', 'loss in all'],
    ...destination.routes.map(({ parts, ...route }) => [
      route.name,
      route.state,
      route.flowletRatio.toFixed(3),
      ...[parts?.equalPart, parts?.conservativePart, parts?.lossPart].map((part) => part?.toFixed(3) ?? '-'),
      formatBytes(route.bytes),
      formatBytes(parts?.lostBytes ?? route.lexBytes),
      formatPercent(route.bytes === 0 ? NaN : route.lossRatio),
      String(route.flowlets),
      formatPercent(route.total.bytes === 0 ? NaN : route.total.lossRatio),
    ]),
  ]);
  return [
    `  destination ${destination.prefix}${share}`,
    `  strategy ${balancer}: ${weights}${turned}; interval ${round(seconds)} s, figures of the last complete one`,
    ...table.split('\n').map((line) => `  ${line}`),
    ...describeDifference(destination),
    ...describeChanges(destination.changes, destination.nowNs),
  ];
}

/** Why parts and ratio differ, where they do. */
function describeDifference({ routes }: DestinationExplanation): string[] {
  const isOff = routes.some(({ flowletRatio, parts }) => {
    if (parts === undefined) return false;
    return Math.abs(parts.equalPart + parts.conservativePart + parts.lossPart - flowletRatio) > 0.0005;
  });
  if (!isOff) return [];
  return routes.some(({ state }) => state === 'suspended')
    ? [
        '  suspended routes get their probe share, beta_E / N; the others divide the rest in these proportions',
      ]
    : ['  ratio and parts differ: routes or strategy changed after the last interval ended'];
}

function describePackets(packets: readonly ExplainedPacket[]): string[] {
  const table = formatTable([
    ['packet', 'route', 'because'],
    ...packets.map(({ carries, codepoint, direction, reason, route }) => [
      direction === 'in'
        ? 'FNE from outside is assigned'
        : codepoint +
          (codepoint !== 'LECT' ? '' : carries === 0 ? ' without path ID' : ` on path ${carries}`),
      route ?? '-',
      REASON_WORDS[reason] ?? reason,
    ]),
  ]);
  return table.split('\n').map((line) => `    ${line}`);
}

function describeChanges(changes: readonly DaemonEvent[], nowNs: number): string[] {
  if (changes.length === 0) return ['  no changes since the start'];
  return [
    '  last changes',
    ...changes.map(
      (event) => `    ${formatSeconds((nowNs - event.timeNs) / 1e9)} ago: ${describeEvent(event)}`,
    ),
  ];
}

function round(value: number): string {
  return String(Number(value.toPrecision(3)));
}
