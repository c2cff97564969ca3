/** The result of the run `gateways` as text. */
import { formatCount, formatTable } from '../../lib/cli/table.ts';
import type { GatewaysPhase, GatewaysResult } from '../runs/gateways.ts';
import { haveAgreed } from '../runs/gateways.ts';
import { GATEWAYS } from '../topologies/gateways.ts';

const ratiosOf = (ratios: readonly number[]): string => ratios.map((ratio) => ratio.toFixed(3)).join(' ');
const differenceOf = (difference: number | null): string => difference?.toFixed(4) ?? '–';

/** Tables for a person. */
export function reportGateways(result: GatewaysResult): string {
  const { flows, gateways, meta, phases, samples } = result;
  const { completed, failed, started } = flows as Record<'completed' | 'failed' | 'started', number>;
  const rows = (phase: GatewaysPhase): string[] => [
    phase.name,
    `${phase.from.toFixed(0)}-${phase.to.toFixed(0)} s`,
    ratiosOf(phase.ga),
    ratiosOf(phase.gb),
    `${phase.agreeing} of ${phase.samples}`,
    differenceOf(phase.medianDifference),
    differenceOf(phase.maxDifference),
  ];
  const routes = GATEWAYS.routes.join(' ');
  return [
    `Flowlet ratios of both gateways, once a second (${routes}); datapath ${String(meta['datapath'])}`,
    formatTable([
      ['t', 'phase', 'ga', 'gb', 'largest difference', 'ga hears', 'gb hears'],
      ...samples.map(({ t, phase, ga, gb, difference }) => [
        t.toFixed(1),
        phase,
        ratiosOf(ga.ratios),
        ratiosOf(gb.ratios),
        differenceOf(difference),
        ga.peers > 0 ? 'gb' : ga.isConnected ? 'nobody' : 'no server',
        gb.peers > 0 ? 'ga' : gb.isConnected ? 'nobody' : 'no server',
      ]),
    ]),
    '',
    'The parts of the run, without their first two intervals: mean ratios, samples in which both were the same',
    formatTable([
      ['part', 'time', `ga ${routes}`, `gb ${routes}`, 'the same', 'median difference', 'largest'],
      ...phases.map(rows),
    ]),
    '',
    ...Object.entries(gateways).map(([name, { share }]) => {
      const { connection, messages } = share!;
      return (
        `${name}: ${connection.connections} connections, ${formatCount(messages.out)} messages out, ` +
        `${formatCount(messages.in)} in, ${formatCount(messages.bad)} bad, ${formatCount(connection.replaced)} replaced`
      );
    }),
    `Transfers: ${formatCount(started)} started, ${formatCount(completed)} completed, ${formatCount(failed)} failed`,
    haveAgreed(phases)
      ? 'Together both had the same ratios.'
      : 'INVALID: the gateways heard each other and had different ratios.',
  ].join('\n');
}
