/**
 * Decides who sends packets by their routes with `forwarding: auto`: the programs themselves, as long as nobody on the
 * machine wants to see packets that are forwarded, and else the kernel.
 *
 * ```
 *             nobody at the first look, or at the second in a row
 *   kernel ------------------------------------------------------> redirect, good for LEASE_NS
 *          <------------------------------------------------------   each look at which there is nobody renews it
 *             somebody, or it cannot be told: at once
 * ```
 *
 * There is a look every second, and as soon as the kernel says that somebody may have come. The programs may send
 * packets for a limited time only, which each look renews: when this process is killed or stands still, the kernel forwards.
 */
import type { TimedCore } from './packet-loop.ts';

/** Time between two looks, ns. */
export const LOOK_NS = 1e9;
/** For how long the programs may send packets after a look, ns. */
export const LEASE_NS = 2.5e9;
/** Looks in a row that find nobody, before the programs send packets again. */
const QUIET_LOOKS = 2;

/** Those who want to see packets that are forwarded. */
export interface Onlookers {
  /** Looks for one: who, in a few words; undefined when there is nobody. What cannot be told counts as somebody. */
  find(): string | undefined;
  /** From now on `onNews` is called when somebody may have come since. */
  watch(onNews: () => void): void;
  close(): void;
}

/** Who sends packets by their routes now. */
export interface ForwardingState {
  readonly by: 'kernel' | 'redirect';
  /** Why the kernel; null with redirect. */
  readonly reason: string | null;
}

/** What a watch has to do with. */
export interface ForwardingWatchOptions {
  readonly onlookers: Onlookers;
  /** Lets the programs send packets until then, ns of {@link ForwardingWatchOptions.now}; 0: not any more. */
  readonly redirectUntil: (untilNs: number) => void;
  /** Told of the first decision, and of each change, when it is in force. */
  readonly onChange: (state: ForwardingState) => void;
  readonly now: () => number;
}

/** Watches from {@link ForwardingWatch.begin} until it is stopped. */
export class ForwardingWatch implements TimedCore {
  readonly #options: ForwardingWatchOptions;
  #state: ForwardingState = { by: 'kernel', reason: 'nobody has looked yet' };
  #quietLooks = QUIET_LOOKS - 1;
  #lookAtNs = Infinity;
  #hasTold = false;

  constructor(options: ForwardingWatchOptions) {
    this.#options = options;
  }

  /** Who sends packets now. */
  get state(): ForwardingState {
    return this.#state;
  }

  /** Looks for the first time. */
  begin(): void {
    const { now, onlookers } = this.#options;
    // Before the look: what comes after it is news.
    onlookers.watch(() => {
      // Otherwise it can wait for the next look.
      if (this.#state.by === 'redirect') this.handleTimeout(now());
    });
    this.handleTimeout(now());
  }

  /** When the next look is due, ns. */
  pollTimeout(): number {
    return this.#lookAtNs;
  }

  /** Looks, and does what follows from it. */
  handleTimeout(nowNs: number): void {
    this.#lookAtNs = nowNs + LOOK_NS;
    const reason = this.#options.onlookers.find();
    if (reason !== undefined) {
      this.#quietLooks = 0;
      this.#enter({ by: 'kernel', reason });
    } else if (++this.#quietLooks >= QUIET_LOOKS) {
      this.#options.redirectUntil(nowNs + LEASE_NS);
      this.#enter({ by: 'redirect', reason: null });
    }
  }

  /** Leaves packets to the kernel from now on. */
  stop(): void {
    this.#lookAtNs = Infinity;
    this.#options.onlookers.close();
    this.#options.redirectUntil(0);
    this.#state = { by: 'kernel', reason: 'nobody looks any more' };
  }

  #enter(state: ForwardingState): void {
    const isChange = state.by !== this.#state.by || !this.#hasTold;
    if (isChange && state.by === 'kernel') this.#options.redirectUntil(0);
    this.#state = state;
    this.#hasTold = true;
    if (isChange) this.#options.onChange(state);
  }
}
