/**
 * The figures of an experiment, answering the paper's Figures 2, 3 and 4. Pure.
 */
import type { ExperimentResult } from '../runs/experiment.ts';
import { runningAt } from '../runs/summary.ts';
import { failureOf } from '../scenarios/scenario.ts';
import { wantedFlows } from '../traffic/schedule.ts';
import type { Figure, Panel, Series } from './chart.ts';
import { renderFigure } from './chart.ts';

/** What the figures are drawn from. */
export type FigureSource = Pick<
  ExperimentResult,
  'meta' | 'scenario' | 'betas' | 'intervals' | 'transfers' | 'classes'
>;

/** A file to write. */
export interface FigureFile {
  readonly name: string;
  readonly svg: string;
}

const X_LABEL = 'seconds since the start of the traffic';
/** Points of the measured curves in Figure 2. */
const FLOW_SAMPLES = 300;

/** All figures of a run; a baseline has no Figure 4. */
export function figureFiles(source: FigureSource): FigureFile[] {
  return [{ name: 'figure2.svg', svg: renderFigure(flowsFigure(source)) }, ...comparisonFiles([source])];
}

/** Figures 3 and 4 of several runs, a panel a run; baselines have none in Figure 4. */
export function comparisonFiles(sources: readonly FigureSource[]): FigureFile[] {
  const balanced = sources.filter(({ betas }) => betas !== null);
  return [
    { name: 'figure3.svg', svg: renderFigure(lossFigure(sources)) },
    ...(balanced.length === 0 ? [] : [{ name: 'figure4.svg', svg: renderFigure(ratioFigure(balanced)) }]),
  ];
}

/** Figure 2: concurrent transfers between ingress and egress domains, as wanted and as they were. */
export function flowsFigure(source: FigureSource): Figure {
  const xMax = source.scenario.seconds;
  const panelOf = (title: string, egress: string): Panel => {
    const classes = source.classes.filter(({ name }) => name.endsWith(egress));
    return {
      title,
      yUnit: 'count',
      bands: bandsOf(source),
      series: classes.flatMap(({ name, concurrent }, i): Series[] => {
        const times = Array.from({ length: FLOW_SAMPLES + 1 }, (_, k) => (k * xMax) / FLOW_SAMPLES);
        const measured: Series = {
          label: name,
          color: i,
          isStep: true,
          isFaint: concurrent !== undefined,
          points: times.map((at) => [at, runningAt(source.transfers, name, at)]),
        };
        if (concurrent === undefined) return [{ ...measured, isFaint: false }];
        const wanted = concurrent.map(({ fromSeconds, flows }) => [fromSeconds, flows] as const);
        return [
          measured,
          {
            label: label(name),
            color: i,
            dash: i === 0 ? 'solid' : i === 1 ? 'dashed' : 'dotted',
            isStep: true,
            points: [...wanted, [xMax, wantedFlows(concurrent, xMax)]],
          },
        ];
      }),
    };
  };
  const panels =
    source.scenario.topology === 'figure1'
      ? [panelOf('flows to E1', '>e1'), panelOf('flows to E2', '>e2')]
      : [panelOf('connections', '')];
  return {
    title: 'Concurrent flows between ingress and egress domains',
    subtitle: `${describe(source)}; thick: wanted, thin: running`,
    xLabel: X_LABEL,
    xMax,
    panels,
  };
}

/** Figure 3: loss ratio of each route toward the first destination; one panel a run. */
export function lossFigure(sources: readonly FigureSource[]): Figure {
  const panels = sources.map((source): Panel => {
    const names = routeNames(source);
    return {
      title: describe(source),
      yUnit: 'percent',
      bands: bandsOf(source),
      series: names.flatMap((name, i): Series[] => [
        {
          label: `${name} link`,
          color: i,
          isFaint: true,
          points: source.intervals.map((interval) => [
            interval.t,
            interval.routes.find((route) => route.name === name)?.trueDropRatio ?? 0,
          ]),
        },
        {
          label: name.toUpperCase(),
          color: i,
          dash: dashOf(i),
          // Nothing is exposed in a baseline; the line stands in the legend alone.
          points:
            source.betas === null
              ? []
              : source.intervals.map((interval) => [
                  interval.t,
                  destinationRoute(interval, name)?.lossRatio ?? 0,
                ]),
        },
      ]),
    };
  });
  const isExposed = sources.some(({ betas }) => betas !== null);
  return {
    title: isExposed
      ? `Loss ratio p_i of the routes toward ${destinationName(sources)}`
      : 'Losses of the routes, without PREFLEX',
    subtitle: `${isExposed ? 'thick: exposed by the hosts (LEx), ' : ''}thin: dropped by the link of what P sent`,
    xLabel: X_LABEL,
    xMax: Math.max(...sources.map((source) => source.scenario.seconds)),
    // One scale for all panels, and one that a dead link does not stretch: its line leaves the panel.
    panels: panels.map((panel) => ({ ...panel, yMax: niceMax(Math.max(...sources.map(largestLoss))) })),
  };
}

