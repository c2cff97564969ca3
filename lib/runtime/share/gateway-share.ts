/**
 * A gateway's part in its domain: tells the other gateways each interval that it finishes, hears theirs, and hands them to
 * the core.
 *
 * ```
 *   PrefGateway.finishedInterval --> writeInterval --> Bus.offer        at the end of an interval, when a route goes or
 *                                                                       comes, when another gateway says hello
 *   Bus.onMessage --> readMessage --> Peers --> PrefGateway.setRemoteFigures
 * ```
 * Its deadlines are those of a core in the packet loop; it has no timers of its own and never waits for the network.
 */
import { randomBytes } from 'node:crypto';
import type { PrefGateway } from '../../pref/gateway.ts';
import type { TimedCore } from '../packet-loop.ts';
import type { Bus, BusStatus } from './bus.ts';
import type { OutMessage, Refusal, Sender, SharedDestination, SharedRoute } from './message.ts';
import { MAX_DESTINATIONS, readMessage, signal, writeInterval } from './message.ts';
import type { PeerRefusal, PeerStatus, PeeredGateway } from './peers.ts';
import { Peers } from './peers.ts';

/** The gateway that takes part. */
export interface SharingGateway {
  readonly core: PeeredGateway &
    Pick<PrefGateway, 'finishedInterval' | 'finishedIntervals' | 'handleTimeout' | 'intervals'>;
  /** Its routes and their state now. */
  readonly routes: () => readonly SharedRoute[];
}

/** Options of a {@link GatewayShare}. */
export interface GatewayShareOptions {
  readonly domain: string;
  /** Name of this gateway in the domain. */
  readonly name: string;
  /** Intervals of another gateway for which its figures count, 1 to 100. */
  readonly keepIntervals: number;
}

/** What the part in a domain shows. */
export interface ShareStatus {
  readonly domain: string;
  readonly name: string;
  readonly incarnation: string;
  readonly connection: BusStatus;
  readonly peers: readonly PeerStatus[];
  readonly messages: {
    /** Sent and acknowledged by the server. */
    readonly out: number;
    /** Received and taken. */
    readonly in: number;
    /** Received and not taken, all reasons together. */
    readonly bad: number;
  };
  /** Messages that were not taken, by reason. */
  readonly refused: Readonly<Record<ShareRefusal, number>>;
  /** Destinations that the last interval had and others were not told of. */
  readonly leftOut: number;
}

/** Why a message was not taken. */
export type ShareRefusal = Refusal | PeerRefusal | 'tooMany';

/** Messages a second that are read; more are dropped as they come. */
const MAX_MESSAGES_A_SECOND = 2000;
/** Hellos are answered no faster than this, for all that come together. */
const REPEAT_NS = 1e9;
const NS_PER_S = 1e9;

