/** A connection that sends in bursts with silence between them: each burst is a flowlet when the silence is long enough. */
import type { TcpApp } from '../tcp/app.ts';
import type { TcpConnection } from '../tcp/connection.ts';
import type { TcpStack } from '../tcp/stack.ts';

/** The shape of the traffic. */
export interface OnOffOptions {
  /** Bytes of each burst. */
  readonly burstBytes: () => number;
  /** Silence after a burst is acknowledged, in ns. */
  readonly gapNs: () => number;
  /** Bursts; Infinity never ends. */
  readonly count: number;
}

/** The sender; the other end is a sink. */
export class OnOff implements TcpApp {
  /** Bursts acknowledged. */
  done = 0;
  readonly #options: OnOffOptions;

  constructor(options: OnOffOptions) {
    this.#options = options;
  }

  onEstablished(stack: TcpStack, c: TcpConnection): void {
    stack.write(c, this.#options.burstBytes());
  }

  onAllAcked(stack: TcpStack, c: TcpConnection): void {
    if (c.isClosing) return;
    if (++this.done >= this.#options.count) stack.close(c);
    else stack.setTimer(c, stack.queue.nowNs + this.#options.gapNs());
  }

  onTimer(stack: TcpStack, c: TcpConnection): void {
    stack.write(c, this.#options.burstBytes());
  }
}