/** The largest loss ratio of a route in an interval that no failure touches. */
function largestLoss({ intervals, scenario }: FigureSource): number {
  const failure = failureOf(scenario);
  const margin = 3 * scenario.intervalSeconds;
  const ratios = intervals
    .filter(({ t }) => failure === undefined || t <= failure.from || t > failure.to + margin)
    .flatMap((interval) =>
      interval.routes.flatMap(({ name, trueDropRatio }) => [
        trueDropRatio ?? 0,
        destinationRoute(interval, name)?.lossRatio ?? 0,
      ]),
    );
  return Math.max(0, ...ratios);
}

/** Figure 4: flowlet ratios toward the first destination; one panel a run. */
export function ratioFigure(sources: readonly FigureSource[]): Figure {
  return {
    title: `Flowlet ratio of the routes toward ${destinationName(sources)}`,
    subtitle: 'share of new flowlets that each route is given',
    xLabel: X_LABEL,
    xMax: Math.max(...sources.map((source) => source.scenario.seconds)),
    panels: sources.map((source): Panel => {
      const names = routeNames(source);
      return {
        title: describe(source),
        yUnit: 'ratio',
        yMax: 1,
        bands: bandsOf(source),
        guides: source.betas === null ? [] : [{ y: source.betas.equal / names.length, label: 'beta_E / N' }],
        series: names.map((name, i) => ({
          label: name.toUpperCase(),
          color: i,
          dash: dashOf(i),
          isStep: true,
          points: source.intervals.map((interval) => [
            interval.t,
            destinationRoute(interval, name)?.flowletRatio ?? 0,
          ]),
        })),
      };
    }),
  };
}

function destinationRoute(interval: FigureSource['intervals'][number], name: string) {
  const routes = interval.destinations?.[0]?.routes ?? interval.routes;
  return routes.find((route) => route.name === name);
}

function routeNames(source: FigureSource): string[] {
  return source.intervals[0]?.routes.map((route) => route.name) ?? ['l1', 'l2', 'l3'];
}

/** The first destination's, by the first run that tells destinations apart. */
function destinationName(sources: readonly FigureSource[]): string {
  const names = sources.flatMap(({ intervals }) => intervals[0]?.destinations?.[0]?.name ?? []);
  return (names[0] ?? 'e1').toUpperCase();
}

function bandsOf(source: FigureSource): { from: number; to: number; label: string }[] {
  const failure = failureOf(source.scenario);
  return failure === undefined ? [] : [{ from: failure.from, to: failure.to, label: `${failure.link} down` }];
}

function describe({ scenario, betas, meta }: FigureSource): string {
  const weights =
    betas === null
      ? 'without PREFLEX'
      : scenario.mode === 'equal'
        ? 'beta_E 1'
        : scenario.mode === 'self-tuning'
          ? 'weights of its own'
          : `beta_E ${betas.equal}, beta_C ${betas.conservative}, beta_L ${betas.loss}`;
  return `${scenario.name}, mode ${scenario.mode} (${weights}), interval ${scenario.intervalSeconds} s, seed ${String(meta['seed'])}`;
}

function label(name: string): string {
  return name.toUpperCase().replace('>', ' to ');
}

function dashOf(i: number): 'solid' | 'dashed' | 'dotted' {
  return i === 0 ? 'solid' : i === 1 ? 'dashed' : 'dotted';
}

/** The least of 1, 1.5, 2, 3, 5 times a power of ten that is not smaller. */
function niceMax(value: number): number {
  if (!(value > 0)) return 1;
  const power = 10 ** Math.floor(Math.log10(value));
  return ([1, 2, 5, 10].find((step) => step * power >= value * 0.999) ?? 10) * power;
}
