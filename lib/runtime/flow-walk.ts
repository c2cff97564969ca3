/**
 * Lists the flows of a running host agent: the walk over its table in steps, with the packets of the loop in between.
 * One walk at a time, so that many who ask cost no more than one.
 */
import { setImmediate as nextTurn } from 'node:timers/promises';
import type { FlowQuery, FlowReport } from '../lex/flow-listing.ts';
import type { LexHost } from '../lex/lex-host.ts';
import { nowNs } from '../sys/clock.ts';

/** Places of the table that one step looks at. */
const PLACES_A_STEP = 4096;
/** Flows that one step puts into words. */
const REPORTS_A_STEP = 50;

/** Flows, and what it took to find them. */
export interface FlowWalkResult {
  /** Flows that are meant, listed or not. */
  readonly matched: number;
  readonly flows: readonly FlowReport[];
  readonly steps: number;
  /** How long packets had to wait for it at most, ns. */
  readonly longestStepNs: number;
}

/** Walks over the flows of one host. */
export class FlowWalk {
  readonly #lex: Pick<LexHost, 'listFlows'>;
  #turn: Promise<unknown> = Promise.resolve();

  constructor(lex: Pick<LexHost, 'listFlows'>) {
    this.#lex = lex;
  }

  /** Lists flows, after the walks before. */
  list(query: FlowQuery): Promise<FlowWalkResult> {
    const walk = this.#turn.then(() => this.#walk(query));
    this.#turn = walk.catch(() => undefined);
    return walk;
  }

  async #walk(query: FlowQuery): Promise<FlowWalkResult> {
    const listing = this.#lex.listFlows(query);
    const flows: FlowReport[] = [];
    let steps = 0;
    let longestStepNs = 0;
    const step = async (body: () => boolean): Promise<boolean> => {
      const beginNs = nowNs();
      const isLast = body();
      longestStepNs = Math.max(longestStepNs, nowNs() - beginNs);
      steps++;
      await nextTurn();
      return isLast;
    };
    while (!(await step(() => listing.step(PLACES_A_STEP))));
    for (let from = 0; from < query.limit; from += REPORTS_A_STEP) {
      const isEnd = await step(() => {
        const to = Math.min(query.limit, from + REPORTS_A_STEP);
        return flows.push(...listing.reports(nowNs(), from, to)) === listing.matched;
      });
      if (isEnd) break;
    }
    return { matched: listing.matched, flows, steps, longestStepNs };
  }
}
