/**
 * Carries out the plan of `gateway-plan.ts`: sets the plumbing of a gateway daemon up, keeps it up to date, takes it back.
 */
import type { Family, RouteSpec } from '../netns/index.ts';
import { TABLE_MAIN, countRoutes, ipBatch, listRoutes, namespaceInode, routeArgs } from '../netns/index.ts';
import { Attempts } from './attempts.ts';
import { executeIn } from './change.ts';
import { KeptChanges } from './kept-changes.ts';
import { readMachineState } from './machine-state.ts';
import type { RecoveredJournal } from './undo-journal.ts';
import { UndoJournal, closeAfterFailure } from './undo-journal.ts';
import { allTables, planGatewayPlumbing } from './gateway-plan.ts';
import type { GatewayPlumbingOptions, ResolvedGatewayPlumbing } from './gateway-plumbing-options.ts';
import { resolveGatewayPlumbing } from './gateway-plumbing-options.ts';
import { outboundRoutes } from './gateway-routes.ts';
import type { Prefix } from './prefixes.ts';
import { replaceCommands } from './route-mirror.ts';
import { refreshRouteTables } from './route-tables.ts';

export type { GatewayPlumbingOptions } from './gateway-plumbing-options.ts';

/** The plumbing of a gateway daemon, set up. */
export class GatewayPlumbing {
  /** What the user should know; see `PlumbingPlan.warnings`. */
  readonly warnings: readonly string[];
  /** What an earlier crash had left and has been taken back first. */
  readonly recovered: readonly RecoveredJournal[];
  #options: ResolvedGatewayPlumbing;
  /** What stands in the outbound table. */
  readonly #outbound = new Map<Family, readonly RouteSpec[]>();
  readonly #netns: string | undefined;
  readonly #journal: UndoJournal;
  readonly #kept: KeptChanges;
  readonly #onPutBack: (what: readonly string[]) => void;

  /**
   * Sets everything up; when a step fails, all before it is taken back. The daemon must be moving packets between its
   * TUNs already, because traffic comes at once.
   *
   * @param onPutBack - told what {@link putBack} puts back, in words
   */
  static setUp(
    options: GatewayPlumbingOptions,
    onPutBack: (what: readonly string[]) => void = () => undefined,
  ): GatewayPlumbing {
    return new GatewayPlumbing(options, resolveGatewayPlumbing(options), onPutBack);
  }

  private constructor(
    options: GatewayPlumbingOptions,
    resolved: ResolvedGatewayPlumbing,
    onPutBack: (what: readonly string[]) => void,
  ) {
    this.#onPutBack = onPutBack;
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
      this.#kept = new KeptChanges(plan.changes, where);
      for (const change of plan.changes) this.#journal.apply(change);
      for (const family of resolved.families)
        this.#outbound.set(family, outboundRoutes(state.mainRoutes[family], resolved, family));
    } catch (error) {
      closeAfterFailure(this.#journal, error);
      throw error;
    }
  }

  /**
   * Puts back default routes that the kernel has removed because their device went down, once it is up again. To be
   * called now and then.
   *
   * @returns names of the routes with tables of our own that can carry nothing now, because the device is gone or down
   */
  refresh(): string[] {
    return refreshRouteTables(this.#options, { netns: this.#netns });
  }

  /**
   * Puts back what somebody took away: rules, settings, and routes into the TUNs. To be called after {@link refresh}.
   *
   * @throws PreflexError ERR_SYSTEM when something cannot be; all else is, and the next call tries again
   */
  putBack(): void {
    const { what, failure } = this.#kept.putBack(this.#journal.keys);
    const attempts = new Attempts();
    const filled = [...this.#outbound].filter(([family, routes]) =>
      attempts.try(() => this.#fillOutbound(family, routes)),
    );
    const tables = filled.map(([family]) => `routes of IPv${family} table ${this.#options.outboundTable}`);
    if (what.length + tables.length > 0) this.#onPutBack([...what, ...tables]);
    attempts.finish();
    if (failure !== undefined) throw failure;
  }

  /**
   * Diverts other destinations from now on. What is diverted before and after is so at any time.
   *
   * @param destinations - of the IP versions that were set up
   * @throws PreflexError ERR_SYSTEM when the kernel refuses a route; then the destinations before stay
   */
  divert(destinations: readonly Prefix[]): void {
    const where = { netns: this.#netns };
    const options = { ...this.#options, destinations };
    const wanted = options.families.map((family) => {
      const routes = outboundRoutes(listRoutes(family, TABLE_MAIN, where), options, family);
      return [family, routes] as const;
    });
    try {
      for (const [family, routes] of wanted) {
        ipBatch(replaceCommands(this.#outbound.get(family) ?? [], routes), { ...where, family });
      }
    } catch (error) {
      for (const [family, routes] of wanted) this.#putBack(family, routes);
      throw error;
    }
    for (const [family, routes] of wanted) this.#outbound.set(family, routes);
    this.#options = options;
  }

  /** Takes everything back. The second call does nothing. */
  tearDown(): void {
    this.#journal.close();
  }

  /** Puts routes of the outbound table back if some are missing; whether there were. */
  #fillOutbound(family: Family, routes: readonly RouteSpec[]): boolean {
    const where = { netns: this.#netns };
    if (countRoutes(family, this.#options.outboundTable, where) >= routes.length) return false;
    const commands = routes.map((spec) => ['route', 'replace', ...routeArgs(spec)]);
    ipBatch(commands, { ...where, family, keepGoing: true });
    return true;
  }

  /** Puts the outbound table back, whatever part of `wanted` it has. */
  #putBack(family: Family, wanted: readonly RouteSpec[]): void {
    const before = this.#outbound.get(family) ?? [];
    const added = wanted.filter((spec) => !before.some((other) => other.prefix === spec.prefix));
    const commands = [
      ...before.map((spec) => ['route', 'replace', ...routeArgs(spec)]),
      ...added.map((spec) => ['route', 'del', ...routeArgs(spec)]),
    ];
    try {
      ipBatch(commands, { netns: this.#netns, family, keepGoing: true });
    } catch {
      // Routes that were not added cannot be deleted; the error to report is the one that led here.
    }
  }
}
