/** The result of the run `two-path` as text. */
import { formatBytes, formatCount, formatPercent, formatRate, formatTable } from '../../lib/cli/table.ts';
import type { Iperf3Result } from '../traffic/iperf3.ts';
import type { LabResult } from '../result.ts';

/** Tables for a person. */
export function reportTwoPath(result: LabResult): string {
  const { host, gateway } = result;
  const flows = result.flows as { started: number; upload: Iperf3Result; download: Iperf3Result };
  const links = result['links'] as Record<string, { dropRatio: number }>;
  const deviceBytes = result['deviceBytes'] as Record<string, number>;
  const { notLect, lect, lex, fne } = host.codepoints;
  const total = (counts: Record<string, number>) =>
    Object.values(counts).reduce((sum, count) => sum + count, 0);
  const pathsOf = (counts: Record<string, number>) =>
    Object.entries(counts)
      .filter(([pathId]) => pathId !== '0')
      .map(([pathId, count]) => `path ${pathId}: ${formatCount(count)}`)
      .join(', ');
  const ratios = new Map(gateway.destinations[0]?.routes.map((route) => [route.name, route.flowletRatio]));
  return [
    `Traffic: ${flows.started} flows, host to far ${formatRate(flows.upload.bitsPerSec)}, ` +
      `far to host ${formatRate(flows.download.bitsPerSec)}; datapath ${String(result.meta['datapath'])}`,
    '',
    `Packets of the host by codepoint (super-packets count ${'datapath' in host ? 'as what they become' : 'once'})`,
    formatTable([
      ['', 'packets', 'bytes'],
      ['LECT', formatCount(lect.packets), formatBytes(lect.bytes)],
      ['LEx', formatCount(lex.packets), formatBytes(lex.bytes)],
      ['FNE', formatCount(fne.packets), formatBytes(fne.bytes)],
      ['Not-LECT', formatCount(notLect.packets), formatBytes(notLect.bytes)],
    ]),
    '',
    `Path IDs assigned: ${formatCount(total(host.assignments))} (${pathsOf(host.assignments)})`,
    `Path IDs honoured: ${formatCount(gateway.reasons['outPathId'])} packets left by the route they named; ` +
      `sent by the host ${pathsOf(host.pathPackets)}`,
    '',
    'Routes of gateway P',
    formatTable([
      [
        'route',
        'flowlets',
        'bytes T_i',
        'LEx bytes L_i',
        'loss ratio',
        'link dropped',
        'flowlet ratio',
        'device bytes',
      ],
      ...gateway.routes.map((route) => [
        `${route.name} (path ${route.pathId})`,
        formatCount(route.total.flowlets),
        formatBytes(route.total.bytes),
        formatBytes(route.total.lexBytes),
        formatPercent(route.total.lossRatio),
        formatPercent(links[route.name].dropRatio),
        (ratios.get(route.name) ?? 0).toFixed(3),
        formatBytes(deviceBytes[route.name]),
      ]),
    ]),
  ].join('\n');
}
