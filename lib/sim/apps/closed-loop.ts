/**
 * Closed-loop traffic between two hosts: so many transfers at the same time, each followed by another as soon as it is
 * over. The paper's workload, with its number of transfers set over time.
 *
 * @see paper section 5: sizes Weibull with shape 0.5 and scale 10^6, in bytes
 */
import { requireInteger, requireNumber } from '../../errors.ts';
import type { RandomStream } from '../random.ts';
import type { TcpStack } from '../tcp/stack.ts';
import { FlowLog } from './flow-log.ts';
import { startTransfer } from './transfer.ts';

/** Options of a {@link ClosedLoop}. */
export interface ClosedLoopOptions {
  /** Weibull shape of the sizes; default 0.5. */
  readonly shape?: number;
  /** Weibull scale of the sizes in bytes; default 1e6. With shape 0.5 the mean is twice that. */
  readonly scaleBytes?: number;
  /** New transfers begin at a random time within this, in ns, so that they do not march in step; default 0.1e9. */
  readonly spreadNs?: number;
}

/** Keeps a number of transfers going. */
export class ClosedLoop {
  readonly log = new FlowLog();
  readonly #stack: TcpStack;
  readonly #remoteAddr: number;
  readonly #remotePort: number;
  readonly #random: RandomStream;
  readonly #schedule: (timeNs: number, action: () => void) => void;
  readonly #shape: number;
  readonly #scaleBytes: number;
  readonly #spreadNs: number;
  #wanted = 0;
  /** Transfers that run or are about to. */
  #running = 0;

  /**
   * @param schedule - how to do something at a later time: Network.at
   * @throws PreflexError naming the option, its value and the allowed range
   */
  constructor(
    stack: TcpStack,
    remoteAddr: number,
    remotePort: number,
    random: RandomStream,
    schedule: (timeNs: number, action: () => void) => void,
    options: ClosedLoopOptions = {},
  ) {
    this.#stack = stack;
    this.#remoteAddr = remoteAddr;
    this.#remotePort = remotePort;
    this.#random = random;
    this.#schedule = schedule;
    this.#shape = requireNumber('shape', options.shape ?? 0.5, 0.1, 100);
    this.#scaleBytes = requireNumber('scaleBytes', options.scaleBytes ?? 1e6, 1, 1e12);
    this.#spreadNs = requireNumber('spreadNs', options.spreadNs ?? 0.1e9, 0, 3600e9);
  }

  /** Transfers wanted at the same time. */
  get concurrency(): number {
    return this.#wanted;
  }

  /** Sets the number: more begin soon, fewer by not following those that end. */
  setConcurrency(transfers: number): void {
    this.#wanted = requireInteger('concurrency', transfers, 0, 1e7);
    while (this.#running < this.#wanted) {
      this.#running++;
      const delayNs = this.#random.uniform() * this.#spreadNs;
      this.#schedule(this.#stack.queue.nowNs + delayNs, () => this.#start());
    }
  }

  #start(): void {
    const bytes = Math.max(1, Math.round(this.#random.weibull(this.#shape, this.#scaleBytes)));
    startTransfer(this.#stack, this.#remoteAddr, this.#remotePort, bytes, this.log, () => {
      if (this.#running > this.#wanted) this.#running--;
      else this.#start();
    });
  }
}
