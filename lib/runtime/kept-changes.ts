/**
 * Puts back what a daemon has changed on the machine and somebody took away since: settings of a device that went and came
 * again, or that another program wrote anew; tables that were emptied; rules that a network service removed because they
 * are not its own. Without them packets would pass the daemon by without a word, or be dropped.
 */
import type { Family, RuleSpec, Where } from '../netns/index.ts';
import {
  countRoutes,
  countRules,
  ip,
  ipBatch,
  listLinks,
  listRules,
  readSysctls,
  ruleArgs,
  ruleKind,
  writeSysctl,
} from '../netns/index.ts';
import { Attempts } from './attempts.ts';
import type { Change } from './change.ts';
import { describeCommand, ruleKey } from './change.ts';

/** Of these the kernel takes the larger of `all` and the device, see `pushDownChanges`. */
const OF_ALL = /^net\/ipv4\/conf\/all\/(rp_filter|send_redirects)$/;

/** What came of putting back. */
export interface PutBack {
  /** What was put back, in words. */
  readonly what: readonly string[];
  /** Why something could not be, such as routes over a device that is down; the next call tries again. */
  readonly failure: Error | undefined;
}

/** Does something, and says what was done. */
type Attempt = (what: string, body: () => void) => void;

/** The changes of one daemon. */
export class KeptChanges {
  readonly #changes: readonly Change[];
  readonly #where: Where;

  /** @param changes - in the order in which they were made */
  constructor(changes: readonly Change[], where: Where) {
    this.#changes = changes;
    this.#where = where;
  }

  /**
   * Looks, and puts back what is missing.
   *
   * @param held - keys of the changes that are not taken back
   */
  putBack(held: readonly string[]): PutBack {
    const keys = new Set(held);
    const changes = this.#changes.filter(({ key }) => keys.has(key));
    const what: string[] = [];
    const attempts = new Attempts();
    const attempt: Attempt = (words, body) => {
      attempts.try(() => {
        body();
        what.push(words);
      });
    };
    attempts.try(() => {
      this.#putSettingsBack(changes, attempt);
    });
    for (const change of changes)
      attempts.try(() => {
        this.#putTableBack(change, attempt);
      });
    for (const family of [4, 6] as const)
      attempts.try(() => {
        this.#putRulesBack(family, changes, attempt);
      });
    return { what, failure: attempts.failure };
  }

  #putTableBack({ fixedTable, run }: Change, attempt: Attempt): void {
    if (fixedTable === undefined) return;
    const { family, table } = fixedTable;
    const commands = run.flatMap((command) => (command.kind === 'ip-batch' ? command.commands : []));
    if (countRoutes(family, table, this.#where) >= commands.length) return;
    attempt(`routes of IPv${family} table ${table}`, () => {
      const again = commands.map((words) => words.map((word) => (word === 'add' ? 'replace' : word)));
      ipBatch(again, { ...this.#where, family });
    });
  }

  #putSettingsBack(changes: readonly Change[], attempt: Attempt): void {
    const kept = new Map(
      changes.flatMap(({ settings = [] }) => settings.map((one) => [one.name, one.value])),
    );
    const found = readSysctls([...kept.keys()], this.#where);
    for (const [name, value] of kept) {
      const now = found.get(name);
      // Of a device that is not there at the moment.
      if (now === undefined || now === value) continue;
      attempt(describeCommand({ kind: 'sysctl', name, value }), () => {
        const setting = OF_ALL.exec(name)?.[1];
        if (setting !== undefined) this.#pushDown(setting, now, kept);
        writeSysctl(name, value, this.#where);
      });
    }
  }

  /** Gives every device but those with a value of ours at least the value that somebody wrote for all. */
  #pushDown(setting: string, all: string, kept: ReadonlyMap<string, string>): void {
    const names = ['default', ...listLinks(this.#where).map((link) => link.name)]
      .map((device) => `net/ipv4/conf/${device}/${setting}`)
      .filter((name) => !kept.has(name));
    for (const [name, value] of readSysctls(names, this.#where)) {
      if (Number(value) < Number(all)) writeSysctl(name, all, this.#where);
    }
  }

  #putRulesBack(family: Family, changes: readonly Change[], attempt: Attempt): void {
    const kept = changes.flatMap(({ rule }) => (rule?.family === family ? [rule] : []));
    if (kept.length === 0 || this.#hasAll(family, kept)) return;
    const standing = new Set(listRules(family, this.#where).map((rule) => ruleKey(rule)));
    /** Priorities at which a rule was missing: those behind it have to stay behind it. */
    const disturbed = new Set<number>();
    for (const rule of kept) {
      const stands = standing.has(ruleKey(rule));
      if (stands && !disturbed.has(rule.priority)) continue;
      disturbed.add(rule.priority);
      attempt(ruleKey(rule), () => {
        if (stands) this.#rule('del', rule);
        this.#rule('add', rule);
      });
    }
  }

  /** Whether none is missing, as far as that can be told without a process. */
  #hasAll(family: Family, kept: readonly RuleSpec[]): boolean {
    if (this.#where.netns !== undefined) return false;
    const counts = countRules(family);
    for (const rule of kept) {
      const kind = ruleKind(rule);
      const left = (counts.get(kind) ?? 0) - 1;
      if (left < 0) return false;
      counts.set(kind, left);
    }
    return true;
  }

  #rule(verb: 'add' | 'del', rule: RuleSpec): void {
    ip([`-${rule.family}`, 'rule', verb, ...ruleArgs(rule)], this.#where);
  }
}
