/**
 * Follows kernel routing tables and links by netlink: dumps at the start, notifications from then on, dumps again where
 * notifications were lost or do not tell everything.
 *
 * ```
 *   open: links, then each table and IP version      notifications: routes, links, next hops, addresses
 *            |                                                     |
 *            v  one socket: answers and notifications come in the order in which things happened
 *   step (a few ms): datagrams --> RouteBook --> changed prefixes --> onPrefix
 *            ^
 *   dump again: ENOBUFS | a link went or came | an address or next hop object went | interrupted | every few minutes
 * ```
 *
 * Dumps are needed beside notifications because the kernel removes IPv4 routes without telling when a device goes down,
 * an address or a next hop object goes; and because it drops notifications when the socket's buffer is full. Long because
 * dumps and notifications share one socket, one order and one state.
 */
import type { Family } from '../netns/index.ts';
import {
  NLMSG_DONE,
  NLMSG_ERROR,
  NLM_F_DUMP_INTR,
  RTM_DELADDR,
  RTM_DELLINK,
  RTM_DELNEXTHOP,
  RTM_DELROUTE,
  RTM_NEWLINK,
  RTM_NEWROUTE,
  RouteMessage,
  forEachMessage,
  linkDumpRequest,
  readErrorNumber,
  readLink,
  readRoute,
  routeDumpRequest,
} from '../netns/index.ts';
import type { NetlinkHeader } from '../netns/index.ts';
import { nowNs } from '../sys/clock.ts';
import { EAGAIN, ENOENT, SystemError } from '../sys/errno.ts';
import {
  NetlinkSocket,
  RTMGRP_IPV4_IFADDR,
  RTMGRP_IPV4_ROUTE,
  RTMGRP_IPV6_ROUTE,
  RTMGRP_LINK,
  RTMGRP_NEXTHOP,
} from '../sys/netlink.ts';
import { SocketWatch } from '../sys/socket-watch.ts';
import { DumpRetries } from './dump-retries.ts';
import type { VisitPrefix } from './route-book.ts';
import { RouteBook } from './route-book.ts';

/** What to follow, and whom to tell. */
export interface TableFollowerOptions {
  /** Kernel tables by position; undefined at the position of a route without one. 1 to 16. */
  readonly tables: readonly (number | undefined)[];
  readonly families: readonly Family[];
  /** Told of prefixes that may have changed; bit i of the mask is the route at position i of `tables`. */
  readonly onPrefix: Readonly<Record<Family, VisitPrefix>>;
  /** Told when links changed; {@link TableFollower.isLinkUp} knows how. */
  readonly onLinks: () => void;
  /** Bytes that the kernel holds before it drops notifications; default 8 MiB. */
  readonly receiveBytes?: number;
  /** How long a step may keep packets waiting, ns, at least one piece of work; default 2e6. */
  readonly stepNs?: number;
}

/** One table of one IP version. */
interface Dump {
  readonly table: number;
  readonly position: number;
  readonly family: Family;
}

/** What came of following, since the start. */
export interface FollowerCounters {
  /** Messages about routes of the tables that are followed. */
  readonly routeMessages: number;
  /** Routes passed over: for some packets only (source prefix, traffic class), local, multicast. */
  readonly ignoredRoutes: number;
  /** Bytes that made no sense. */
  readonly badMessages: number;
  /** Times that the kernel dropped notifications. */
  readonly overflows: number;
  /** Dumps of a table that ended. */
  readonly dumps: number;
  /** Dumps that the kernel refused; they are tried again. */
  readonly failedDumps: number;
}

/** Notifications hold at most 64 KiB, parts of dumps 32. */
const BUFFER_BYTES = 65_536;
const DEFAULT_RECEIVE_BYTES = 8 << 20;
const DEFAULT_STEP_NS = 2e6;
const SWEEP_RECORDS = 2000;
const CHANGES = 200;
/** Dumps wait so long for what else happens, and are at least so far apart. */
const SETTLE_MS = 100;
const DUMP_GAP_MS = 1000;
/** All tables are read again so often, in case anything was missed. */
const AUDIT_MS = 300_000;
/** An interrupted dump is begun again so many times at once; after that it waits. @see DumpRetries */
const MAX_REPEATS = 3;

