/**
 * Carries out the plan of `host-plan.ts`: sets the plumbing of a host agent up, keeps it up to date, takes it back.
 */
import type { Family, RouteSpec } from '../netns/index.ts';
import { TABLE_MAIN, countRoutes, ipBatch, listRoutes, namespaceInode, readSysctl } from '../netns/index.ts';
import { Attempts } from './attempts.ts';
import type { Change } from './change.ts';
import { executeIn, ruleKey } from './change.ts';
import { KeptChanges } from './kept-changes.ts';
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
  readonly #kept: KeptChanges;
  /** The blackhole rules, where there are any. */
  readonly #guards = new Map<Family, Change>();
  readonly #onPutBack: (what: readonly string[]) => void;

  /**
   * Sets everything up; when a step fails, all before it is taken back. The agent must be moving packets between its
   * TUNs already, because traffic comes at once.
   *
   * @param onPutBack - told what {@link refresh} puts back of it that somebody took away, in words
   */
  static setUp(
    options: HostPlumbingOptions,
    onPutBack: (what: readonly string[]) => void = () => undefined,
  ): HostPlumbing {
    return new HostPlumbing(options, resolveHostPlumbing(options), onPutBack);
  }

  private constructor(
    options: HostPlumbingOptions,
    resolved: ResolvedHostPlumbing,
    onPutBack: (what: readonly string[]) => void,
  ) {
    const where = { netns: options.netns };
    this.#onPutBack = onPutBack;
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
      this.#kept = new KeptChanges(plan.changes, where);
      for (const { family } of resolved.addresses) {
        const key = ruleKey(guardRule(resolved, family));
        const guard = plan.changes.find((change) => change.key === key);
        if (guard !== undefined) this.#guards.set(family, guard);
      }
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
   * Follows the machine: mirrors changed routes of the main table, lifts the blackhole rule as long as forwarding is turned on
   * for the whole machine, and puts back what somebody took away. To be called now and then (every few seconds, or on a route
   * event).
   *
   * @returns how many routes were added or removed
   * @throws PreflexError ERR_SYSTEM when the kernel refuses one, such as those of an address that is not there at the
   *   moment; the others are in force, and the next call tries again
   */
  refresh(): number {
    let changed = 0;
    const attempts = new Attempts();
    for (const { family, address } of this.#options.addresses) {
      changed += attempts.try(() => this.#mirror(family, address)) ?? 0;
      attempts.try(() => {
        this.#followForwarding(family);
      });
    }
    const { what, failure } = this.#kept.putBack(this.#journal.keys);
    if (what.length > 0) this.#onPutBack(what);
    attempts.finish();
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
    const known = this.#mirrors.get(family);
    // Others may have emptied the table; and of IPv6 routes the kernel clears the source with its address.
    const isWhole =
      family === 4 && known !== undefined && countRoutes(family, options.table, where) === known.length;
    const standing = isWhole
      ? known
      : listRoutes(family, options.table, where).map((route) => asMirrored(route, options));
    const commands = routeDifference(standing, wanted);
    this.#mirrors.delete(family);
    ipBatch(commands, { ...where, family, keepGoing: true });
    this.#mirrors.set(family, wanted);
    return commands.length;
  }

  #followForwarding(family: Family): void {
    const guard = this.#guards.get(family);
    if (guard === undefined) return;
    const isRouter = readSysctl(`net/ipv${family}/conf/all/forwarding`, { netns: this.#netns }) === '1';
    const isGuarded = this.#journal.keys.includes(guard.key);
    if (isRouter && isGuarded && this.#isForwardingOfOthers(family)) this.#journal.revert(guard.key);
    if (!isRouter && !isGuarded) this.#journal.apply(guard);
  }

  // On kernels without force_forwarding it is this plumbing that has turned `all` on.
  #isForwardingOfOthers(family: Family): boolean {
    return family === 4 || !this.#journal.keys.includes('sysctl net/ipv6/conf/all/forwarding');
  }
}
