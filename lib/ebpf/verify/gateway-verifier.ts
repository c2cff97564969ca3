/**
 * One truth: the same packets at the same times through the steps of the TypeScript gateway (lib/pref) and through the
 * programs in the kernel (BPF_PROG_TEST_RUN), which must agree on route, reason, bytes, mark, counters, meters and
 * credits.
 */
import { handleInbound } from '../../pref/inbound.ts';
import { GatewayCore } from '../../pref/gateway-core.ts';
import type { GatewayOptions, GatewaySettings } from '../../pref/gateway-options.ts';
import { checkGatewayOptions } from '../../pref/gateway-options.ts';
import { METER_FIELDS } from '../../pref/meter.ts';
import { handleOutbound } from '../../pref/outbound.ts';
import { REASON_NAMES } from '../../pref/reasons.ts';
import { FIELD_CREDIT, weightOf } from '../../pref/route-table.ts';
import { parsePrefix } from '../../wire/addr.ts';
import { GatewayPrograms } from '../gateway-programs.ts';
import { DEFAULT_MARK_MASK, markShift } from '../gateway-settings.ts';
import type { GatewayStep } from './gateway-sequence.ts';
import { KernelRun } from './kernel-run.ts';
import type { PacketWriter } from './packet-writer.ts';
import { ETHERNET_BYTES } from './packet-writer.ts';
import { TwinDetector } from './twin-detector.ts';

/** Index of the device toward the inside, and of each route's by slot from the next one on, in test runs. */
const INSIDE_DEVICE = 1;
const FIRST_ROUTE_DEVICE = 2;
/** Routes, destinations and entries of the FNE memory that a sequence has at most. */
const MAX_ROUTES = 15;
const MAX_DESTINATIONS = 8;
const MAX_MEMORY = 256;

/** The programs in the kernel, the core, and what both are given. */
export class GatewayVerifier {
  readonly #programs: GatewayPrograms;
  readonly #kernel: KernelRun;
  #core: GatewayCore;
  #detector: TwinDetector;
  #suspendedAtNs = 0;

