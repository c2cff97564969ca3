/** The oracle's result as text. */
import { formatCount, formatPercent, formatTable } from '../../lib/cli/table.ts';
import type { OracleResult } from '../runs/oracle.ts';

/** A table of the groups, and the sums. */
export function reportOracle(result: OracleResult): string {
  const names = Object.keys(result.exclusions);
  const rows = result.runs.map((run) => [
    formatPercent(run.loss, 1),
    run.offload ? 'on' : 'off',
    `IPv${run.version}`,
    formatCount(run.transfers),
    formatCount(run.bytes),
    formatCount(run.kernelBytesRetrans),
    formatCount(run.lexPayloadBytes),
    ...names.map((name) => formatCount(run.exclusions[name])),
    formatCount(run.difference),
  ]);
  const heading = [
    'loss',
    'offload',
    'IP',
    'transfers',
    'bytes',
    'kernel retrans',
    'LEx',
    ...names,
    'difference',
  ];
  return [
    formatTable([heading, ...rows]),
    '',
    `${formatCount(result.transfers)} transfers, ${formatCount(result.bytes)} bytes: the kernel sent ` +
      `${formatCount(result.kernelBytesRetrans)} bytes again, ${formatCount(result.lexPayloadBytes)} were marked LEx, ` +
      `difference after exclusions ${formatCount(result.difference)}.`,
    `Packets marked LEx on the path without loss: ${formatCount(result.quietLexPackets)}.`,
  ].join('\n');
}
