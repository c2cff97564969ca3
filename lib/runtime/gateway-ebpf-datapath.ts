/**
 * The datapath of a gateway in the kernel: programs on its devices (lib/ebpf/gateway-kernel.ts), policy routing by mark
 * (gateway-kernel-plan.ts), and this process beside them, which keeps them and the PREF core alike
 * (lib/ebpf/gateway-sync.ts). Programs, rules and tables go on when it ends, however it ends, and the next one takes them
 * over.
 */
import type { Attachment } from '../ebpf/attachment.ts';
import { GatewayKernel } from '../ebpf/gateway-kernel.ts';
import { GatewaySync } from '../ebpf/gateway-sync.ts';
import { invalidOption, isForeseen } from '../errors.ts';
import { namespaceInode } from '../netns/index.ts';
import type { GatewayOptions } from '../pref/gateway-options.ts';
import { checkGatewayOptions } from '../pref/gateway-options.ts';
import type { PrefGateway } from '../pref/gateway.ts';
import type { FlowEnds } from '../pref/preview.ts';
import { nowNs } from '../sys/clock.ts';
import { Attempts } from './attempts.ts';
import { executeIn } from './change.ts';
import type { KernelForwarding } from './config-schema.ts';
import type { DeviceReport } from './device-report.ts';
import { ForwardingOnlookers } from './forwarding-onlookers.ts';
import type { ForwardingState } from './forwarding-watch.ts';
import { ForwardingWatch } from './forwarding-watch.ts';
import type { Followed, GatewayDatapath, KernelDatapathStatus } from './gateway-datapath.ts';
import { GatewayInside } from './gateway-inside.ts';
import { kernelTables, ownTables, planKernelPlumbing, tablesByPathId } from './gateway-kernel-plan.ts';
import type { GatewayPlumbingOptions, ResolvedGatewayPlumbing } from './gateway-plumbing-options.ts';
import { resolveGatewayPlumbing } from './gateway-plumbing-options.ts';
import { noDevice } from './gateway-tun-datapath.ts';
import { KeptChanges } from './kept-changes.ts';
import { readMachineState } from './machine-state.ts';
import type { MarkMask } from './mark-mask.ts';
import { DEFAULT_MARK_MASK, requireMarkMask } from './mark-mask.ts';
import type { LoopReport, LoopStats, TimedCore } from './packet-loop.ts';
import { PacketLoop } from './packet-loop.ts';
import type { Prefix } from './prefixes.ts';
import { refreshRouteTables } from './route-tables.ts';
import type { RecoveredJournal } from './undo-journal.ts';
import { UndoJournal } from './undo-journal.ts';

/** What is only of the datapath in the kernel. */
export interface KernelOptions {
  /** Bits of the packets' mark that say the route; default 0x3f000000. */
  readonly markMask?: number | undefined;
  /** Destinations there is room for in the kernel, 1 to 2^20; default 4,096, with followed tables 131,072. */
  readonly destinations?: number | undefined;
  /**
   * Who sends packets by their routes: the kernel's forwarding, the programs themselves, or these while nobody wants to
   * see the packets. Default auto.
   */
  readonly forwarding?: KernelForwarding | undefined;
  /** Default: TCX if the kernel has it, else clsact. */
  readonly attachment?: Attachment | undefined;
}

const DEFAULT_DESTINATIONS = 4096;
const DEFAULT_TABLE_DESTINATIONS = 131_072;

/** What an earlier daemon left, before the gateway is made that goes on with it. */
export interface FoundDatapath {
  /** The seed of its flow hash; undefined when there was none. */
  readonly seed: number | undefined;
  /**
   * Loads the programs; everything is given back when that fails.
   *
   * @param listener - told what happens
   */
  open(gateway: PrefGateway, listener: KernelListener): EbpfGatewayDatapath;
}

/** Is told what happens to the datapath. */
export interface KernelListener {
  /** Who sends packets, first and whenever it changes, with `forwarding: auto`. */
  readonly onForwarding: (state: ForwardingState) => void;
  /** What was put back that somebody took away, in words. */
  readonly onPutBack: (what: readonly string[]) => void;
}

/** Programs on the devices of a gateway. It works in the network namespace of the process. */
export class EbpfGatewayDatapath implements GatewayDatapath {
  readonly name = 'ebpf';
  readonly destinationTable: GatewaySync['destinations'];
  readonly core: GatewaySync;
  readonly #kernel: GatewayKernel;
  readonly #journal: UndoJournal;
  readonly #mark: MarkMask;
  readonly #pathIds: ReadonlyMap<string, number>;
  readonly #forwarding: KernelForwarding;
  readonly #loop = new PacketLoop();
  readonly #plumbing: ResolvedGatewayPlumbing;
  readonly #inside: GatewayInside;
  readonly #watch: ForwardingWatch | undefined;
  readonly #onPutBack: (what: readonly string[]) => void;
  #kept: KeptChanges | undefined;
  #warnings: readonly string[] = [];

