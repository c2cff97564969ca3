/**
 * The bus over a NATS server.
 *
 * ```
 *   connect --> subscribe, greet --> offer: publish, flush --> answered: next offer
 *      ^                                        |
 *      +---- wait 0.25 s, 0.5 s ... 10 s <------+ closed, or not answered within 6 s
 * ```
 * Each attempt makes a new client: its own reconnecting would keep what was published meanwhile, without bound, and
 * would hold the process up at its end. At most one offer is on its way; a newer one replaces what waits.
 */
import type { ConnectionOptions, NatsConnection } from '@nats-io/transport-node';
import type { Bus, BusHandlers, BusStatus } from './bus.ts';
import type { OutMessage } from './message.ts';
import type { ServerAccess } from './server-access.ts';
import { readSecrets } from './server-access.ts';
import { findServer } from './server-probe.ts';

/** How to reach the server. */
export interface NatsBusOptions extends ServerAccess {
  /** What to hear. */
  readonly subjects: string;
  /** A name for this client in the server's reports. */
  readonly clientName: string;
}

const FIRST_PAUSE_MS = 250;
const MAX_PAUSE_MS = 10_000;
/** Part of a pause that is left to chance, so that gateways do not come back all at once. */
const JITTER = 0.25;
const CONNECT_MS = 3000;
/** A server that does not answer for so long is taken for gone. */
const ANSWER_MS = 6000;
/** The client's own pings find that out as well, when there is nothing to publish. */
const PING_MS = 2000;
const MAX_PINGS_OUT = 2;
const FAREWELL_MS = 500;

/** A bus over NATS. */
export class NatsBus implements Bus {
  readonly #options: NatsBusOptions;
  #connection: NatsConnection | undefined;
  #waiting: readonly OutMessage[] | undefined;
  /** The connection that an offer is on its way over. */
  #sendingOver: NatsConnection | undefined;
  readonly #stopping = new AbortController();
  #pause: { readonly timer: NodeJS.Timeout; readonly end: () => void } | undefined;
  #since = new Date();
  #attempts = 0;
  #connections = 0;
  #sent = 0;
  #replaced = 0;
  #lastError: string | null = null;

  constructor(options: NatsBusOptions) {
    this.#options = options;
  }

  start(handlers: BusHandlers): void {
    void this.#run(handlers);
  }

