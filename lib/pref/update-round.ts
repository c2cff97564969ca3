/**
 * The end of an update interval: new ratios for every destination that had traffic, some of them at a time,
 * so that a million destinations do not keep packets waiting. With a balancer that sets the interval, also what that
 * is to be: the mean of what the destinations want, each by its bytes, in logarithms, since half and double are as far.
 *
 * Where other gateways of the domain tell what they carried, that is added; and when they tell it within an interval, a
 * late round computes the ratios of those destinations again, from the same own figures.
 */

import type { Balancer } from './balancers/balancer.ts';
import type { Mix } from './balancers/splits.ts';
import { mixShares, sumOf } from './balancers/splits.ts';
import { METER_BYTES, METER_FNE_REPEAT_BYTES, METER_LEX_BYTES } from './meter.ts';
import type { Meter } from './meter.ts';
import type { RemoteFigures } from './remote-figures.ts';
import type { RouteTable } from './route-table.ts';
import type { Suspensions } from './suspensions.ts';
import type { TurnoverMeter } from './turnover.ts';

/** Destinations that one step computes at most. */
export const DESTINATIONS_A_STEP = 4096;

/** Who is told of new ratios, and keeps those of suspended routes down: the detector of failures. */
export interface RatioWatch {
  readonly suspensions: Suspensions;
  /**
   * An interval of a destination is over, its new ratios are not in force yet.
   *
   * @param slots - the routes that are balanced; the arrays have one entry for each, in this order
   * @param bytes - T_i
   * @param ratios - flowlet ratios of that interval
   */
  noteInterval(destination: number, slots: number, bytes: Float64Array, ratios: Float64Array): void;
  /** A destination has new ratios. */
  noteRatios(destination: number): void;
}

/** What a route's ratio was computed from. */
export interface RatioParts {
  readonly pathId: number;
  /** T_i of the last interval. */
  readonly bytes: number;
  /** L_i as the balancer counts it. */
  readonly lostBytes: number;
  /** beta_E f(E)_i, beta_C f(C)_i and beta_L f(L)_i; their sum is the ratio before suspended routes get their share. */
  readonly equalPart: number;
  readonly conservativePart: number;
  readonly lossPart: number;
}

/** How the ratios of a destination come about. */
export interface RatioExplanation {
  readonly balancer: string;
  /** Undefined when the ratios were kept, since nothing was sent in the last interval, or the strategy is no mix. */
  readonly mix?: Mix | undefined;
  /** Flowlet turnover in the last interval, for a strategy that asks for it. */
  readonly turnover?: number | undefined;
  /** The routes that are up and not suspended now; without {@link mix} none. */
  readonly routes: readonly RatioParts[];
}

/** Computes ratios in bounded steps. */
export class UpdateRound {
  private readonly table: RouteTable;
  private readonly meter: Meter;
  private readonly failures: RatioWatch;
  private readonly remote: RemoteFigures | undefined;
  private balancer: Balancer;
  private readonly countFneRepeats: boolean;
  private turnover: TurnoverMeter | undefined;
  private readonly measures = { intervalNs: 1, turnover: 0 };
  /** Sums of this round: bytes, and bytes times the logarithm of the wanted interval. */
  private readonly wanted = new Float64Array(2);
  private next = 0;
  private count = 0;
  /** The destinations of a late round; undefined in the round at the end of an interval. */
  private late: readonly number[] | undefined;
  /** Slots that were usable in the last round, for destinations that other gateways tell of. */
  private readonly usable = new Map<number, number>();
  // By slot, then one entry for each up route; reused.
  private readonly bytes: Float64Array;
  private readonly lostBytes: Float64Array;
  private readonly ratios: Float64Array;
  private readonly nextRatios: Float64Array;
  private readonly nextBySlot: Float64Array;

  constructor(
    table: RouteTable,
    meter: Meter,
    failures: RatioWatch,
    balancer: Balancer,
    countFneRepeats: boolean,
    turnover?: TurnoverMeter,
    remote?: RemoteFigures,
  ) {
    this.table = table;
    this.meter = meter;
    this.failures = failures;
    this.remote = remote;
    this.balancer = balancer;
    this.countFneRepeats = countFneRepeats;
    this.turnover = turnover;
    this.bytes = new Float64Array(table.routeCount);
    this.lostBytes = new Float64Array(table.routeCount);
    this.ratios = new Float64Array(table.routeCount);
    this.nextRatios = new Float64Array(table.routeCount);
    this.nextBySlot = new Float64Array(table.routeCount);
  }

  /** Puts another balancer in force, for destinations that still wait too. */
  use(balancer: Balancer, turnover: TurnoverMeter | undefined): void {
    this.balancer = balancer;
    this.turnover = turnover;
  }

  /** Whether destinations are still waiting for their new ratios. */
  get isRunning(): boolean {
    return this.next < this.count;
  }

  /** The interval that the destinations of the last round at an end want, ns; 0 when none said, as with most balancers. */
  get wantedIntervalNs(): number {
    const [bytes, sum] = this.wanted;
    return bytes === 0 ? 0 : Math.round(Math.exp(sum / bytes));
  }

  /** Whether the last round was, or the running one is, a late one. */
  get isLate(): boolean {
    return this.late !== undefined;
  }

  /**
   * Ends the meter's interval; a round that is running must be over.
   *
   * @param intervalNs - how long the interval was; only for a balancer that sets it
   */
  begin(intervalNs = 1): void {
    this.count = this.meter.endInterval();
    this.turnover?.endInterval();
    this.measures.intervalNs = intervalNs;
    this.wanted.fill(0);
    this.usable.clear();
    this.late = undefined;
    this.next = 0;
  }

