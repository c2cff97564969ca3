/**
 * The gateway daemon: the PREF core between the TUN toward the inside and one TUN for each route.
 *
 *      inside --> pref-in --> PrefGateway.handleOutbound --> pref-NAME --> route NAME
 *      inside <-- pref-in <-- PrefGateway.handleInbound  <-- pref-NAME <-- route NAME
 *
 * gateway-plan.ts draws the whole way of a packet.
 */
import { randomInt } from 'node:crypto';
import type { Device, PacketBatch } from '../device/device.ts';
import { TunDevice } from '../device/tun-device.ts';
import { PreflexError, invalidOption } from '../errors.ts';
import { PrefGateway } from '../pref/gateway.ts';
import type { GatewayOptions } from '../pref/gateway-options.ts';
import { checkGatewayOptions } from '../pref/gateway-options.ts';
import type { GatewayStatus } from '../pref/gateway-status.ts';
import type { DeviceReport } from './device-report.ts';
import { reportDevices, requireDeviceMtu } from './device-report.ts';
import { EventLog } from './events.ts';
import { GatewayPlumbing } from './gateway-plumbing.ts';
import type { GatewayPlumbingOptions } from './gateway-plan.ts';
import { resolveGatewayPlumbing } from './gateway-plan.ts';
import { GatewayWatch } from './gateway-watch.ts';
import type { GatewayDestination } from './live-destinations.ts';
import { LiveDestinations } from './live-destinations.ts';
import type { TablesStatus } from './table-destinations.ts';
import { TableDestinations } from './table-destinations.ts';
import type { BatchHandler, LoopReport, LoopStats, TimedCore } from './packet-loop.ts';
import { PacketLoop } from './packet-loop.ts';
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
  /** Read super-packets (segmentation offload); default true. */
  readonly offload?: boolean;
  /** The domain whose other gateways it shares its figures with; default none. */
  readonly share?: ShareOptions | undefined;
  /** Called when the TUNs are open, before anything else of the machine is changed: the time to become another user. */
  readonly onDevicesOpen?: (() => void) | undefined;
  /** Called after each complete update interval. */
  readonly onInterval?: () => void;
}

/** What a running gateway shows. */
export interface GatewayDaemonStatus extends GatewayStatus {
  readonly loop: LoopStats;
  /** The kernel's tables that are followed; null when no route has one. */
  readonly tables: TablesStatus | null;
  readonly devices: Record<string, DeviceReport>;
  /** The other gateways of the domain; null for a gateway by itself. */
  readonly share: ShareStatus | null;
}

const INSIDE_TUN = 'pref-in';

/** A running gateway. It works in the network namespace of the process. */
export class GatewayDaemon {
  readonly gateway: PrefGateway;
  readonly plumbing: GatewayPlumbing;
  readonly destinations: LiveDestinations | TableDestinations;
  /** What changed since the start. */
  readonly events = new EventLog();
  readonly #watch: GatewayWatch;
  readonly #loop = new PacketLoop();
  readonly #inside: TunDevice;
  /** The TUN of each route, by path ID. */
  readonly #routes = new Map<number, TunDevice>();
  readonly #pathIdOfName = new Map<string, number>();
  /** Routes with next hops whose device is down. */
  #unplumbedRoutes: readonly string[] = [];
  #downRoutes: readonly string[] = [];
  readonly #drained = new Set<string>();
  readonly #withdrawn = new Set<string>();
  readonly #membership: Membership;
  #isStopped = false;

  /**
   * Opens the TUNs, starts to forward between them and leads the traffic through. Nothing stays behind when a step
   * fails.
   *
   * @throws PreflexError ERR_INVALID_OPTION, ERR_SYSTEM
   */
  static start(options: GatewayDaemonOptions): GatewayDaemon {
    return new GatewayDaemon(options);
  }