  offer(messages: readonly OutMessage[]): void {
    if (this.#isStopped) return;
    this.#replaced += this.#waiting?.length ?? 0;
    this.#waiting = messages;
    this.#sendWaiting();
  }

  stop(farewell: OutMessage): void {
    if (this.#isStopped) return;
    this.#stopping.abort();
    this.#waiting = undefined;
    if (this.#pause !== undefined) {
      clearTimeout(this.#pause.timer);
      this.#pause.end();
    }
    const connection = this.#connection;
    if (connection === undefined) return;
    void this.#send(connection, [farewell], FAREWELL_MS).then(() => connection.close());
  }

  get #isStopped(): boolean {
    return this.#stopping.signal.aborted;
  }

  get status(): BusStatus {
    return {
      isConnected: this.#connection !== undefined,
      since: this.#since.toISOString(),
      server: this.#connection?.getServer() ?? null,
      attempts: this.#attempts,
      connections: this.#connections,
      sent: this.#sent,
      replaced: this.#replaced,
      lastError: this.#lastError,
    };
  }

  /** Connects for as long as the bus lives. Never rejects. */
  async #run(handlers: BusHandlers): Promise<void> {
    while (!this.#isStopped) {
      try {
        await this.#connectOnce(handlers);
      } catch (error) {
        this.#lastError = sentence(error);
        this.#attempts++;
      }
      if (!this.#isStopped) await this.#wait();
    }
  }

  /** Connects and stays until the connection ends. */
  async #connectOnce(handlers: BusHandlers): Promise<void> {
    const { connect } = await import('@nats-io/transport-node');
    const server = await findServer(this.#options.servers, CONNECT_MS, this.#stopping.signal);
    const connection = await connect(await this.#clientOptions(server));
    if (this.#isStopped) {
      await connection.close();
      return;
    }
    try {
      connection.subscribe(this.#options.subjects, {
        callback: (error, message) => {
          if (error === null) handlers.onMessage(message.subject, message.data);
          // The server refuses the subscription: without it the connection is of no use.
          else this.#giveUp(connection, error);
        },
      });
      // The greeting has the latest; what waits is older.
      this.#replaced += this.#waiting?.length ?? 0;
      this.#waiting = undefined;
      if (!(await this.#send(connection, handlers.onConnect(), ANSWER_MS))) {
        await connection.close();
        this.#attempts++;
        return;
      }
      this.#connection = connection;
      this.#since = new Date();
      this.#connections++;
      this.#attempts = 0;
      this.#sendWaiting();
      const error = await connection.closed();
      if (!this.#isStopped) this.#lastError = sentence(error ?? {});
    } finally {
      if (this.#connection === connection) {
        this.#connection = undefined;
        this.#since = new Date();
      }
    }
  }

  async #clientOptions(server: string): Promise<ConnectionOptions> {
    const { tls } = this.#options;
    const secrets = await readSecrets(this.#options);
    const needsTls = tls !== undefined || server.startsWith('tls:');
    return {
      servers: server,
      name: this.#options.clientName,
      noEcho: true,
      reconnect: false,
      ignoreClusterUpdates: true,
      resolve: false,
      timeout: CONNECT_MS,
      pingInterval: PING_MS,
      maxPingOut: MAX_PINGS_OUT,
      ...secrets,
      ...(needsTls
        ? {
            tls: {
              ...(tls?.ca === undefined ? {} : { caFile: tls.ca }),
              ...(tls?.cert === undefined ? {} : { certFile: tls.cert }),
              ...(tls?.key === undefined ? {} : { keyFile: tls.key }),
            },
          }
        : {}),
    };
  }

  #sendWaiting(): void {
    const connection = this.#connection;
    const messages = this.#waiting;
    if (connection === undefined || messages === undefined || this.#isStopped) return;
    if (this.#sendingOver === connection) return;
    this.#waiting = undefined;
    this.#sendingOver = connection;
    void this.#send(connection, messages, ANSWER_MS).then((isSent) => {
      if (this.#sendingOver === connection) this.#sendingOver = undefined;
      if (!isSent) this.#giveUp(connection);
      else this.#sendWaiting();
    });
  }

  /** Publishes and waits until the server has it all. Returns whether it has. Never rejects. */
  async #send(
    connection: NatsConnection,
    messages: readonly OutMessage[],
    limitMs: number,
  ): Promise<boolean> {
    let timer: NodeJS.Timeout | undefined;
    try {
      for (const { subject, data } of messages) connection.publish(subject, data);
      const limit = new Promise<never>((_, reject) => {
        timer = setTimeout(() => {
          reject(new Error(`the server did not answer within ${limitMs / 1000} s`));
        }, limitMs);
        // The socket keeps the process going; this must not, once that is closed.
        timer.unref();
      });
      await Promise.race([connection.flush(), limit]);
      this.#sent += messages.length;
      return true;
    } catch (error) {
      this.#lastError = sentence(error);
      this.#replaced += messages.length;
      return false;
    } finally {
      clearTimeout(timer);
    }
  }

  /** Ends a connection that is of no use; another attempt follows. */
  #giveUp(connection: NatsConnection, error?: Error): void {
    if (error !== undefined) this.#lastError = sentence(error);
    void connection.close();
  }

  #wait(): Promise<void> {
    const planned = Math.min(MAX_PAUSE_MS, FIRST_PAUSE_MS * 2 ** Math.max(0, this.#attempts - 1));
    const pauseMs = planned * (1 + JITTER * (2 * Math.random() - 1));
    return new Promise((resolve) => {
      const end = (): void => {
        this.#pause = undefined;
        resolve();
      };
      this.#pause = { timer: setTimeout(end, pauseMs), end };
    });
  }
}

/** What went wrong, in a line. The client's messages have no secrets in them. */
function sentence(error: unknown): string {
  const { message } = error as Partial<Error>;
  return typeof message === 'string' && message !== '' ? message.split('\n', 1)[0] : 'the connection ended';
}
