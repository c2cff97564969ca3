/** Requests and responses over one connection: the next request goes out when the response has come and was thought over. */
import type { TcpApp } from '../tcp/app.ts';
import type { TcpConnection } from '../tcp/connection.ts';
import type { TcpStack } from '../tcp/stack.ts';

/** The shape of an exchange. */
export interface ExchangeOptions {
  readonly requestBytes: number;
  readonly responseBytes: number;
  /** Exchanges over the connection; Infinity never ends. */
  readonly count: number;
  /** Time between a response and the next request, in ns; default 0. */
  readonly thinkNs?: number;
}

/** The server: answers each whole request. */
export function responder(options: ExchangeOptions): TcpApp {
  return {
    onData(stack, c, bytes): void {
      c.appWord += bytes;
      while (c.appWord >= options.requestBytes) {
        c.appWord -= options.requestBytes;
        stack.write(c, options.responseBytes);
      }
    },
    onPeerClosed: (stack, c) => stack.close(c),
  };
}

/** The client's side of a connection, and its figures. */
export class Requester implements TcpApp {
  /** Exchanges done. */
  done = 0;
  /** Time of each exchange in ns, from the request to the last byte of the response. */
  readonly exchangeNs: number[] = [];
  readonly #options: ExchangeOptions;
  #receivedBytes = 0;
  #askedAtNs = 0;

  constructor(options: ExchangeOptions) {
    this.#options = options;
  }

  onEstablished(stack: TcpStack, c: TcpConnection): void {
    this.#ask(stack, c);
  }

  onData(stack: TcpStack, c: TcpConnection, bytes: number): void {
    this.#receivedBytes += bytes;
    if (this.#receivedBytes < this.#options.responseBytes) return;
    this.#receivedBytes -= this.#options.responseBytes;
    this.exchangeNs.push(stack.queue.nowNs - this.#askedAtNs);
    if (++this.done >= this.#options.count) stack.close(c);
    else if ((this.#options.thinkNs ?? 0) > 0) stack.setTimer(c, stack.queue.nowNs + this.#options.thinkNs!);
    else this.#ask(stack, c);
  }

  onTimer(stack: TcpStack, c: TcpConnection): void {
    this.#ask(stack, c);
  }

  #ask(stack: TcpStack, c: TcpConnection): void {
    this.#askedAtNs = stack.queue.nowNs;
    stack.write(c, this.#options.requestBytes);
  }
}
