/** How many rules there are, without a process: for looking every few seconds. */
import { SystemError } from '../sys/errno.ts';
import { NETLINK_ROUTE } from '../sys/netlink.ts';
import type { Family } from './ip.ts';
import { NetlinkReader } from './netlink-reader.ts';
import { readRule, ruleDumpRequest } from './onlooker-messages.ts';
import type { RuleSpec } from './rules.ts';

/** What of a rule is counted: rules that differ in other selectors only are of one kind. Pure. */
export function ruleKind({ iif, priority, table }: Pick<RuleSpec, 'iif' | 'priority' | 'table'>): string {
  return `${priority} ${table ?? 0} ${iif ?? ''}`;
}

/**
 * Rules by kind, in the network namespace of this thread.
 *
 * @throws SystemError when the kernel cannot be asked
 */
export function countRules(family: Family): Map<string, number> {
  const counts = new Map<string, number>();
  let counted = 0;
  const reader = new NetlinkReader(NETLINK_ROUTE);
  try {
    const errno = reader.read(
      (sequence) => ruleDumpRequest(family, sequence),
      (view, header) => {
        // An answer that is asked for again begins anew.
        if (header.sequence !== counted) counts.clear();
        counted = header.sequence;
        const rule = readRule(view, header);
        if (rule === undefined) return;
        const kind = ruleKind(rule);
        counts.set(kind, (counts.get(kind) ?? 0) + 1);
      },
    );
    if (errno !== 0) throw new SystemError('netlink dump', errno, `IPv${family} rules`);
    return counts;
  } finally {
    reader.close();
  }
}