  /**
   * Looks for what an earlier daemon left, and makes sure that none is running.
   *
   * @throws PreflexError ERR_INVALID_OPTION, ERR_MISSING_REQUIREMENT, ERR_SYSTEM; then nothing has changed
   */
  static find(
    plumbing: GatewayPlumbingOptions,
    options: GatewayOptions,
    { attachment, destinations, forwarding = 'auto', markMask = DEFAULT_MARK_MASK }: KernelOptions,
  ): FoundDatapath {
    if (plumbing.netns !== undefined)
      throw invalidOption('netns', plumbing.netns, 'nothing with the eBPF datapath');
    const resolved = resolveGatewayPlumbing(plumbing);
    const mark = requireMarkMask('markMask', markMask);
    const settings = checkGatewayOptions(options);
    const devices = settings.routes.map(({ name, pathId }) => {
      const route = resolved.routes.find((candidate) => candidate.name === name);
      if (route === undefined) throw noDevice(name);
      return { device: route.device, pathId };
    });
    const hasTables = resolved.routes.some((route) => route.isTableForeign);
    const journal = openJournal(resolved.insideDevice, plumbing.journalDirectory);
    try {
      const kernel = new GatewayKernel(
        {
          insideDevice: resolved.insideDevice,
          routes: devices,
          scheme: settings.scheme.name,
          destinations: destinations ?? (hasTables ? DEFAULT_TABLE_DESTINATIONS : DEFAULT_DESTINATIONS),
          memoryEntries: settings.fneMemoryEntries,
          attachment,
        },
        journal.isTakenOver,
      );
      return {
        seed: kernel.seed,
        open: (gateway, listener) => {
          try {
            return new EbpfGatewayDatapath(gateway, kernel, journal, resolved, mark, {
              ...listener,
              forwarding,
            });
          } catch (error) {
            giveUp(kernel, journal);
            throw error;
          }
        },
      };
    } catch (error) {
      if (journal.isTakenOver) journal.leave();
      else journal.close();
      throw error;
    }
  }

  /**
   * Takes programs, memories, counters, rules and tables away.
   *
   * @param insideDevice - of the gateway
   * @returns false when there was nothing
   * @throws PreflexError ERR_SYSTEM "already running" when a daemon is there
   */
  static detach(insideDevice: string, journalDirectory?: string): boolean {
    const journal = openJournal(insideDevice, journalDirectory);
    const hadPlumbing = journal.isTakenOver;
    // First: a mark that leads nowhere is harmless, one that no program sets as well.
    journal.close();
    return GatewayKernel.detach(insideDevice) || hadPlumbing;
  }

