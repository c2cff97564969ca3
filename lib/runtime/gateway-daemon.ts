/**
 * The gateway daemon: the PREF core, the datapath that its packets take (in this process, gateway-tun-datapath.ts, or in
 * the kernel, gateway-ebpf-datapath.ts), and what follows the machine and the other gateways of the domain.
 */
import { randomInt } from 'node:crypto';
import { PreflexError, invalidOption } from '../errors.ts';
import { PrefGateway } from '../pref/gateway.ts';
import type { GatewayOptions } from '../pref/gateway-options.ts';
import { checkGatewayOptions } from '../pref/gateway-options.ts';
import type { GatewayStatus } from '../pref/gateway-status.ts';
import type { DeviceReport } from './device-report.ts';
import { EventLog } from './events.ts';
import type { ForwardingState } from './forwarding-watch.ts';
import type { GatewayDatapath, KernelDatapathStatus } from './gateway-datapath.ts';
import type { KernelOptions } from './gateway-ebpf-datapath.ts';
import { EbpfGatewayDatapath } from './gateway-ebpf-datapath.ts';
import type { GatewayPlumbingOptions } from './gateway-plumbing-options.ts';
import { resolveGatewayPlumbing } from './gateway-plumbing-options.ts';
import { noDevice, TunGatewayDatapath } from './gateway-tun-datapath.ts';
import { GatewayWatch } from './gateway-watch.ts';
import type { GatewayDestination } from './live-destinations.ts';
import { LiveDestinations } from './live-destinations.ts';
import type { TablesStatus } from './table-destinations.ts';
import { TableDestinations } from './table-destinations.ts';
import type { LoopReport, LoopStats, TimedCore } from './packet-loop.ts';
import { parsePrefix } from './prefixes.ts';
import type { ShareStatus } from './share/gateway-share.ts';
import type { ShareOptions } from './share/membership.ts';
import { Membership } from './share/membership.ts';
import type { SharedRoute } from './share/message.ts';

export type { GatewayDestination } from './live-destinations.ts';

/** Options of a {@link GatewayDaemon}. */
export interface GatewayDaemonOptions {
  /** Devices, routes by name, destinations to divert. */
  readonly plumbing: GatewayPlumbingOptions;
  /** The gateway's rules; its routes are named like those of the plumbing. The hash seed is random unless given. */
  readonly gateway: GatewayOptions;
  readonly destinations: readonly GatewayDestination[];
  /** Read super-packets (segmentation offload); default true. Means nothing in the kernel, which always does. */
  readonly offload?: boolean;
  /** Leaves the packets in the kernel; default: they pass through this process. */
  readonly kernel?: KernelOptions | undefined;
  /** The domain whose other gateways it shares its figures with; default none. */
  readonly share?: ShareOptions | undefined;
  /** Called when the TUNs are open, before anything else of the machine is changed: the time to become another user. */
  readonly onDevicesOpen?: (() => void) | undefined;
  /** Called after each complete update interval. */
  readonly onInterval?: () => void;
}

/** What a running gateway shows. */
export interface GatewayDaemonStatus extends GatewayStatus {
  readonly datapath: 'tun' | 'ebpf';
  /** Null for a datapath in this process. */
  readonly kernel: KernelDatapathStatus | null;
  readonly loop: LoopStats;
  /** The kernel's tables that are followed; null when no route has one. */
  readonly tables: TablesStatus | null;
  readonly devices: Record<string, DeviceReport>;
  /** The other gateways of the domain; null for a gateway by itself. */
  readonly share: ShareStatus | null;
}

/** A running gateway. It works in the network namespace of the process. */
export class GatewayDaemon {
  readonly gateway: PrefGateway;
  readonly datapath: GatewayDatapath;
  readonly destinations: LiveDestinations | TableDestinations;
  /** What changed since the start. */
  readonly events = new EventLog();
  readonly #watch: GatewayWatch;
  readonly #pathIdOfName = new Map<string, number>();
  /** Routes with next hops whose device is down. */
  #unplumbedRoutes: readonly string[] = [];
  #downRoutes: readonly string[] = [];
  readonly #drained = new Set<string>();
  readonly #withdrawn = new Set<string>();
  readonly #membership: Membership;
  #isStopped = false;

  /**
   * Opens the datapath, begins to handle packets and leads the traffic through. Nothing stays behind when a step
   * fails, but what an earlier daemon had left in the kernel.
   *
   * @throws PreflexError ERR_INVALID_OPTION, ERR_SYSTEM
   */
  static start(options: GatewayDaemonOptions): GatewayDaemon {
    return new GatewayDaemon(options);
  }

