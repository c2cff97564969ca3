/**
 * What `preflex top` shows, as lines: a pure function of two samples and the size of the terminal.
 *
 *      title         which daemon of how many, and since when it is gone, if it is
 *      summary       strategy and FNE rate, or packets by codepoint
 *      table         routes with bars of their flowlet ratios, or flows
 *      events        the last ones, as many as fit
 *      keys
 */
import type { FlowSort } from '../lex/flow-listing.ts';
import type { EgressStatus } from '../pref/gateway-status.ts';
import type { FoundDaemon } from '../runtime/control/client.ts';
import type { GatewayStatusAnswer } from '../runtime/control/gateway-operations.ts';
import type { HostFlowsAnswer, HostStatusAnswer } from '../runtime/control/host-operations.ts';
import type { DaemonEvent } from '../runtime/events.ts';
import { describeEvent, eventLevel } from '../runtime/events.ts';
import { flowText } from './flows.ts';
import { formatBytes, formatCount, formatPercent, formatRate, formatSeconds, formatTable } from './table.ts';

/** What one daemon said at one time. */
export interface TopSample {
  readonly daemon: FoundDaemon;
  /** Monotonic, seconds. */
  readonly atSeconds: number;
  readonly gateway?: GatewayStatusAnswer | undefined;
  readonly host?: { readonly status: HostStatusAnswer; readonly flows: HostFlowsAnswer } | undefined;
  /** Oldest first. */
  readonly events: readonly DaemonEvent[];
}

/** What is to be shown. */
export interface TopState {
  readonly columns: number;
  readonly rows: number;
  /** Position of the daemon among all that answer, from 1, 0 when it does not; and how many there are. */
  readonly position: number;
  readonly count: number;
  readonly sample: TopSample;
  /** The sample before, of the same daemon: rates are differences. */
  readonly before?: TopSample | undefined;
  /** Which destination's ratios are shown; larger numbers begin again. */
  readonly destination: number;
  /** The order that the flows came in. */
  readonly sort: FlowSort;
  /** Routes by rate; else in the order of the configuration. */
  readonly isBusiestFirst: boolean;
  /** For how long the daemon has not answered, seconds. */
  readonly goneSeconds?: number | undefined;
}

/** A line and how it looks. */
export interface TopLine {
  readonly text: string;
  readonly style: 'plain' | 'title' | 'heading' | 'warning' | 'faint';
}

/** Events that are kept in view at least, where the terminal has room for anything. */
const LEAST_EVENTS = 3;
const BAR_WIDTH = 20;
const FNE_REASONS = [
  'outFneDrawn',
  'outFneAssigned',
  'outFneRepeated',
  'outFneRepeatedDatagram',
  'outFneNoPorts',
  'inAssignedFne',
  'inAssignedSyn',
  'inAssignedAgain',
];
const LIMIT_REASONS = ['inDestinationLimit', 'inTotalLimit'];

/** The lines of the screen: as many as it has rows, none longer than its columns. */
export function renderTop(state: TopState): TopLine[] {
  const { columns, rows, sample } = state;
  const top = [
    line(titleOf(state), 'title'),
    ...(state.goneSeconds === undefined
      ? []
      : [line(`gone for ${formatSeconds(state.goneSeconds)}; waiting for it to come back`, 'warning')]),
    ...(sample.gateway === undefined ? hostHead(state) : gatewayHead(state, sample.gateway)),
  ];
  const table = sample.gateway === undefined ? flowLines(state) : routeLines(state, sample.gateway);
  const room = Math.max(0, rows - top.length - 1);
  const events = sample.events.map((event) =>
    line(
      `${event.time.slice(11, 19)} ${describeEvent(event)}`,
      eventLevel(event) === 'warning' ? 'warning' : 'plain',
    ),
  );
  const eventRoom = Math.min(events.length, Math.max(LEAST_EVENTS, room - table.length - 1));
  const shown = table.slice(0, Math.max(0, room - (eventRoom === 0 ? 0 : eventRoom + 1)));
  const body = [...top, ...shown];
  if (eventRoom > 0) body.push(line('EVENTS', 'heading'), ...events.slice(-eventRoom).reverse());
  const lines = body.slice(0, rows - 1);
  while (lines.length < rows - 1) lines.push(line(''));
  lines.push(line(keysOf(state), 'faint'));
  return lines.slice(0, rows).map(({ text, style }) => ({ text: fit(text, columns), style }));
}

function titleOf({ count, position, sample: { daemon } }: TopState): string {
  const place = count > 1 && position > 0 ? `, ${position} of ${count}` : '';
  return `preflex top: ${daemon.name} (${daemon.role}, pid ${daemon.pid}${place})`;
}

function keysOf({ count, sample }: TopState): string {
  const daemons = count > 1 ? ['tab or left/right: daemon'] : [];
  const own = sample.gateway === undefined ? 's: sort' : 'up/down: destination  s: sort';
  return ['q: quit', ...daemons, own].join('  ');
}