  private constructor(
    gateway: PrefGateway,
    kernel: GatewayKernel,
    journal: UndoJournal,
    plumbing: ResolvedGatewayPlumbing,
    mark: MarkMask,
    { forwarding, onForwarding, onPutBack }: KernelListener & { readonly forwarding: KernelForwarding },
  ) {
    this.#kernel = kernel;
    this.#journal = journal;
    this.#plumbing = plumbing;
    this.#mark = mark;
    this.#onPutBack = onPutBack;
    const port = gateway.openPort();
    this.#pathIds = new Map(port.settings.routes.map(({ name, pathId }) => [name, pathId]));
    this.#forwarding = forwarding;
    const traffic = {
      markMask: mark.mask,
      suspendedAtNs: kernel.suspendedAtNs,
      ownTables: ownTables(plumbing, this.#pathIds),
      ...(forwarding === 'kernel' ? {} : { redirectTables: tablesByPathId(plumbing, this.#pathIds) }),
      // Before anybody has looked.
      ...(forwarding === 'auto' ? { redirectUntilNs: 0 } : {}),
    };
    kernel.load(port.settings, traffic);
    this.core = new GatewaySync(gateway, port, kernel.programs, traffic, kernel.isTakenOver);
    this.destinationTable = this.core.destinations;
    this.#inside = new GatewayInside(this.core, plumbing);
    try {
      this.#inside.follow();
    } catch (error) {
      this.core.abandon();
      throw error;
    }
    if (forwarding === 'auto') this.#watch = this.#watchForwarding(onForwarding);
  }

  get warnings(): readonly string[] {
    return this.#warnings;
  }

  get recovered(): readonly RecoveredJournal[] {
    return this.#journal.recovered;
  }

  get kernelStatus(): KernelDatapathStatus {
    return {
      attachment: this.#kernel.attachment ?? 'tcx',
      isTakenOver: this.#kernel.isTakenOver,
      forwarding: this.#forwarding,
      forwardingBy: this.#watch?.state.by ?? (this.#forwarding === 'redirect' ? 'redirect' : 'kernel'),
      forwardingReason: this.#watch?.state.reason ?? null,
      redirected: this.core.redirected,
      reports: this.core.reports,
      reportsLost: this.core.reportsLost,
      leftOutDestinations: this.destinationTable.leftOut,
      leftOutPrefixes: this.destinationTable.leftOutPrefixes,
      refusedDevices: this.#kernel.refused,
    };
  }

  get loopStats(): LoopStats {
    return this.#loop.stats;
  }

  get loopReport(): LoopReport {
    return this.#loop.report();
  }

  /** False when somebody took the programs off. */
  get isHealthy(): boolean {
    return this.#kernel.isPinned;
  }

  begin(cores: readonly TimedCore[]): void {
    this.core.begin();
    this.#kernel.attach();
    for (const core of cores) this.#loop.addCore(core);
    if (this.#watch !== undefined) this.#loop.addCore(this.#watch);
    this.#loop.start();
  }

  leadThrough(): void {
    const state = readMachineState(
      {},
      {
        families: this.#plumbing.families,
        tables: kernelTables(this.#plumbing),
        peerKeys: this.#journal.peerKeys(),
      },
    );
    const standing = new Set(this.#journal.keys);
    const plan = planKernelPlumbing(state, this.#plumbing, {
      mark: this.#mark,
      pathIds: this.#pathIds,
      standing,
    });
    this.#warnings = plan.warnings;
    this.#kept = new KeptChanges(plan.changes, {});
    for (const change of plan.changes) this.#journal.apply(change);
    this.#journal.dropUnclaimed();
    // The rules stand: what is before them is others'.
    this.#watch?.begin();
  }

  checkTurning(): boolean {
    return this.#loop.checkTurning();
  }

  readFigures(): void {
    this.core.refresh();
  }

  readFlow(destination: number, ends: FlowEnds): void {
    this.core.readFlow(destination, ends, nowNs());
  }

  routesChanged(): void {
    this.core.applySettings();
  }

  policyChanged(): void {
    this.core.applyPolicy();
  }

  divert(destinations: readonly Prefix[]): void {
    this.#inside.divert(destinations);
  }

  followMachine(): Followed {
    const attempts = new Attempts();
    attempts.try(() => this.#kernel.follow());
    attempts.try(() => {
      this.#inside.follow();
    });
    const down = attempts.try(() => refreshRouteTables(this.#plumbing, {}));
    const { what = [], failure } = this.#kept?.putBack(this.#journal.keys) ?? {};
    if (what.length > 0) this.#onPutBack(what);
    const unseen = this.#plumbing.routes.filter(({ device }) => device in this.#kernel.refused);
    return {
      down: down && [...new Set([...down, ...unseen.map(({ name }) => name)])],
      failure: attempts.failure ?? failure,
    };
  }

  /** There is none of its own: the devices are the machine's. */
  reportDevices(): Record<string, DeviceReport> {
    return {};
  }

  abandon(): void {
    this.#loop.stop();
    this.#watch?.stop();
    this.core.abandon();
    giveUp(this.#kernel, this.#journal);
  }

  stop(): void {
    this.#loop.stop();
    this.#watch?.stop();
    this.core.close();
  }

  close(): void {
    this.#kernel.close();
    this.#journal.leave();
  }

  #watchForwarding(onChange: (state: ForwardingState) => void): ForwardingWatch {
    const { families, insideDevice, rulePriorities, routes } = this.#plumbing;
    const onlookers = new ForwardingOnlookers({
      insideDevice,
      families,
      rulePriority: rulePriorities.route,
      markMask: this.#mark.mask,
      tables: routes.map(({ routeTable }) => routeTable),
      placeOfProgram: () => this.#kernel.placeInside,
      onAddresses: () => {
        try {
          this.#inside.follow();
        } catch (error) {
          // They are looked at every few seconds anyway.
          if (!isForeseen(error)) throw error;
        }
      },
    });
    return new ForwardingWatch({
      onlookers,
      redirectUntil: (untilNs) => {
        this.core.redirectUntil(untilNs);
      },
      onChange,
      now: nowNs,
    });
  }
}

function openJournal(insideDevice: string, directory: string | undefined): UndoJournal {
  return UndoJournal.open({
    directory,
    role: 'gateway',
    subject: insideDevice,
    netnsInode: namespaceInode(),
    execute: executeIn(),
    isLasting: true,
  });
}

/** After a failed start: what an earlier daemon left goes on, and nothing else stays. */
function giveUp(kernel: GatewayKernel, journal: UndoJournal): void {
  kernel.abandon();
  if (journal.isTakenOver) journal.leave();
  else journal.close();
}