  /** @throws PreflexError when the programs cannot be loaded */
  constructor() {
    const routes = Array.from({ length: MAX_ROUTES }, (_, i) => ({ pathId: i + 1, name: `r${i}` }));
    const settings = checkGatewayOptions({ routes, scheme: 'full', fneMemoryEntries: MAX_MEMORY });
    this.#programs = new GatewayPrograms({
      purpose: 'test',
      gateway: settings,
      traffic: { markMask: DEFAULT_MARK_MASK },
      destinations: MAX_DESTINATIONS,
    });
    this.#kernel = new KernelRun(this.#programs.spec.btf, {
      outbound: this.#programs.programFd('outbound'),
      inbound: this.#programs.programFd('inbound'),
    });
    this.#core = new GatewayCore(settings);
    this.#detector = new TwinDetector(settings.failures, this.#core.table, () => 0);
  }

  /** The frame to be handled: written by the caller. */
  get writer(): PacketWriter {
    return this.#kernel.writer;
  }

  /** The IP packet as the program left it last. */
  get result(): Uint8Array {
    return this.#kernel.result;
  }

  /** Path ID of the route of the packet handled last, or that was assigned to it; 0 = none. */
  get pathId(): number {
    return this.#kernel.verdict >>> 8;
  }

  /** The gateway core. Who changes it says so to {@link sync}. */
  get core(): GatewayCore {
    return this.#core;
  }

  /** The detector of the core. */
  get detector(): TwinDetector {
    return this.#detector;
  }

  /** The programs. */
  get programs(): GatewayPrograms {
    return this.#programs;
  }

  /**
   * Both begin anew with these options.
   *
   * @param options - with an FNE memory of 256 entries at most, which is the default here
   * @param destinations - prefixes and path IDs of each
   */
  restart(
    options: GatewayOptions,
    destinations: readonly { readonly prefixes: readonly string[]; readonly pathIds: readonly number[] }[],
  ): void {
    const settings = checkGatewayOptions({ fneMemoryEntries: MAX_MEMORY, ...options });
    const core = new GatewayCore(settings);
    const detector = new TwinDetector(settings.failures, core.table, (count) =>
      core.balancer.probeShare(count),
    );
    // The one place where a core has another detector than its own.
    (core as { failures: GatewayCore['failures'] }).failures = detector;
    this.#core = core;
    this.#detector = detector;
    this.#suspendedAtNs = 0;
    this.#programs.forget();
    this.configure(settings);
    this.#programs.setDevice(INSIDE_DEVICE, { linkHeaderBytes: ETHERNET_BYTES, pathId: 0, isInside: true });
    for (const [slot, { pathId }] of settings.routes.entries()) {
      const device = { linkHeaderBytes: ETHERNET_BYTES, pathId, isInside: false };
      this.#programs.setDevice(FIRST_ROUTE_DEVICE + slot, device);
    }
    for (const { prefixes, pathIds } of destinations) {
      let allowed = 0;
      for (const pathId of pathIds) allowed |= 1 << core.table.slotOf[pathId];
      const destination = core.table.add(allowed);
      core.table.upMask(destination);
      this.#programs.resetDestination(destination, this.#creditsInCore(destination));
      this.sync(destination);
      for (const text of prefixes) this.setPrefix(text, destination);
    }
  }

  /** Tells both that a route was suspended at that time. */
  noteSuspension(nowNs: number): void {
    this.#detector.suspendedAtMs = Math.floor(nowNs / 1e6);
    this.#suspendedAtNs = nowNs;
    this.configure(this.#core.settings);
  }

  /** Gives both other settings; the core has them already. */
  configure(settings: GatewaySettings): void {
    this.#programs.configure(settings, {
      markMask: DEFAULT_MARK_MASK,
      suspendedAtNs: this.#suspendedAtNs,
    });
  }

  /** Gives a prefix to a destination in both. */
  setPrefix(text: string, destination: number): void {
    const prefix = parsePrefix(text);
    this.#core.prefixes.insert(prefix.version, prefix.words, prefix.length, destination);
    this.#programs.setPrefix(prefix, destination);
    this.#programs.publishPrefixes();
  }

  /** Takes a prefix away from both. */
  removePrefix(text: string): void {
    const prefix = parsePrefix(text);
    this.#core.prefixes.remove(prefix.version, prefix.words, prefix.length);
    this.#programs.removePrefix(prefix);
    this.#programs.publishPrefixes();
  }

  /** Tells the programs what the core has for a destination. */
  sync(destination: number): void {
    const { table } = this.#core;
    const upMask = table.upMask(destination);
    this.#programs.setDestination(destination, {
      allowedMask: table.allowedMask(destination),
      upMask,
      suspendedMask: this.#detector.suspensions.maskOf(destination),
      weights: Array.from({ length: table.routeCount }, (_, slot) =>
        weightOf(table.ratio(destination, slot)),
      ),
    });
  }

  /**
   * Gives the packet in the writer to both.
   *
   * @param mark - of the packet before
   * @param slot - of the route that an inbound packet comes by
   * @returns the reason, or a text that says how they differ
   */
  handle(step: GatewayStep, mark = 0, slot = 0): number | string {
    const { isOutbound, length, nowNs, gsoSize } = step;
    const core = this.#core;
    const kernel = this.#kernel;
    const device = isOutbound ? INSIDE_DEVICE : FIRST_ROUTE_DEVICE + slot;
    const view = kernel.run(step, device, { mark, gso_size: gsoSize });
    const pathId = isOutbound
      ? handleOutbound(core, view, 0, length, nowNs, gsoSize)
      : handleInbound(core, view, 0, length, nowNs, core.table.pathIdOf[slot], gsoSize);
    const difference = kernel.compare(core.reason | (pathId << 8), REASON_NAMES);
    if (difference !== undefined) return difference;
    const shift = markShift(DEFAULT_MARK_MASK, MAX_ROUTES);
    const expected = isOutbound ? ((mark & ~DEFAULT_MARK_MASK) | (pathId << shift)) >>> 0 : mark;
    return kernel.mark === expected ? core.reason : `mark ${kernel.mark} in the kernel, ${expected} expected`;
  }

  /** A text that says how counters, meters or credits differ; undefined when they are alike. */
  compareBooks(): string | undefined {
    const core = this.#core;
    const { table } = core;
    const { pref } = this.#programs.counters();
    for (const name of [
      'packets',
      'events',
      'notLectBytes',
      'unroutedLexMarkedBytes',
      'inboundBytes',
    ] as const) {
      const [kernel, own] = [pref[name].join(), core.counters[name].join()];
      if (kernel !== own) return `${name}: ${kernel} in the kernel, ${own} in TypeScript`;
    }
    const meters = this.#programs.readMeters(table.size);
    for (let destination = 0; destination < table.size; destination++) {
      for (let slot = 0; slot < table.routeCount; slot++) {
        for (let field = 0; field < METER_FIELDS; field++) {
          const kernel = meters[(destination * table.routeCount + slot) * METER_FIELDS + field];
          const own = core.meter.total(destination, slot, field);
          if (kernel !== own)
            return `meter ${field} of ${destination}/${slot}: ${kernel} in the kernel, ${own} in TypeScript`;
        }
      }
      const [kernel, own] = [this.#programs.creditsOf(destination), this.#creditsInCore(destination)];
      if (kernel.join() !== own.join())
        return `credits of ${destination}: ${kernel.join()} in the kernel, ${own.join()} in TypeScript`;
    }
    return undefined;
  }

  close(): void {
    this.#programs.close();
  }

  #creditsInCore(destination: number): number[] {
    const { table } = this.#core;
    return Array.from({ length: table.routeCount }, (_, slot) => {
      const credit = table.shares[0][table.shareAt(destination, slot) + FIELD_CREDIT];
      return credit === 0 ? 0 : credit;
    });
  }
}
