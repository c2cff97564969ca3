/** The run `bird` as text. */
import { formatBytes, formatTable } from '../../lib/cli/table.ts';
import { BIRD } from '../topologies/bird.ts';
import type { BirdResult } from '../runs/bird.ts';
import { birdProblems } from '../runs/bird.ts';

/** A table with a row for each phase, and what was wrong. */
export function reportBird(result: BirdResult): string {
  const header = BIRD.networks.flatMap(({ name }) =>
    BIRD.neighbours.map(({ route }) => `${name} over ${route}`),
  );
  const problems = birdProblems(result);
  return [
    `${result.connections} connections through two BGP neighbours, datapath ${String(result.meta['datapath'])}; ` +
      'bytes once the routes of the phase were there',
    '',
    formatTable([
      ['phase', ...header, 'routes after', 'longest gap', 'broken'],
      ...result.phases.map(({ what, networks, settleSeconds, longestGapSeconds, brokenConnections }) => [
        what,
        ...networks.flatMap(({ bytes }) =>
          BIRD.neighbours.map(({ route }) => formatBytes(bytes[route] ?? 0)),
        ),
        `${settleSeconds.toFixed(2)} s`,
        `${longestGapSeconds.toFixed(2)} s`,
        String(brokenConnections),
      ]),
    ]),
    '',
    ...(problems.length === 0
      ? ['Traffic went where the announcements led, and every connection lives.']
      : problems),
  ].join('\n');
}
