/**
 * Closed-loop downloads, as the laboratory's clients do them: a client connects, asks for so many bytes, takes them and
 * closes; then it begins the next. How many run at the same time follows a schedule.
 *
 *      client                          source
 *        | ---- SYN ------------------> |
 *        | <--- SYN-ACK --------------- |
 *        | ---- a request ------------> |
 *        | <--- so many bytes --------- |      a record: completed
 *        | ---- FIN ------------------> |
 *
 * When more are wanted than run, one begins every 20 ms, so that they do not march in step. When fewer are wanted, those
 * that run go on to their end.
 */
import { END_RESET } from '../tcp/app.ts';
import type { TcpApp } from '../tcp/app.ts';
import type { TcpConnection } from '../tcp/connection.ts';
import type { TcpStack } from '../tcp/stack.ts';
import type { RandomStream } from '../random.ts';
import type { FlowOutcome, FlowRecord } from '../scenarios/records.ts';
import type { FlowSchedule } from '../scenarios/schedule.ts';
import { drawSize } from '../scenarios/sizes.ts';
import type { SizeModel } from '../scenarios/sizes.ts';

/** Options of a {@link DownloadLoop}. */
export interface DownloadLoopOptions {
  /** Of its records. */
  readonly name: string;
  readonly client: TcpStack;
  readonly source: TcpStack;
  /** Of the source; one loop a port. */
  readonly port: number;
  readonly size: SizeModel;
  /** Where the sizes are drawn from. */
  readonly random: RandomStream;
  readonly schedule: FlowSchedule;
  /** How to do something at a later time: Network.at. */
  readonly at: (timeNs: number, action: () => void) => void;
  /** Told of each transfer that ends. */
  readonly onRecord: (record: FlowRecord) => void;
}

const TICK_NS = 20e6;
const NS_PER_S = 1e9;
/** Bytes of a request: a size in decimal digits, a rate, the end of the line. */
const REQUEST_BYTES = 10;

/** Keeps downloads going. */
export class DownloadLoop {
  readonly #options: DownloadLoopOptions;
  readonly #running = new Set<Download>();
  /** What the client of a port has asked for. */
  readonly #wantedBytes = new Map<number, number>();
  readonly #serve: TcpApp;
  #wanted = 0;
  #isTicking = false;
  #isOver = false;

  /** @throws PreflexError when something listens on the port already */
  constructor(options: DownloadLoopOptions) {
    this.#options = options;
    this.#serve = {
      onData: (stack, c, bytes) => {
        c.appWord += bytes;
        if (c.appWord === REQUEST_BYTES) stack.write(c, this.#wantedBytes.get(c.remotePort) ?? 0);
      },
      onPeerClosed: (stack, c) => stack.close(c),
    };
    options.source.listen(options.port, () => this.#serve);
    for (const { fromSeconds, flows } of options.schedule) {
      options.at(fromSeconds * NS_PER_S, () => {
        this.#wanted = flows;
        this.#tick();
      });
    }
  }

  /** Downloads that run. */
  get running(): number {
    return this.#running.size;
  }

  /** Ends the loop: what runs is recorded as unfinished. */
  finish(): void {
    this.#isOver = true;
    const { nowNs } = this.#options.client.queue;
    for (const download of [...this.#running]) download.giveUp(nowNs);
  }

  /** A download is over. */
  #ended(download: Download, record: FlowRecord): void {
    this.#running.delete(download);
    this.#wantedBytes.delete(download.port);
    this.#options.onRecord(record);
    if (this.#isOver) return;
    // What failed is made up for by the next tick, as in the laboratory.
    if (record.outcome === 'failed') this.#tickSoon();
    else if (this.#running.size < this.#wanted) this.#begin();
  }

  #tick(): void {
    this.#isTicking = false;
    if (this.#isOver || this.#running.size >= this.#wanted) return;
    this.#begin();
    if (this.#running.size < this.#wanted) this.#tickSoon();
  }

  #tickSoon(): void {
    if (this.#isTicking) return;
    this.#isTicking = true;
    const { nowNs } = this.#options.client.queue;
    this.#options.at((Math.floor(nowNs / TICK_NS) + 1) * TICK_NS, () => this.#tick());
  }

  #begin(): void {
    const { client, name, port, random, size, source } = this.#options;
    const bytes = drawSize(size, random);
    const download = new Download((record) => this.#ended(download, record), name, bytes, client.queue.nowNs);
    this.#running.add(download);
    const c = client.connect(source.localAddr, port, download);
    download.port = c.localPort;
    this.#wantedBytes.set(c.localPort, bytes);
  }
}

/** One download, at its client. */
class Download implements TcpApp {
  port = 0;
  readonly #onEnd: (record: FlowRecord) => void;
  readonly #name: string;
  readonly #bytes: number;
  readonly #startNs: number;
  #received = 0;
  #connectNs = -1;
  // Begun with numbers: a field that began as undefined would be given a new box by every packet.
  #lastNs = 0;
  #stallNs = 0;
  #stallAtNs = 0;
  #isDone = false;

  constructor(onEnd: (record: FlowRecord) => void, name: string, bytes: number, nowNs: number) {
    this.#onEnd = onEnd;
    this.#name = name;
    this.#bytes = bytes;
    this.#startNs = nowNs;
    this.#lastNs = nowNs;
    this.#stallAtNs = nowNs;
  }

  onEstablished(stack: TcpStack, c: TcpConnection): void {
    this.#progress(stack.queue.nowNs);
    this.#connectNs = stack.queue.nowNs - this.#startNs;
    stack.write(c, REQUEST_BYTES);
  }

  onData(stack: TcpStack, c: TcpConnection, bytes: number): void {
    if (this.#isDone) return;
    this.#received += bytes;
    this.#progress(stack.queue.nowNs);
    if (this.#received < this.#bytes) return;
    this.#end('completed', '');
    stack.close(c);
  }

  onPeerClosed(stack: TcpStack, c: TcpConnection): void {
    stack.close(c);
  }

  onEnd(stack: TcpStack, _c: TcpConnection, how: number): void {
    if (this.#isDone) return;
    this.#progress(stack.queue.nowNs);
    this.#end('failed', how === END_RESET ? 'reset by the source' : 'timed out');
  }

  /** Gives the download up at the end of the run. */
  giveUp(nowNs: number): void {
    this.#progress(nowNs);
    this.#end('unfinished', '');
  }

  #progress(nowNs: number): void {
    const gapNs = nowNs - this.#lastNs;
    if (gapNs > this.#stallNs) {
      this.#stallNs = gapNs;
      this.#stallAtNs = this.#lastNs;
    }
    this.#lastNs = nowNs;
  }

  #end(outcome: FlowOutcome, error: string): void {
    if (this.#isDone) return;
    this.#isDone = true;
    this.#onEnd({
      name: this.#name,
      start: seconds(this.#startNs),
      end: seconds(this.#lastNs),
      bytes: this.#bytes,
      receivedBytes: this.#received,
      outcome,
      ...(error === '' ? {} : { error }),
      connectSeconds: this.#connectNs < 0 ? null : seconds(this.#connectNs),
      stallSeconds: seconds(this.#stallNs),
      stallAt: seconds(this.#stallAtNs),
    });
  }
}

/** As the laboratory rounds: to 10 us. */
function seconds(ns: number): number {
  return Math.round(ns / 1e4) / 1e5;
}
