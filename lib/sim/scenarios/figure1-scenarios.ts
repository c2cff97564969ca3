/** The experiments in Figure 1's network by name: what the simulator runs, and the laboratory too. */
import { fig3Equal, fig3Loss } from './fig3.ts';
import { fig4, fig4Fast } from './fig4.ts';
import { heterogeneous } from './heterogeneous.ts';
import { quick } from './quick.ts';
import { scaleTime, scenarioError } from './scenario.ts';
import type { Figure1Scenario, Mode } from './scenario.ts';

/** All of them, the short ones first. */
export const FIGURE1_SCENARIOS: readonly Figure1Scenario[] = [
  quick,
  fig4Fast,
  heterogeneous,
  fig3Equal,
  fig3Loss,
  fig4,
];

/** What can be changed about a scenario without writing another. */
export interface Figure1Changes {
  readonly mode?: Mode | undefined;
  /** Seconds of traffic; every other time is scaled with it. */
  readonly seconds?: number | undefined;
  readonly intervalSeconds?: number | undefined;
}

/** A scenario by its name. @throws PreflexError ERR_INVALID_OPTION that lists the names */
export function findFigure1Scenario(name: string, changes: Figure1Changes = {}): Figure1Scenario {
  const found = FIGURE1_SCENARIOS.find((scenario) => scenario.name === name);
  if (found === undefined) {
    const names = FIGURE1_SCENARIOS.map((scenario) => scenario.name).join(', ');
    throw scenarioError(`scenario: "${name}" is not known; there are ${names}`);
  }
  const scaled = changes.seconds === undefined ? found : scaleTime(found, changes.seconds / found.seconds);
  return {
    ...scaled,
    mode: changes.mode ?? scaled.mode,
    intervalSeconds: changes.intervalSeconds ?? scaled.intervalSeconds,
  };
}
