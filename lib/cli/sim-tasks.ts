/** What a worker of `preflex sim` can run: one simulation each, data in and data out. */
import { runBulkFlows } from '../sim/scenarios/bulk-flows.ts';
import type { BulkFlowsOptions, BulkFlowsRecord } from '../sim/scenarios/bulk-flows.ts';
import { runCongestion } from '../sim/scenarios/congestion-run.ts';
import type { CongestionOptions, CongestionRecord } from '../sim/scenarios/congestion-run.ts';
import { runFigure1 } from '../sim/scenarios/figure1-run.ts';
import type { Figure1Record } from '../sim/scenarios/figure1-run.ts';
import { runManyRoutes } from '../sim/scenarios/many-routes.ts';
import type { ManyRoutesOptions, ManyRoutesRecord } from '../sim/scenarios/many-routes.ts';
import { runRecovery } from '../sim/scenarios/recovery-run.ts';
import type { RecoveryOptions, RecoveryRecord } from '../sim/scenarios/recovery-run.ts';
import type { Betas } from '../pref/balancers/strategies.ts';
import type { Figure1Scenario } from '../sim/scenarios/scenario.ts';

/** The kinds of simulations: what they take and what they give. */
export interface SimKinds {
  readonly figure1: {
    readonly options: { readonly scenario: Figure1Scenario; readonly seed: number; readonly betas: Betas };
    readonly record: Figure1Record;
  };
  readonly routes: { readonly options: ManyRoutesOptions; readonly record: ManyRoutesRecord };
  readonly congestion: { readonly options: CongestionOptions; readonly record: CongestionRecord };
  readonly recovery: { readonly options: RecoveryOptions; readonly record: RecoveryRecord };
  readonly bulk: { readonly options: BulkFlowsOptions; readonly record: BulkFlowsRecord };
}

/** A simulation to run. */
export interface SimTask<K extends keyof SimKinds = keyof SimKinds> {
  readonly kind: K;
  readonly options: SimKinds[K]['options'];
}

/**
 * Runs a simulation.
 *
 * @param onShare - told how much of it is done, 0..1
 */
export function runTask(task: SimTask, onShare: (share: number) => void): SimKinds[keyof SimKinds]['record'] {
  switch (task.kind) {
    case 'figure1': {
      const { scenario, seed, betas } = (task as SimTask<'figure1'>).options;
      return runFigure1(scenario, {
        seed,
        betas,
        onInterval: ({ t }) => {
          onShare(t / scenario.seconds);
        },
      });
    }
    case 'routes':
      return runManyRoutes((task as SimTask<'routes'>).options);
    case 'congestion':
      return runCongestion((task as SimTask<'congestion'>).options, onShare);
    case 'recovery':
      return runRecovery((task as SimTask<'recovery'>).options);
    case 'bulk':
      return runBulkFlows((task as SimTask<'bulk'>).options);
  }
}
