/** The experiments by name. */
import { fig3Equal, fig3Loss } from '../../lib/sim/scenarios/fig3.ts';
import { fig4, fig4Fast } from '../../lib/sim/scenarios/fig4.ts';
import { heterogeneous } from '../../lib/sim/scenarios/heterogeneous.ts';
import { quick } from '../../lib/sim/scenarios/quick.ts';
import { recovery, recoveryBoth } from './recovery.ts';
import type { DefinedScenario, Mode, Scenario } from './scenario.ts';
import { requireMode, scaleTime, scenarioError } from './scenario.ts';

/** All of them, the short ones first. */
export const SCENARIOS: readonly DefinedScenario[] = [
  quick,
  fig4Fast,
  recovery,
  recoveryBoth,
  heterogeneous,
  fig3Equal,
  fig3Loss,
  fig4,
];

/** What can be changed about a scenario without writing another. */
export interface ScenarioChanges {
  readonly mode?: Mode | undefined;
  /** Seconds of traffic; every other time is scaled with it. */
  readonly seconds?: number | undefined;
  readonly intervalSeconds?: number | undefined;
  readonly hostArgs?: readonly string[] | undefined;
}

/** A scenario by its name. @throws PreflexError ERR_INVALID_OPTION that lists the names, or for a mode it cannot have */
export function findScenario(name: string, changes: ScenarioChanges = {}): Scenario {
  const found = SCENARIOS.find((scenario) => scenario.name === name);
  if (found === undefined) {
    throw scenarioError(
      `scenario: "${name}" is not known; there are ${SCENARIOS.map((scenario) => scenario.name).join(', ')}`,
    );
  }
  const scaled = changes.seconds === undefined ? found : scaleTime(found, changes.seconds / found.seconds);
  return requireMode({
    ...scaled,
    mode: changes.mode ?? scaled.mode,
    intervalSeconds: changes.intervalSeconds ?? scaled.intervalSeconds,
    hostArgs: [...(scaled.hostArgs ?? []), ...(changes.hostArgs ?? [])],
  });
}