function gatewayHead({ before, sample }: TopState, answer: GatewayStatusAnswer): TopLine[] {
  const { betas, status, strategy } = answer;
  const perSecond = rater(sample, before);
  const sumOf = (of: TopSample | undefined, reasons: readonly string[]): number =>
    reasons.reduce((sum, reason) => sum + (of?.gateway?.status.reasons[reason] ?? 0), 0);
  const rateOf = (reasons: readonly string[]): string =>
    perSecond(sumOf(sample, reasons), sumOf(before, reasons));
  const seconds = Number((status.updateIntervalNs / 1e9).toPrecision(3));
  return [
    line(
      `strategy ${strategy} ${betas.equal}/${betas.conservative}/${betas.loss}, interval ${seconds} s, ` +
        `${formatCount(status.intervals)} complete, ${formatCount(status.destinationCount)} destinations`,
    ),
    line(
      `FNE ${rateOf([...FNE_REASONS, ...LIMIT_REASONS])}/s, over the limit ${rateOf(LIMIT_REASONS)}/s, ` +
        `suspended ${status.suspendedRoutes}, path IDs cleared ${formatCount(status.pathIdsCleared)}`,
    ),
  ];
}

function routeLines(state: TopState, { drained, status }: GatewayStatusAnswer): TopLine[] {
  const { before, destination, isBusiestFirst, sample } = state;
  const { destinations, routes } = status;
  const shown = destinations.length === 0 ? undefined : destinations[destination % destinations.length];
  const bytesOf = (route: EgressStatus): number => route.total.bytes + route.notLectBytes;
  const elapsed = before === undefined ? NaN : sample.atSeconds - before.atSeconds;
  const rates = routes.map((route) => {
    const earlier = before?.gateway?.status.routes.find(({ pathId }) => pathId === route.pathId);
    return { route, rate: earlier === undefined ? NaN : ((bytesOf(route) - bytesOf(earlier)) * 8) / elapsed };
  });
  if (isBusiestFirst) rates.sort((a, b) => (b.rate || 0) - (a.rate || 0));
  const rows = rates.map(({ rate, route }) => {
    const own = shown?.routes.find(({ pathId }) => pathId === route.pathId);
    const isDrained = drained.includes(route.name);
    const isSuspended = own?.suspended === true;
    const name = isDrained ? 'drained' : !route.up ? 'down' : isSuspended ? 'suspended' : 'up';
    return [
      route.name,
      name,
      Number.isFinite(rate) ? formatRate(rate) : '–',
      formatPercent(route.bytes === 0 ? NaN : route.lossRatio),
      own === undefined ? '–' : own.flowletRatio.toFixed(3),
      own === undefined ? '' : bar(own.flowletRatio),
    ];
  });
  const [heading, ...table] = formatTable([['ROUTE', 'STATE', 'RATE', 'LOSS', 'RATIO', ''], ...rows]).split(
    '\n',
  );
  const many =
    destinations.length > 1 ? ` (${(destination % destinations.length) + 1} of ${destinations.length})` : '';
  return [
    line(heading, 'heading'),
    ...table.map((text, i) => line(text, rows[i][1] === 'up' ? 'plain' : 'warning')),
    line(shown === undefined ? 'no destination' : `ratios of ${shown.prefixes[0] ?? '?'}${many}`, 'faint'),
  ];
}

function hostHead({ before, sample }: TopState): TopLine[] {
  const perSecond = rater(sample, before);
  const now = sample.host?.status.status;
  const earlier = before?.host?.status.status;
  if (now === undefined) return [];
  const rateOf = (codepoint: 'lect' | 'lex' | 'fne' | 'notLect'): string =>
    perSecond(now.codepoints[codepoint].packets, earlier?.codepoints[codepoint].packets ?? NaN);
  return [
    line(
      `flows ${formatCount(now.flows.size)}; packets/s: LECT ${rateOf('lect')}, LEx ${rateOf('lex')}, ` +
        `FNE ${rateOf('fne')}, Not-LECT ${rateOf('notLect')}; unpinned ${formatCount(now.unpinned)}`,
    ),
  ];
}

function flowLines({ sample, sort }: TopState): TopLine[] {
  const flows = sample.host?.flows.flows ?? [];
  const [heading, ...rows] = formatTable([
    ['PATH', 'SENT', 'LEx', 'SILENT', 'STATE', 'FLOW'],
    ...flows.map((flow) => [
      flow.pathId === 0 ? '-' : String(flow.pathId),
      formatBytes(flow.history?.outBytes ?? NaN),
      formatBytes(flow.history?.lexBytes ?? NaN),
      formatSeconds(flow.idleNs / 1e9),
      flow.state,
      flowText(flow),
    ]),
  ]).split('\n');
  return [line(`${heading} (by ${sort})`, 'heading'), ...rows.map((text) => line(text))];
}

/** Rates of counters between two samples; a dash where there was none before, or the daemon began anew. */
function rater(sample: TopSample, before: TopSample | undefined): (now: number, earlier: number) => string {
  const elapsed = before === undefined ? NaN : sample.atSeconds - before.atSeconds;
  return (now, earlier) => {
    const rate = (now - earlier) / elapsed;
    return rate >= 0 && elapsed > 0 ? (rate < 10 ? rate.toFixed(1) : formatCount(rate)) : '–';
  };
}

function bar(ratio: number): string {
  const full = Math.round(ratio * BAR_WIDTH);
  return '#'.repeat(full) + '.'.repeat(BAR_WIDTH - full);
}

function line(text: string, style: TopLine['style'] = 'plain'): TopLine {
  return { text, style };
}

/** Cuts a line to the width, without characters that would move the cursor. */
function fit(text: string, columns: number): string {
  const clean = text.replaceAll(/\p{Cc}/gu, ' ');
  return clean.length <= columns ? clean : `${clean.slice(0, Math.max(0, columns - 1))}>`;
}