  private constructor(options: GatewayDaemonOptions) {
    this.gateway = new PrefGateway({
      seed: randomInt(2 ** 32),
      ...options.gateway,
    });
    this.#membership = new Membership({ core: this.gateway, routes: () => this.#sharedRoutes() });
    const tun = { offload: options.offload ?? true };
    this.#inside = TunDevice.open({
      ...tun,
      name: options.plumbing.insideTun ?? INSIDE_TUN,
      mtu: requireDeviceMtu(options.plumbing.insideDevice),
    });
    try {
      this.destinations = this.#openDestinations(options);
      this.#watch = new GatewayWatch(
        this.gateway,
        this.destinations,
        this.events,
        (pathId) => options.gateway.routes.find((route) => route.pathId === pathId)?.name ?? String(pathId),
      );
      for (const { pathId, name } of options.gateway.routes) {
        const route = options.plumbing.routes.find((candidate) => candidate.name === name);
        if (route === undefined) throw noDevice(name);
        this.#pathIdOfName.set(name, pathId);
        this.#routes.set(
          pathId,
          TunDevice.open({ ...tun, name: route.tun ?? `pref-${name}`, mtu: requireDeviceMtu(route.device) }),
        );
      }
      options.onDevicesOpen?.();
      Membership.check(options.share);
      this.#startLoop(options.onInterval);
      this.#followDown();
      this.plumbing = GatewayPlumbing.setUp(options.plumbing);
      this.#membership.use(options.share);
    } catch (error) {
      this.#loop.stop();
      this.#closeDevices();
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
    return {
      ...this.gateway.status(maxDestinations),
      loop: this.#loop.stats,
      tables,
      devices: this.reportDevices(),
      share: this.#membership.status,
    };
  }

  /** The counters of the TUNs by name. */
  reportDevices(): Record<string, DeviceReport> {
    return reportDevices([this.#inside, ...this.#routes.values()]);
  }

  /** How the packet loop spent itself. */
  get loopReport(): LoopReport {
    return this.#loop.report();
  }

  /** True while every TUN exists; they can be taken away with `ip link del`. */
  get isHealthy(): boolean {
    return this.#inside.isOpen && [...this.#routes.values()].every((device) => device.isOpen);
  }

  /** Whether packets have been moved as they came since the last call; see `PacketLoop.checkTurning`. */
  checkTurning(): boolean {
    return this.#loop.checkTurning();
  }

  /**
   * Follows the machine: routes whose device went down are withdrawn, and brought back with it.
   *
   * @returns names of the routes that changed
   */
  refresh(): string[] {
    this.#unplumbedRoutes = this.plumbing.refresh();
    return this.#followDown();
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
    this.plumbing.divert(prefixes);
    this.destinations.replace(options.destinations);
    this.gateway.useBalancing(options.gateway);
    this.gateway.usePolicy(options.gateway);
    this.#membership.use(options.share);
  }

  /**
   * Leads the traffic past the daemon again, forwards what still waits, and removes the TUNs.
   *
   * @returns the counters at the end
   */
  stop(): GatewayDaemonStatus {
    if (this.#isStopped) throw new PreflexError('ERR_INVALID_OPTION', 'this gateway is stopped already');
    this.#isStopped = true;
    try {
      this.plumbing.tearDown();
    } finally {
      this.#loop.stop();
    }
    const status = this.status();
    this.#membership.stop();
    this.#closeDevices();
    return status;
  }

  /** Without tables the destinations are those of the options. */
  #openDestinations({
    gateway,
    destinations,
    plumbing,
  }: GatewayDaemonOptions): LiveDestinations | TableDestinations {
    const resolved = resolveGatewayPlumbing(plumbing);
    if (!resolved.routes.some((route) => route.isTableForeign))
      return new LiveDestinations(this.gateway, destinations);
    return TableDestinations.open(this.gateway, {
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
    if (changed.length > 0) this.#membership.routesChanged();
    return changed;
  }

  #sharedRoutes(): SharedRoute[] {
    return [...this.#pathIdOfName].map(([name, pathId]) => {
      const state = this.#drained.has(name) ? 'drained' : this.#downRoutes.includes(name) ? 'down' : 'up';
      return { name, pathId, state };
    });
  }

  #startLoop(onInterval: (() => void) | undefined): void {
    const byPathId: (Device | undefined)[] = [];
    for (const [pathId, device] of this.#routes) byPathId[pathId] = device;
    this.#loop.addPump(this.#inside, new OutboundHandler(this.gateway, byPathId));
    for (const [pathId, device] of this.#routes) {
      this.#loop.addPump(device, new InboundHandler(this.gateway, pathId, this.#inside));
    }
    this.#loop.addCore(
      notifying(this.gateway, () => {
        this.#watch.lookAtRatios();
        onInterval?.();
      }),
    );
    this.#loop.addCore(this.#watch);
    this.#loop.addCore(this.#membership);
    this.#loop.start();
  }

  #closeDevices(): void {
    if (this.destinations instanceof TableDestinations) this.destinations.close();
    this.#inside.close();
    for (const device of this.#routes.values()) device.close();
  }
}

function noDevice(name: string): PreflexError {
  return new PreflexError('ERR_INVALID_OPTION', `routes: "${name}" has a path ID, but no device`);
}

/** Sends what comes from inside by the route of its verdict; verdict 0 by the default route, the first one. */
class OutboundHandler implements BatchHandler {
  readonly #gateway: PrefGateway;
  readonly #routes: readonly (Device | undefined)[];
  readonly #default: Device;

  constructor(gateway: PrefGateway, routes: readonly (Device | undefined)[]) {
    this.#gateway = gateway;
    this.#routes = routes;
    this.#default = routes.find((route) => route !== undefined)!;
  }

  handleBatch(batch: PacketBatch, nowNs: number): void {
    for (let i = 0; i < batch.count; i++) {
      const pathId = this.#gateway.handleOutbound(
        batch.view,
        batch.at[i],
        batch.length[i],
        nowNs,
        batch.gsoSize[i],
      );
      (this.#routes[pathId] ?? this.#default).write(batch, i);
    }
  }
}

/** Assigns paths to what comes from one route. */
class InboundHandler implements BatchHandler {
  readonly #gateway: PrefGateway;
  readonly #pathId: number;
  readonly #inside: Device;

  constructor(gateway: PrefGateway, pathId: number, inside: Device) {
    this.#gateway = gateway;
    this.#pathId = pathId;
    this.#inside = inside;
  }

  handleBatch(batch: PacketBatch, nowNs: number): void {
    for (let i = 0; i < batch.count; i++) {
      this.#gateway.handleInbound(
        batch.view,
        batch.at[i],
        batch.length[i],
        nowNs,
        this.#pathId,
        batch.gsoSize[i],
      );
      this.#inside.write(batch, i);
    }
  }
}

/** The gateway's deadlines, with a call after each complete interval. */
function notifying(gateway: PrefGateway, onInterval: () => void): TimedCore {
  return {
    pollTimeout: () => gateway.pollTimeout(),
    handleTimeout: (nowNs) => {
      const { intervals } = gateway;
      gateway.handleTimeout(nowNs);
      if (gateway.intervals !== intervals) onInterval();
    },
  };
}
