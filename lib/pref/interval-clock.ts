/**
 * When update intervals end. Their length is the one configured, unless the balancer sets it; then it stays within
 * bounds, and an interval that was stretched is cut short when losses surge.
 *
 *     |<----- configured ----->|<----- configured ----->|<--- ... --->|
 *     start                 surge?                   surge?           end of a stretched interval
 *
 * A strategy stretches intervals in which little is lost. If a route fails then, nobody should wait for the end: at
 * each multiple of the configured length it is asked whether losses came twice as fast as in the interval before.
 */

const START = 0;
const AT = 1;
const END = 2;
const LENGTH = 3;
const LOST_AT_START = 4;
const LOST_PER_NS = 5;
/** Length of the next interval. */
const NEXT_LENGTH = 6;
/** Length of the last interval as told to other gateways. */
const TOLD_LENGTH = 7;

/** Lost bytes an interval must have brought to be cut short: 100 packets of 1,500 bytes. */
const SURGE_BYTES = 150_000;
const SURGE_FACTOR = 2;
/** How far an interval may be from its plan, as a part of that, and still count as planned. */
const PLAN_TOLERANCE = 0.25;

/** The clock of one gateway. */
export class IntervalClock {
  private configuredNs = 0;
  private shortestNs = 0;
  private longestNs = 0;
  // An array, because a number in a field would be a new object with every assignment.
  private readonly state = new Float64Array(8);

  /** @param configuredNs - length of the first interval, and of all unless {@link setLength} says otherwise */
  constructor(configuredNs: number, shortestNs: number, longestNs: number) {
    this.state[AT] = Infinity;
    this.configure(configuredNs, shortestNs, longestNs);
  }

  /** Sets the length and its bounds anew, from the next interval on. */
  configure(configuredNs: number, shortestNs: number, longestNs: number): void {
    this.configuredNs = configuredNs;
    this.shortestNs = shortestNs;
    this.longestNs = longestNs;
    this.state[NEXT_LENGTH] = configuredNs;
    if (this.isStopped) this.state[LENGTH] = configuredNs;
  }

  /** Whether the next interval is to have another length than the running one. */
  get isPending(): boolean {
    return this.state[NEXT_LENGTH] !== this.state[LENGTH];
  }

  /** Whether nobody told the time yet. @hotpath */
  get isStopped(): boolean {
    return this.state[AT] === Infinity;
  }

  /** When there is something to do, ns. */
  get atNs(): number {
    return this.state[AT];
  }

  /** Length of the running interval as planned, ns. */
  get lengthNs(): number {
    return this.state[LENGTH];
  }

  /** Begins the first interval. */
  start(nowNs: number): void {
    this.begin(nowNs, nowNs + this.state[LENGTH]);
  }

  /**
   * Whether the interval is over at this time, not before {@link atNs}.
   *
   * @param lostBytes - bytes lost over all destinations since the gateway began
   */
  isOver(nowNs: number, lostBytes: number): boolean {
    const { state } = this;
    if (nowNs >= state[END]) return true;
    const lost = lostBytes - state[LOST_AT_START];
    const isSurge = lost >= SURGE_BYTES && lost > SURGE_FACTOR * state[LOST_PER_NS] * (nowNs - state[START]);
    if (!isSurge) {
      while (state[AT] <= nowNs) state[AT] += this.configuredNs;
      state[AT] = Math.min(state[AT], state[END]);
    }
    return isSurge;
  }

  /** Ends the interval and begins the next. @returns how long it was, ns */
  next(nowNs: number, lostBytes: number): number {
    const { state } = this;
    const elapsedNs = Math.max(1, nowNs - state[START]);
    const isAsPlanned = Math.abs(elapsedNs / state[LENGTH] - 1) <= PLAN_TOLERANCE;
    state[TOLD_LENGTH] = isAsPlanned ? state[LENGTH] : elapsedNs;
    state[LOST_PER_NS] = (lostBytes - state[LOST_AT_START]) / elapsedNs;
    state[LOST_AT_START] = lostBytes;
    state[LENGTH] = state[NEXT_LENGTH];
    // In step with the end that was planned; an interval that was missed altogether is not made up for.
    const end = state[END] + state[LENGTH];
    this.begin(nowNs, nowNs >= state[END] && end > nowNs ? end : nowNs + state[LENGTH]);
    return elapsedNs;
  }

  /**
   * Length of the interval that ended last, ns: the planned one unless it was far off. So gateways with intervals of
   * the same length tell the same, whatever their timers did.
   */
  get toldLengthNs(): number {
    return this.state[TOLD_LENGTH];
  }

  /** Sets the length of the running interval and those after it. @param wantedNs - kept within the bounds */
  setLength(wantedNs: number): void {
    const { state } = this;
    state[LENGTH] = Math.min(this.longestNs, Math.max(this.shortestNs, wantedNs));
    state[NEXT_LENGTH] = state[LENGTH];
    state[END] = state[START] + state[LENGTH];
    state[AT] = Math.min(state[END], state[START] + this.configuredNs);
  }

  private begin(startNs: number, endNs: number): void {
    this.state[START] = startNs;
    this.state[END] = endNs;
    this.state[AT] = Math.min(endNs, startNs + this.configuredNs);
  }
}