  /** Begins a late round for these destinations; one that is running must be over. */
  beginLate(destinations: readonly number[]): void {
    this.late = destinations;
    this.count = destinations.length;
    this.next = 0;
  }

  /** Computes the next {@link DESTINATIONS_A_STEP} destinations. */
  step(): void {
    const end = Math.min(this.count, this.next + DESTINATIONS_A_STEP);
    for (; this.next < end; this.next++) {
      if (this.late !== undefined) {
        const destination = this.late[this.next];
        if (this.table.has(destination)) this.update(destination);
      } else {
        const destination = this.meter.endedDestination(this.next);
        if (this.meter.snapshot(destination)) this.update(destination);
      }
    }
  }

  /** Computes the ratios of a destination again, from the figures of the last interval, and says how. */
  explain(destination: number): RatioExplanation {
    const { balancer, bytes, lostBytes, table, turnover } = this;
    const { count, slots } = this.gather(destination);
    if (turnover !== undefined) this.measures.turnover = turnover.last(destination);
    const measures = turnover === undefined ? undefined : this.measures;
    const mix = sumOf(bytes, count) > 0 ? balancer.mix?.(count, lostBytes, measures) : undefined;
    if (mix === undefined) return { balancer: balancer.name, routes: [] };
    const partsOf = (betas: Pick<Mix, 'betaE' | 'betaC' | 'betaL'>): Float64Array => {
      const parts = new Float64Array(count);
      mixShares({ ...betas, shrinkBytes: mix.shrinkBytes }, count, bytes, lostBytes, parts);
      return parts;
    };
    const equal = partsOf({ betaE: mix.betaE, betaC: 0, betaL: 0 });
    const conservative = partsOf({ betaE: 0, betaC: mix.betaC, betaL: 0 });
    const loss = partsOf({ betaE: 0, betaC: 0, betaL: mix.betaL });
    const routes: RatioParts[] = [];
    for (let slot = 0, i = 0; slot < table.routeCount; slot++) {
      if (((slots >>> slot) & 1) === 0) continue;
      routes.push({
        pathId: table.pathIdOf[slot],
        bytes: bytes[i],
        lostBytes: lostBytes[i],
        equalPart: equal[i],
        conservativePart: conservative[i],
        lossPart: loss[i],
      });
      i++;
    }
    return { balancer: balancer.name, mix, turnover: measures?.turnover, routes };
  }

  /** Puts the figures of the routes of a destination that are balanced, in order of their slots, into the arrays. */
  private gather(destination: number): { readonly slots: number; readonly count: number } {
    const { failures, meter, table } = this;
    // What a suspended route carried says nothing of what the others should.
    const slots = table.upMask(destination) & ~failures.suspensions.maskOf(destination);
    for (let slot = 0; slots >>> slot !== 0; slot++) {
      if (((slots >>> slot) & 1) === 0) continue;
      const repeats = this.countFneRepeats ? meter.last(destination, slot, METER_FNE_REPEAT_BYTES) : 0;
      this.bytes[slot] = meter.last(destination, slot, METER_BYTES);
      this.lostBytes[slot] = meter.last(destination, slot, METER_LEX_BYTES) + repeats;
    }
    this.remote?.addTo(destination, slots, this.bytes, this.lostBytes);
    let count = 0;
    for (let slot = 0; slots >>> slot !== 0; slot++) {
      if (((slots >>> slot) & 1) === 0) continue;
      this.bytes[count] = this.bytes[slot];
      this.lostBytes[count] = this.lostBytes[slot];
      this.ratios[count] = table.ratio(destination, slot);
      count++;
    }
    return { slots, count };
  }

  private update(destination: number): void {
    const { failures, table } = this;
    const { suspensions } = failures;
    const { count, slots } = this.gather(destination);
    // The figures do not say what a route is worth that came back after them: it keeps what it was given.
    if (this.late !== undefined && (this.usable.get(destination) ?? slots) !== slots) return;
    if (this.remote?.has(destination) === true) this.usable.set(destination, slots);
    if (this.turnover !== undefined) {
      const isLate = this.late !== undefined;
      this.measures.turnover = isLate ? this.turnover.last(destination) : this.turnover.take(destination);
    }
    if (count === 0) return;
    if (this.late === undefined) {
      this.weigh(count);
      failures.noteInterval(destination, slots, this.bytes, this.ratios);
      if (suspensions.takeGiven(destination)) return;
    }
    this.balancer.balance(
      count,
      this.bytes,
      this.lostBytes,
      this.ratios,
      this.nextRatios,
      this.turnover === undefined ? undefined : this.measures,
    );
    for (let slot = 0, i = 0; slot < table.routeCount; slot++) {
      if ((slots >>> slot) & 1) this.nextBySlot[slot] = this.nextRatios[i++];
    }
    suspensions.limit(destination, this.nextBySlot);
    table.setRatios(destination, this.nextBySlot);
    failures.noteRatios(destination);
  }

  /** Adds what the destination in hand wants of the interval. */
  private weigh(count: number): void {
    const { balancer, bytes, lostBytes, measures, wanted } = this;
    if (balancer.wantedIntervalNs === undefined) return;
    let total = 0;
    for (let i = 0; i < count; i++) total += bytes[i];
    if (total === 0) return;
    const wantedNs = balancer.wantedIntervalNs(count, bytes, lostBytes, measures);
    if (!(wantedNs > 0 && wantedNs < Infinity)) return;
    wanted[0] += total;
    wanted[1] += total * Math.log(wantedNs);
  }
}
