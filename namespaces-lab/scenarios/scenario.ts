/** What an experiment of the laboratory is: those of the simulator, and those between two PREFLEX domains. */
import type { CommonScenario, Figure1Scenario } from '../../lib/sim/scenarios/scenario.ts';

export {
  BETAS,
  failureOf,
  MODES,
  PAPER_RATES,
  scaleTime,
  scenarioError,
} from '../../lib/sim/scenarios/scenario.ts';
export type { Betas, Figure1Scenario, Mode } from '../../lib/sim/scenarios/scenario.ts';

/** An experiment between two PREFLEX domains: connections that run throughout, and new ones all the time. */
export interface DomainsScenario extends CommonScenario {
  readonly topology: 'domains';
  readonly running: { readonly connections: number; readonly bytesPerSec: number };
  readonly arriving: { readonly perSecond: number; readonly bytes: number };
}

/** An experiment. */
export type Scenario = Figure1Scenario | DomainsScenario;