  private constructor(options: GatewayDaemonOptions) {
    const { gateway, kernel, plumbing } = options;
    for (const { pathId, name } of gateway.routes) this.#pathIdOfName.set(name, pathId);
    const found = kernel === undefined ? undefined : EbpfGatewayDatapath.find(plumbing, gateway, kernel);
    this.gateway = new PrefGateway({ seed: found?.seed ?? randomInt(2 ** 32), ...gateway });
    this.#membership = new Membership({ core: this.gateway, routes: () => this.#sharedRoutes() });
    const onPutBack = (what: readonly string[]): void => {
      this.events.add({ kind: 'putBack', what });
    };
    const onForwarding = (state: ForwardingState): void => {
      this.events.add({ kind: 'forwarding', ...state });
    };
    this.datapath =
      found?.open(this.gateway, { onForwarding, onPutBack }) ??
      new TunGatewayDatapath(this.gateway, {
        onPutBack,
        plumbing,
        routes: gateway.routes,
        offload: options.offload ?? true,
      });
    let destinations: LiveDestinations | TableDestinations | undefined;
    try {
      destinations = this.#openDestinations(options);
      this.destinations = destinations;
      this.#watch = new GatewayWatch(
        this.gateway,
        destinations,
        this.events,
        (pathId) => gateway.routes.find((route) => route.pathId === pathId)?.name ?? String(pathId),
        () => {
          const { leftOutDestinations = 0, leftOutPrefixes = 0 } = this.datapath.kernelStatus ?? {};
          return { destinations: leftOutDestinations, prefixes: leftOutPrefixes };
        },
      );
      options.onDevicesOpen?.();
      Membership.check(options.share);
      this.#followDown();
      this.#begin(options.onInterval);
      this.datapath.leadThrough();
      this.#membership.use(options.share);
    } catch (error) {
      this.datapath.abandon();
      if (destinations instanceof TableDestinations) destinations.close();
      throw error;
    }
  }

  /**
   * Counters now; the figures of the last complete update interval among them.
   *
   * @param maxDestinations - how many destinations to list; default all
   */
  status(maxDestinations = Infinity): GatewayDaemonStatus {
    const tables = this.destinations instanceof TableDestinations ? this.destinations.status() : null;
    this.datapath.readFigures();
    return {
      ...this.gateway.status(maxDestinations),
      datapath: this.datapath.name,
      kernel: this.datapath.kernelStatus ?? null,
      loop: this.datapath.loopStats,
      tables,
      devices: this.reportDevices(),
      share: this.#membership.status,
    };
  }

  /** The counters of the TUNs by name; none with a datapath in the kernel. */
  reportDevices(): Record<string, DeviceReport> {
    return this.datapath.reportDevices();
  }

  /** How the packet loop spent itself. */
  get loopReport(): LoopReport {
    return this.datapath.loopReport;
  }

  /** True while the datapath has what it needs. */
  get isHealthy(): boolean {
    return this.datapath.isHealthy;
  }

  /** Whether packets have been moved as they came since the last call; see `PacketLoop.checkTurning`. */
  checkTurning(): boolean {
    return this.datapath.checkTurning();
  }

  /**
   * Follows the machine: routes whose device went down are withdrawn, and brought back with it; what somebody took away of
   * the daemon's rules, tables and settings is put back.
   *
   * @returns names of the routes that changed
   * @throws PreflexError ERR_SYSTEM when the machine refuses something; all else is done, and the next call tries again
   */
  refresh(): string[] {
    const { down, failure } = this.datapath.followMachine();
    if (down !== undefined) this.#unplumbedRoutes = down;
    const changed = this.#followDown();
    if (failure !== undefined) throw failure;
    return changed;
  }

  /** Names of the routes that were drained and not undrained since. */
  get drainedRoutes(): readonly string[] {
    return [...this.#drained];
  }

  /**
   * Takes a route out of use, or back into use, whether or not its device is up. Flows pinned to it go over other
   * routes from their next packet on.
   *
   * @throws PreflexError ERR_INVALID_OPTION for an unknown name, or the last route that is in use
   */
  drain(name: string, isDrained: boolean): void {
    const names = [...this.#pathIdOfName.keys()];
    if (!names.includes(name)) throw invalidOption('route', name, `one of ${names.join(', ')}`);
    const others = names.filter((other) => other !== name && !this.#withdrawn.has(other));
    if (isDrained && others.length === 0)
      throw invalidOption('drain', name, 'a route beside which another is up and not drained');
    if (isDrained === this.#drained.has(name)) return;
    if (isDrained) this.#drained.add(name);
    else this.#drained.delete(name);
    this.events.add({ kind: isDrained ? 'routeDrained' : 'routeUndrained', route: name });
    this.#withdrawRoutes();
  }

  /**
   * Takes over what can change at run time, without a gap: strategy and interval at the end of the running interval,
   * destinations, the domain, limits, neighbours and rules of inferring failures at once. Of the options nothing else is
   * looked at.
   *
   * @throws PreflexError ERR_INVALID_OPTION or ERR_SYSTEM; then nothing has changed
   */
  reconfigure(options: Pick<GatewayDaemonOptions, 'gateway' | 'destinations' | 'plumbing' | 'share'>): void {
    if (this.#isStopped) throw new PreflexError('ERR_INVALID_OPTION', 'this gateway is stopped already');
    checkGatewayOptions(options.gateway);
    Membership.check(options.share);
    const prefixes = options.plumbing.destinations.map((text) => parsePrefix(text)!);
    this.datapath.divert(prefixes);
    this.destinations.replace(options.destinations);
    this.gateway.useBalancing(options.gateway);
    this.gateway.usePolicy(options.gateway);
    this.datapath.policyChanged();
    this.#membership.use(options.share);
  }

  /**
   * Leads the traffic past the daemon again, forwards what still waits, and removes the TUNs; programs in the kernel go
   * on.
   *
   * @returns the counters at the end
   * @throws PreflexError ERR_SYSTEM when not everything could be taken back
   */
  stop(): GatewayDaemonStatus {
    if (this.#isStopped) throw new PreflexError('ERR_INVALID_OPTION', 'this gateway is stopped already');
    this.#isStopped = true;
    // Whatever cannot be taken back: all else is given back.
    try {
      this.datapath.stop();
      return this.status();
    } finally {
      this.#membership.stop();
      if (this.destinations instanceof TableDestinations) this.destinations.close();
      this.datapath.close();
    }
  }

  /** Without tables the destinations are those of the options. */
  #openDestinations({
    gateway,
    destinations,
    plumbing,
  }: GatewayDaemonOptions): LiveDestinations | TableDestinations {
    const resolved = resolveGatewayPlumbing(plumbing);
    if (!resolved.routes.some((route) => route.isTableForeign))
      return new LiveDestinations(this.datapath.destinationTable, destinations);
    return TableDestinations.open(this.datapath.destinationTable, {
      routes: gateway.routes.map(({ pathId, name }) => {
        const route = resolved.routes.find((candidate) => candidate.name === name);
        if (route === undefined) throw noDevice(name);
        const { device, families, isTableForeign, routeTable } = route;
        return { name, pathId, device, families, table: isTableForeign ? routeTable : undefined };
      }),
      families: resolved.families,
      destinations,
      onLinks: () => this.#followDown(),
    });
  }

  /** Withdraws routes that went down, and brings back those that came up. */
  #followDown(): string[] {
    const { destinations } = this;
    const untabled = destinations instanceof TableDestinations ? destinations.downRoutes() : [];
    const before = this.#downRoutes;
    this.#downRoutes = [...this.#unplumbedRoutes, ...untabled];
    for (const route of this.#pathIdOfName.keys()) {
      const isDown = this.#downRoutes.includes(route);
      if (isDown !== before.includes(route))
        this.events.add({ kind: isDown ? 'routeDown' : 'routeUp', route });
    }
    return this.#withdrawRoutes();
  }

  #withdrawRoutes(): string[] {
    const changed: string[] = [];
    for (const [name, pathId] of this.#pathIdOfName) {
      const isWithdrawn = this.#downRoutes.includes(name) || this.#drained.has(name);
      if (isWithdrawn === this.#withdrawn.has(name)) continue;
      if (isWithdrawn) this.#withdrawn.add(name);
      else this.#withdrawn.delete(name);
      this.gateway.setRouteUp(pathId, !isWithdrawn);
      changed.push(name);
    }
    if (changed.length === 0) return changed;
    this.datapath.routesChanged();
    this.#membership.routesChanged();
    return changed;
  }

  #sharedRoutes(): SharedRoute[] {
    return [...this.#pathIdOfName].map(([name, pathId]) => {
      const state = this.#drained.has(name) ? 'drained' : this.#downRoutes.includes(name) ? 'down' : 'up';
      return { name, pathId, state };
    });
  }

  #begin(onInterval: (() => void) | undefined): void {
    const { core } = this.datapath;
    const gateway = notifying(core ?? this.gateway, this.gateway, () => {
      this.#watch.lookAtRatios();
      onInterval?.();
    });
    this.datapath.begin([gateway, this.#watch, this.#membership]);
  }
}

/** The deadlines of a gateway and of its datapath, with a call after each complete interval. */
function notifying(core: TimedCore, gateway: PrefGateway, onInterval: () => void): TimedCore {
  return {
    pollTimeout: () => core.pollTimeout(),
    handleTimeout: (nowNs) => {
      const { intervals } = gateway;
      core.handleTimeout(nowNs);
      if (gateway.intervals !== intervals) onInterval();
    },
  };
}
