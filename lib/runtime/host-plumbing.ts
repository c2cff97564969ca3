/**
 * Carries out the plan of `host-plan.ts`: sets the plumbing of a host agent up, keeps it up to date, takes it back.
 */
import type { Family, RouteSpec } from '../netns/index.ts';
import { CommandError, TABLE_MAIN, ipBatch, listRoutes, namespaceInode, readSysctl } from '../netns/index.ts';
import { executeIn, ruleKey } from './change.ts';
import { readMachineState } from './machine-state.ts';
import { asMirrored, mirrorRoutes, routeDifference } from './route-mirror.ts';
import type { RecoveredJournal } from './undo-journal.ts';
import { UndoJournal, closeAfterFailure } from './undo-journal.ts';
import type { HostPlumbingOptions, ResolvedHostPlumbing } from './host-plan.ts';
import { guardRule, mirrorOptions, planHostPlumbing, resolveHostPlumbing } from './host-plan.ts';

export type { HostPlumbingOptions } from './host-plan.ts';

/** The plumbing of one host agent, set up. */
export class HostPlumbing {
  /** What the user should know; see `PlumbingPlan.warnings`. */
  readonly warnings: readonly string[];
  /** What an earlier crash had left and has been taken back first. */
  readonly recovered: readonly RecoveredJournal[];
  readonly #options: ResolvedHostPlumbing;
  readonly #netns: string | undefined;
  readonly #journal: UndoJournal;
  /** What stands in the tables that mirror main; none for one that was changed in part. */
  readonly #mirrors = new Map<Family, readonly RouteSpec[]>();

  /**
   * Sets everything up; when a step fails, all before it is taken back. The agent must be moving packets between its
   * TUNs already, because traffic comes at once.
   */
  static setUp(options: HostPlumbingOptions): HostPlumbing {
    return new HostPlumbing(options, resolveHostPlumbing(options));
  }

  private constructor(options: HostPlumbingOptions, resolved: ResolvedHostPlumbing) {
    const where = { netns: options.netns };
    this.#options = resolved;
    this.#netns = options.netns;
    this.#journal = UndoJournal.open({
      directory: options.journalDirectory,
      role: 'host',
      subject: resolved.addresses.map(({ address }) => address).join(','),
      netnsInode: namespaceInode(where),
      execute: executeIn(where),
    });
    this.recovered = this.#journal.recovered;
    try {
      const state = readMachineState(where, {
        families: resolved.addresses.map(({ family }) => family),
        tables: Object.values(resolved.tables),
        peerKeys: this.#journal.peerKeys(),
      });
      const plan = planHostPlumbing(state, resolved);
      this.warnings = plan.warnings;
      for (const { family, address } of resolved.addresses) {
        this.#mirrors.set(
          family,
          mirrorRoutes(state.mainRoutes[family], mirrorOptions(resolved, family, address)),
        );
      }
      for (const change of plan.changes) this.#journal.apply(change);
    } catch (error) {
      closeAfterFailure(this.#journal, error);
      throw error;
    }
  }

  /**
   * Follows the machine: mirrors changed routes of the main table, and lifts the blackhole rule when forwarding has
   * been turned on for the whole machine. To be called now and then (every few seconds, or on a route event).
   *
   * @returns how many routes were added or removed
   * @throws PreflexError ERR_SYSTEM when the kernel refuses one, such as those of an address that is not there at the
   *   moment; the others are in force, and the next call tries again
   */
  refresh(): number {
    let changed = 0;
    let failure: CommandError | undefined;
    for (const { family, address } of this.#options.addresses) {
      try {
        changed += this.#mirror(family, address);
      } catch (error) {
        if (!(error instanceof CommandError)) throw error;
        failure ??= error;
      }
      if (
        readSysctl(`net/ipv${family}/conf/all/forwarding`, { netns: this.#netns }) === '1' &&
        this.#isForwardingOfOthers(family)
      ) {
        this.#journal.revert(ruleKey(guardRule(this.#options, family)));
      }
    }
    if (failure !== undefined) throw failure;
    return changed;
  }

  /** Takes everything back. The second call does nothing. */
  tearDown(): void {
    this.#journal.close();
  }

  #mirror(family: Family, address: string): number {
    const where = { netns: this.#netns };
    const options = mirrorOptions(this.#options, family, address);
    const wanted = mirrorRoutes(listRoutes(family, TABLE_MAIN, where), options);
    const standing =
      this.#mirrors.get(family) ??
      listRoutes(family, options.table, where).map((route) => asMirrored(route, options));
    const commands = routeDifference(standing, wanted);
    this.#mirrors.delete(family);
    ipBatch(commands, { ...where, family, keepGoing: true });
    this.#mirrors.set(family, wanted);
    return commands.length;
  }

  // On kernels without force_forwarding it is this plumbing that has turned `all` on.
  #isForwardingOfOthers(family: Family): boolean {
    return family === 4 || !this.#journal.keys.includes('sysctl net/ipv6/conf/all/forwarding');
  }
}
