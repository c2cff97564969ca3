/**
 * Carries out the plan of `gateway-plan.ts`: sets the plumbing of a gateway daemon up, keeps it up to date, takes it back.
 */
import { TABLE_MAIN, ipBatch, listLinks, listRoutes, namespaceInode } from '../netns/index.ts';
import { executeIn } from './change.ts';
import { readMachineState } from './machine-state.ts';
import type { RecoveredJournal } from './undo-journal.ts';
import { UndoJournal, closeAfterFailure } from './undo-journal.ts';
import type { GatewayPlumbingOptions, ResolvedGatewayPlumbing } from './gateway-plan.ts';
import { addCommands, allTables, planGatewayPlumbing, resolveGatewayPlumbing } from './gateway-plan.ts';
import { defaultRoute } from './gateway-routes.ts';

export type { GatewayPlumbingOptions } from './gateway-plan.ts';

/** The plumbing of a gateway daemon, set up. */
export class GatewayPlumbing {
  /** What the user should know; see `PlumbingPlan.warnings`. */
  readonly warnings: readonly string[];
  /** What an earlier crash had left and has been taken back first. */
  readonly recovered: readonly RecoveredJournal[];
  readonly #options: ResolvedGatewayPlumbing;
  readonly #netns: string | undefined;
  readonly #journal: UndoJournal;

  /**
   * Sets everything up; when a step fails, all before it is taken back. The daemon must be moving packets between its
   * TUNs already, because traffic comes at once.
   */
  static setUp(options: GatewayPlumbingOptions): GatewayPlumbing {
    return new GatewayPlumbing(options, resolveGatewayPlumbing(options));
  }

  private constructor(options: GatewayPlumbingOptions, resolved: ResolvedGatewayPlumbing) {
    const where = { netns: options.netns };
    this.#options = resolved;
    this.#netns = options.netns;
    this.#journal = UndoJournal.open({
      directory: options.journalDirectory,
      role: 'gateway',
      subject: resolved.insideDevice,
      netnsInode: namespaceInode(where),
      execute: executeIn(where),
    });
    this.recovered = this.#journal.recovered;
    try {
      const state = readMachineState(where, {
        families: resolved.families,
        tables: allTables(resolved),
        peerKeys: this.#journal.peerKeys(),
      });
      const plan = planGatewayPlumbing(state, resolved);
      this.warnings = plan.warnings;
      for (const change of plan.changes) this.#journal.apply(change);
    } catch (error) {
      closeAfterFailure(this.#journal, error);
      throw error;
    }
  }

  /**
   * Puts back default routes that the kernel has removed because their device went down, once it is up again. To be
   * called now and then.
   *
   * @returns names of the routes that can carry nothing now, because the device is gone or down
   */
  refresh(): string[] {
    const where = { netns: this.#netns };
    const links = listLinks(where);
    const mainRoutes = { 4: listRoutes(4, TABLE_MAIN, where), 6: listRoutes(6, TABLE_MAIN, where) };
    const down: string[] = [];
    for (const route of this.#options.routes) {
      if (!links.some((link) => link.name === route.device && link.isUp && link.hasCarrier))
        down.push(route.name);
      for (const family of this.#options.families) {
        if (listRoutes(family, route.routeTable, where).length > 0) continue;
        ipBatch(addCommands(defaultRoute({ links, mainRoutes }, route, family)), {
          ...where,
          family,
          keepGoing: true,
        });
      }
    }
    return down;
  }

  /** Takes everything back. The second call does nothing. */
  tearDown(): void {
    this.#journal.close();
  }
}
