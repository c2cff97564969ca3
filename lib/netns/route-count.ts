/** How many routes a table has, without a process where that can be done: for looking every few seconds. */
import { ENOENT, SystemError } from '../sys/errno.ts';
import { NETLINK_ROUTE } from '../sys/netlink.ts';
import type { Where } from './command.ts';
import type { Family } from './ip.ts';
import { NetlinkReader } from './netlink-reader.ts';
import { listRoutes } from './routes.ts';
import { RTM_NEWROUTE, RouteMessage, readRoute, routeDumpRequest } from './rtnetlink.ts';

/**
 * Routes of one table; none when the table does not exist.
 *
 * @throws PreflexError ERR_SYSTEM when the kernel cannot be asked
 */
export function countRoutes(family: Family, table: number, where: Where = {}): number {
  if (where.netns !== undefined) return listRoutes(family, table, where).length;
  const route = new RouteMessage();
  let count = 0;
  let counted = 0;
  const reader = new NetlinkReader(NETLINK_ROUTE);
  try {
    const errno = reader.read(
      (sequence) => routeDumpRequest(family, table, sequence),
      (view, header) => {
        // An answer that is asked for again begins anew.
        if (header.sequence !== counted) count = 0;
        counted = header.sequence;
        if (header.type !== RTM_NEWROUTE || !readRoute(view, header, route)) return;
        if (route.table === table && route.family === family) count++;
      },
    );
    if (errno === ENOENT) return 0;
    if (errno !== 0) throw new SystemError('netlink dump', errno, `IPv${family} table ${table}`);
    return count;
  } finally {
    reader.close();
  }
}