/** Follows tables and links from {@link TableFollower.open} until it is closed. */
export class TableFollower {
  readonly books: ReadonlyMap<Family, RouteBook>;
  readonly #options: TableFollowerOptions;
  readonly #stepNs: number;
  readonly #socket: NetlinkSocket;
  readonly #bytes = new Uint8Array(BUFFER_BYTES);
  readonly #view = new DataView(this.#bytes.buffer);
  readonly #route = new RouteMessage();
  readonly #positions = new Map<number, number>();
  readonly #links = new Map<number, { readonly name: string; readonly isUp: boolean }>();
  /** Indices of devices that routes lead over, or did. */
  readonly #devices = new Set<number>();
  readonly #counters = {
    routeMessages: 0,
    ignoredRoutes: 0,
    badMessages: 0,
    overflows: 0,
    dumps: 0,
    failedDumps: 0,
  };

  /** What is to be dumped after the running one; undefined stands for the links. */
  #waiting: (Dump | undefined)[] = [];
  readonly #retries = new DumpRetries<Dump | undefined>();
  readonly #dumps: readonly (Dump | undefined)[];
  #running: { readonly dump: Dump | undefined; readonly sequence: number; repeats: number } | undefined;
  #isInterrupted = false;
  /** The table whose dump has ended and that is being swept. */
  #sweeping: Dump | undefined;
  #sequence = 0;
  #seenLinks = new Set<number>();
  #watch: SocketWatch | undefined;
  #immediate: NodeJS.Immediate | undefined;
  #dumpTimer: NodeJS.Timeout | undefined;
  #auditTimer: NodeJS.Timeout | undefined;
  #retryTimer: NodeJS.Timeout | undefined;
  #dumpedAtMs = -Infinity;
  #isClosed = false;

  /**
   * Opens the socket, asks for everything and reads the answers, which takes a second for some 300,000 routes; from then
   * on it works in the event loop.
   *
   * @throws SystemError
   */
  static open(options: TableFollowerOptions): TableFollower {
    const follower = new TableFollower(options);
    try {
      follower.#load();
    } catch (error) {
      follower.close();
      throw error;
    }
    return follower;
  }

  private constructor(options: TableFollowerOptions) {
    this.#options = options;
    this.#stepNs = options.stepNs ?? DEFAULT_STEP_NS;
    for (const [position, table] of options.tables.entries())
      if (table !== undefined) this.#positions.set(table, position);
    this.books = new Map(
      options.families.map((family) => [family, new RouteBook(family, options.tables.length)]),
    );
    const tables = [...this.#positions].flatMap(([table, position]) =>
      options.families.map((family) => ({ table, position, family })),
    );
    this.#dumps = [undefined, ...tables];
    this.#socket = NetlinkSocket.open(
      RTMGRP_LINK | RTMGRP_IPV4_IFADDR | RTMGRP_IPV4_ROUTE | RTMGRP_IPV6_ROUTE | RTMGRP_NEXTHOP,
      options.receiveBytes ?? DEFAULT_RECEIVE_BYTES,
    );
  }

  /** Counters since the start. */
  get counters(): FollowerCounters {
    return { ...this.#counters };
  }

  /** Whether every dump that was asked for has been taken over. */
  get isSettled(): boolean {
    const isWaiting = this.#dumpTimer !== undefined || this.#retries.dueAtMs < Infinity;
    return this.#running === undefined && !isWaiting && !this.#canGoOn;
  }

  /** Whether packets can leave by a device: there, switched on, with carrier. */
  isLinkUp(name: string): boolean {
    for (const link of this.#links.values()) if (link.name === name) return link.isUp;
    return false;
  }

  /** Reads everything again after a while, so that once is enough for much that happens together. */
  resync(): void {
    if (this.#dumpTimer !== undefined || this.#isClosed) return;
    const waitMs = Math.max(SETTLE_MS, this.#dumpedAtMs + DUMP_GAP_MS - nowNs() / 1e6);
    this.#dumpTimer = setTimeout(() => {
      this.#dumpTimer = undefined;
      this.#dumpedAtMs = nowNs() / 1e6;
      this.#beginEverything();
      this.#step(nowNs() + this.#stepNs);
    }, waitMs);
  }

  /** Tells of prefixes that changed other than by the kernel ({@link RouteBook.setFixed}), before it returns. */
  flush(): void {
    while (this.#applyChanges()) continue;
  }

  /** Stops. */
  close(): void {
    this.#isClosed = true;
    this.#watch?.close();
    clearImmediate(this.#immediate);
    clearTimeout(this.#dumpTimer);
    clearInterval(this.#auditTimer);
    clearTimeout(this.#retryTimer);
    this.#socket.close();
  }

  #load(): void {
    this.#beginEverything();
    // The kernel makes the next part of a dump while it hands one over, so there is always something to read.
    while (this.#step(Infinity)) continue;
    this.#watch = new SocketWatch(this.#socket.fd, (isBroken) => {
      this.#step(nowNs() + this.#stepNs);
      // After ENOBUFS, which the step has taken note of.
      if (isBroken && !this.#isClosed) this.#watch?.restart(false);
    });
    this.#auditTimer = setInterval(() => this.resync(), AUDIT_MS);
  }

  #beginEverything(): void {
    this.#retries.cancel();
    clearTimeout(this.#retryTimer);
    this.#waiting = [...this.#dumps];
  }

  /** Asks again for what was interrupted, when it has waited. */
  #planRetries(): void {
    clearTimeout(this.#retryTimer);
    const { dueAtMs } = this.#retries;
    if (dueAtMs === Infinity || this.#isClosed) return;
    this.#retryTimer = setTimeout(
      () => {
        this.#waiting.push(...this.#retries.takeDue(nowNs() / 1e6));
        this.#planRetries();
        this.#step(nowNs() + this.#stepNs);
      },
      Math.max(1, Math.ceil(dueAtMs - nowNs() / 1e6)),
    );
  }

  /**
   * Does what there is to do until `deadlineNs`; goes on in the next turn of the event loop when that is not enough.
   *
   * @returns whether there is more that can be done now
   */
  #step(deadlineNs: number): boolean {
    for (;;) {
      const isBusy = this.#applyChanges() || this.#sweepSome() || this.#beginDump() || this.#receiveSome();
      if (!isBusy) return false;
      if (this.#isClosed) return false;
      if (nowNs() < deadlineNs) continue;
      // What waits in the socket calls by itself.
      if (this.#immediate === undefined && this.#canGoOn) {
        this.#immediate = setImmediate(() => {
          this.#immediate = undefined;
          this.#step(nowNs() + this.#stepNs);
        });
      }
      return true;
    }
  }

  /** Whether there is work that waits for nothing from the kernel. */
  get #canGoOn(): boolean {
    const canBegin = this.#running === undefined && this.#waiting.length > 0;
    return this.#hasChanges || this.#sweeping !== undefined || canBegin;
  }

  /** Each of these does a bounded piece of work and says whether there was any. */
  #applyChanges(): boolean {
    let count = 0;
    for (const [family, book] of this.books) {
      count += book.takeChanges(CHANGES, this.#options.onPrefix[family]);
    }
    return count > 0;
  }

  get #hasChanges(): boolean {
    return [...this.books.values()].some((book) => book.hasChanges);
  }

  #sweepSome(): boolean {
    const dump = this.#sweeping;
    if (dump === undefined) return false;
    if (this.books.get(dump.family)!.sweep(dump.position, SWEEP_RECORDS)) this.#sweeping = undefined;
    return true;
  }

  #beginDump(): boolean {
    if (this.#running !== undefined || this.#waiting.length === 0) return false;
    this.#request(this.#waiting.shift(), 0);
    return true;
  }

  #request(dump: Dump | undefined, repeats: number): void {
    this.#sequence = (this.#sequence + 1) >>> 0;
    this.#isInterrupted = false;
    this.#running = { dump, sequence: this.#sequence, repeats };
    if (dump === undefined) this.#seenLinks = new Set();
    else this.books.get(dump.family)!.beginDump(dump.position);
    try {
      this.#socket.send(
        dump === undefined
          ? linkDumpRequest(this.#sequence)
          : routeDumpRequest(dump.family, dump.table, this.#sequence),
      );
    } catch (error) {
      // The kernel is short of memory; before the first dumps ended nobody goes on without them.
      if (!(error instanceof SystemError) || this.#watch === undefined) throw error;
      this.#running = undefined;
      this.#counters.failedDumps++;
      this.resync();
    }
  }

  #receiveSome(): boolean {
    const length = this.#socket.receive(this.#bytes);
    if (length === -EAGAIN) return false;
    if (length < 0) {
      // ENOBUFS. Whatever else it may be: what was not told is in the tables.
      this.#counters.overflows++;
      this.resync();
      return true;
    }
    const isCut = length > BUFFER_BYTES;
    const isWhole = forEachMessage(this.#view, Math.min(length, BUFFER_BYTES), (header) =>
      this.#take(header),
    );
    if (isCut || !isWhole) {
      this.#counters.badMessages++;
      this.resync();
    }
    return true;
  }

  #take(header: NetlinkHeader): void {
    const isOfDump = header.port === this.#socket.port && header.sequence === this.#running?.sequence;
    if (isOfDump && (header.flags & NLM_F_DUMP_INTR) !== 0) this.#isInterrupted = true;
    switch (header.type) {
      case RTM_NEWROUTE:
      case RTM_DELROUTE:
        this.#takeRoute(header, isOfDump);
        break;
      case RTM_NEWLINK:
      case RTM_DELLINK:
        this.#takeLink(header, isOfDump);
        break;
      case RTM_DELADDR:
      case RTM_DELNEXTHOP:
        this.resync();
        break;
      case NLMSG_ERROR:
      case NLMSG_DONE:
        if (isOfDump) this.#endDump(readErrorNumber(this.#view, header));
    }
  }

  #takeRoute(header: NetlinkHeader, isOfDump: boolean): void {
    const route = this.#route;
    if (!readRoute(this.#view, header, route)) {
      this.#counters.badMessages++;
      return;
    }
    const position = this.#positions.get(route.table);
    const book = this.books.get(route.family);
    if (position === undefined || book === undefined) return;
    this.#counters.routeMessages++;
    for (let i = 0; i < route.hopCount; i++) this.#devices.add(route.hops[i].device);
    if (!route.isPlain || route.action === 'other') this.#counters.ignoredRoutes++;
    else if (header.type === RTM_NEWROUTE) book.add(position, route, isOfDump);
    else if (!book.remove(position, route)) this.resync();
  }

  #takeLink(header: NetlinkHeader, isOfDump: boolean): void {
    const link = readLink(this.#view, header);
    if (link === undefined) {
      this.#counters.badMessages++;
      return;
    }
    const before = this.#links.get(link.index);
    if (header.type === RTM_DELLINK) this.#links.delete(link.index);
    else {
      this.#links.set(link.index, link);
      this.#seenLinks.add(link.index);
    }
    const now = this.#links.get(link.index);
    if (before?.isUp === now?.isUp && before?.name === now?.name) return;
    this.#options.onLinks();
    // Routes over it have gone or come without a word.
    if (!isOfDump && this.#devices.has(link.index)) this.resync();
  }

  #endDump(errno: number): void {
    const { dump, repeats } = this.#running!;
    this.#running = undefined;
    // A table that does not exist is an empty one.
    if (errno !== 0 && errno !== ENOENT) {
      const subject = dump === undefined ? 'the links' : `IPv${dump.family} table ${dump.table}`;
      if (this.#watch === undefined) throw new SystemError('netlink dump', errno, subject);
      this.#counters.failedDumps++;
      this.resync();
      return;
    }
    if (this.#isInterrupted && repeats < MAX_REPEATS) {
      this.#request(dump, repeats + 1);
      return;
    }
    if (this.#isInterrupted) {
      this.#retries.noteInterrupted(dump, nowNs() / 1e6);
      this.#planRetries();
    } else this.#retries.noteWhole(dump);
    if (dump !== undefined) {
      this.#counters.dumps++;
      if (!this.#isInterrupted) this.#sweeping = dump;
      return;
    }
    // A dump that was interrupted may have passed over links that are there.
    if (this.#isInterrupted) return;
    const gone = [...this.#links.keys()].filter((index) => !this.#seenLinks.has(index));
    for (const index of gone) this.#links.delete(index);
    if (gone.length > 0) this.#options.onLinks();
  }
}