/** A gateway's part in its domain. */
export class GatewayShare implements TimedCore {
  readonly #options: GatewayShareOptions;
  readonly #gateway: SharingGateway;
  readonly #bus: Bus;
  readonly #clock: () => number;
  readonly #own: Sender;
  readonly #peers: Peers;
  readonly #refused: Record<ShareRefusal, number> = {
    oversized: 0,
    notJson: 0,
    version: 0,
    fields: 0,
    sender: 0,
    stale: 0,
    formerIncarnation: 0,
    nameConflict: 0,
    tooManyGateways: 0,
    tooManyDestinations: 0,
    incomplete: 0,
    tooMany: 0,
  };
  #taken = 0;
  #sequence = 0;
  #published = 0;
  #leftOut = 0;
  /** When the last interval is to be told again, ns. */
  #repeatAtNs = Infinity;
  #repeatedNs = -Infinity;
  /** The second that arrivals are counted in. */
  #second = 0;
  #arrivals = 0;

  /**
   * Takes part from now on.
   *
   * @param clock - monotonic time in ns
   */
  constructor(options: GatewayShareOptions, gateway: SharingGateway, bus: Bus, clock: () => number) {
    this.#options = options;
    this.#gateway = gateway;
    this.#bus = bus;
    this.#clock = clock;
    this.#own = { gateway: options.name, incarnation: randomBytes(8).toString('hex') };
    const pathIdOf = new Map(gateway.routes().map(({ name, pathId }) => [name, pathId]));
    this.#peers = new Peers(this.#own, gateway.core, pathIdOf, options.keepIntervals);
    // Intervals begin now, even if no packet comes: the others are to hear that this gateway is there.
    gateway.core.handleTimeout(clock());
    this.#published = gateway.core.finishedIntervals;
    bus.start({
      onMessage: (subject, data) => {
        this.#take(subject, data);
      },
      onConnect: () => {
        const hello = signal(options.domain, 'hello', this.#own);
        return this.#isBetweenRounds ? [hello, ...this.#interval()] : [hello];
      },
    });
  }

  /** Publishes an interval that has ended since, answers hellos, and lets old figures count no more. */
  handleTimeout(nowNs: number): void {
    const { finishedIntervals } = this.#gateway.core;
    const isRepeat = nowNs >= this.#repeatAtNs && this.#isBetweenRounds;
    if (finishedIntervals !== this.#published || isRepeat) {
      this.#published = finishedIntervals;
      this.#repeatAtNs = Infinity;
      this.#repeatedNs = nowNs;
      this.#bus.offer(this.#interval());
    }
    this.#peers.expire(nowNs);
  }

  /** When {@link handleTimeout} has work, ns. */
  pollTimeout(): number {
    if (this.#gateway.core.finishedIntervals !== this.#published) return 0;
    return Math.min(this.#repeatAtNs, this.#peers.pollTimeout());
  }

  /** Tells the others at once that the state of a route has changed. */
  routesChanged(): void {
    this.#repeatAtNs = 0;
  }

  /** Says goodbye. The figures of the others count no more. */
  stop(): void {
    this.#peers.clear(this.#clock());
    this.#bus.stop(signal(this.#options.domain, 'bye', this.#own));
  }

  get status(): ShareStatus {
    const { domain, name } = this.#options;
    const connection = this.#bus.status;
    const bad = Object.values(this.#refused).reduce((sum, count) => sum + count, 0);
    return {
      domain,
      name,
      incarnation: this.#own.incarnation,
      connection,
      peers: this.#peers.status(this.#clock()),
      messages: { out: connection.sent, in: this.#taken, bad },
      refused: { ...this.#refused },
      leftOut: this.#leftOut,
    };
  }

  /** Whether the figures of the last interval are complete; if not, they will be told in a moment. */
  get #isBetweenRounds(): boolean {
    const { finishedIntervals, intervals } = this.#gateway.core;
    return finishedIntervals === intervals;
  }

  #interval(): OutMessage[] {
    const { core, routes } = this.#gateway;
    const shared = routes();
    const { lengthNs, destinations, leftOut } = core.finishedInterval(MAX_DESTINATIONS);
    const written = writeInterval(this.#options.domain, {
      ...this.#own,
      sequence: ++this.#sequence,
      intervalSeconds: lengthNs / NS_PER_S,
      routes: shared,
      destinations: destinations.flatMap(({ destination, routes: figures }): SharedDestination[] => {
        const key = this.#peers.keys.keyOf(destination);
        if (key === undefined) return [];
        const ofRoute = shared.map(({ pathId }) => figures.find((route) => route.pathId === pathId));
        return [
          {
            key,
            usable: ofRoute.flatMap((route, place) => (route?.isUsable === true ? [place] : [])),
            figures: ofRoute.flatMap((route) => [
              route?.bytes ?? 0,
              route?.lexBytes ?? 0,
              route?.fneRepeatBytes ?? 0,
            ]),
          },
        ];
      }),
    });
    this.#leftOut = leftOut + written.leftOut;
    return written.messages;
  }

  /** Takes a message as it came. Never throws. */
  #take(subject: string, data: Uint8Array): void {
    const nowNs = this.#clock();
    const second = Math.floor(nowNs / NS_PER_S);
    if (second !== this.#second) {
      this.#second = second;
      this.#arrivals = 0;
    }
    const refusal = ++this.#arrivals > MAX_MESSAGES_A_SECOND ? 'tooMany' : this.#handle(subject, data, nowNs);
    if (refusal === undefined) this.#taken++;
    else this.#refused[refusal]++;
  }

  #handle(subject: string, data: Uint8Array, nowNs: number): ShareRefusal | undefined {
    const read = readMessage(subject, data);
    switch (read.kind) {
      case 'refused':
        return read.reason;
      case 'figures':
        return this.#peers.take(read.message, nowNs);
      case 'bye':
        return this.#peers.dismiss(read.message, nowNs);
      case 'hello': {
        const refusal = this.#peers.greet(read.message);
        // Now, or when the last answer is a second old: others may come back at the same time.
        if (refusal === undefined)
          this.#repeatAtNs = Math.min(this.#repeatAtNs, this.#repeatedNs + REPEAT_NS);
        return refusal;
      }
    }
  }
}
