/**
 * The datapath of a gateway in this process: the PREF core between the TUN toward the inside and one TUN for each route.
 *
 *      inside --> pref-in --> PrefGateway.handleOutbound --> pref-NAME --> route NAME
 *      inside <-- pref-in <-- PrefGateway.handleInbound  <-- pref-NAME <-- route NAME
 *
 * gateway-plan.ts draws the whole way of a packet.
 */
import type { Device, PacketBatch } from '../device/device.ts';
import { TunDevice } from '../device/tun-device.ts';
import { PreflexError } from '../errors.ts';
import type { PrefGateway } from '../pref/gateway.ts';
import type { DeviceReport } from './device-report.ts';
import { reportDevices, requireDeviceMtu } from './device-report.ts';
import { Attempts } from './attempts.ts';
import type { Followed, GatewayDatapath } from './gateway-datapath.ts';
import type { GatewayPlumbingOptions } from './gateway-plumbing-options.ts';
import { GatewayPlumbing } from './gateway-plumbing.ts';
import type { BatchHandler, LoopReport, LoopStats, TimedCore } from './packet-loop.ts';
import { PacketLoop } from './packet-loop.ts';
import type { Prefix } from './prefixes.ts';
import type { RecoveredJournal } from './undo-journal.ts';

const INSIDE_TUN = 'pref-in';

/** Options of a {@link TunGatewayDatapath}. */
export interface TunDatapathOptions {
  readonly plumbing: GatewayPlumbingOptions;
  /** Routes of the gateway; each has one of the same name in the plumbing. */
  readonly routes: readonly { readonly name: string; readonly pathId: number }[];
  /** Read super-packets. */
  readonly offload: boolean;
  /** Told what {@link TunGatewayDatapath.followMachine} puts back, in words. */
  readonly onPutBack: (what: readonly string[]) => void;
}

/** A gateway's TUNs and what moves packets between them. It works in the network namespace of the process. */
export class TunGatewayDatapath implements GatewayDatapath {
  readonly name = 'tun';
  readonly core = undefined;
  readonly kernelStatus = undefined;
  readonly destinationTable: PrefGateway;
  readonly #options: TunDatapathOptions;
  readonly #loop = new PacketLoop();
  readonly #inside: TunDevice;
  /** The TUN of each route, by path ID. */
  readonly #routes = new Map<number, TunDevice>();
  #plumbing: GatewayPlumbing | undefined;

  /** Opens the TUNs. @throws PreflexError ERR_INVALID_OPTION, ERR_SYSTEM; then nothing stays behind */
  constructor(gateway: PrefGateway, options: TunDatapathOptions) {
    this.destinationTable = gateway;
    this.#options = options;
    const { offload, plumbing, routes } = options;
    this.#inside = TunDevice.open({
      offload,
      name: plumbing.insideTun ?? INSIDE_TUN,
      mtu: requireDeviceMtu(plumbing.insideDevice),
    });
    try {
      for (const { pathId, name } of routes) {
        const route = plumbing.routes.find((candidate) => candidate.name === name);
        if (route === undefined) throw noDevice(name);
        this.#routes.set(
          pathId,
          TunDevice.open({
            offload,
            name: route.tun ?? `pref-${name}`,
            mtu: requireDeviceMtu(route.device),
          }),
        );
      }
    } catch (error) {
      this.close();
      throw error;
    }
  }

  get warnings(): readonly string[] {
    return this.#plumbing?.warnings ?? [];
  }

  get recovered(): readonly RecoveredJournal[] {
    return this.#plumbing?.recovered ?? [];
  }

  get loopStats(): LoopStats {
    return this.#loop.stats;
  }

  get loopReport(): LoopReport {
    return this.#loop.report();
  }

  /** True while every TUN exists; they can be taken away with `ip link del`. */
  get isHealthy(): boolean {
    return this.#inside.isOpen && [...this.#routes.values()].every((device) => device.isOpen);
  }

  begin(cores: readonly TimedCore[]): void {
    const gateway = this.destinationTable;
    const byPathId: (Device | undefined)[] = [];
    for (const [pathId, device] of this.#routes) byPathId[pathId] = device;
    this.#loop.addPump(this.#inside, new OutboundHandler(gateway, byPathId));
    for (const [pathId, device] of this.#routes) {
      this.#loop.addPump(device, new InboundHandler(gateway, pathId, this.#inside));
    }
    for (const core of cores) this.#loop.addCore(core);
    this.#loop.start();
  }

  leadThrough(): void {
    this.#plumbing = GatewayPlumbing.setUp(this.#options.plumbing, this.#options.onPutBack);
  }

  checkTurning(): boolean {
    return this.#loop.checkTurning();
  }

  readFigures(): void {
    // They are the gateway's own.
  }

  readFlow(): void {
    // Likewise.
  }

  routesChanged(): void {
    // The gateway looks at its own.
  }

  policyChanged(): void {
    // Likewise.
  }

  divert(destinations: readonly Prefix[]): void {
    this.#plumbing?.divert(destinations);
  }

  followMachine(): Followed {
    const attempts = new Attempts();
    const down = attempts.try(() => this.#plumbing?.refresh());
    attempts.try(() => this.#plumbing?.putBack());
    return { down, failure: attempts.failure };
  }

  reportDevices(): Record<string, DeviceReport> {
    return reportDevices([this.#inside, ...this.#routes.values()]);
  }

  abandon(): void {
    this.#loop.stop();
    this.close();
  }

  stop(): void {
    try {
      this.#plumbing?.tearDown();
    } finally {
      this.#loop.stop();
    }
  }

  close(): void {
    this.#inside.close();
    for (const device of this.#routes.values()) device.close();
  }
}

/** The error for a route of the gateway that the plumbing does not know. */
export function noDevice(name: string): PreflexError {
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
