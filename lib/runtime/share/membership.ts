/**
 * Whether a gateway takes part in a domain, and by which settings: those can change, begin and end while it runs.
 */
import { isDeepStrictEqual } from 'node:util';
import { nowNs } from '../../sys/clock.ts';
import type { TimedCore } from '../packet-loop.ts';
import type { GatewayShareOptions, ShareStatus, SharingGateway } from './gateway-share.ts';
import { GatewayShare } from './gateway-share.ts';
import { subjectsOf } from './message.ts';
import { NatsBus } from './nats-bus.ts';
import type { ServerAccess } from './server-access.ts';
import { requireReadable } from './server-access.ts';

/** The part that a gateway is to take: its domain and name, and how to reach the others. */
export type ShareOptions = GatewayShareOptions & ServerAccess;

/** A gateway's place in a domain, or none. */
export class Membership implements TimedCore {
  readonly #gateway: SharingGateway;
  #options: ShareOptions | undefined;
  #share: GatewayShare | undefined;

  constructor(gateway: SharingGateway) {
    this.#gateway = gateway;
  }

  /** Checks settings before {@link use}. @throws PreflexError ERR_INVALID_CONFIG for a file that cannot be read */
  static check(options: ShareOptions | undefined): void {
    if (options !== undefined) requireReadable(options);
  }

  /** Takes part by these settings from now on, or not at all; those in force already change nothing. */
  use(options: ShareOptions | undefined): void {
    if (isDeepStrictEqual(options, this.#options)) return;
    this.stop();
    this.#options = options;
    if (options === undefined) return;
    const { domain, name } = options;
    const bus = new NatsBus({
      ...options,
      subjects: subjectsOf(domain),
      clientName: `preflex ${domain} ${name}`,
    });
    this.#share = new GatewayShare(options, this.#gateway, bus, nowNs);
  }

  handleTimeout(atNs: number): void {
    this.#share?.handleTimeout(atNs);
  }

  pollTimeout(): number {
    return this.#share?.pollTimeout() ?? Infinity;
  }

  /** Tells the others that the state of a route has changed. */
  routesChanged(): void {
    this.#share?.routesChanged();
  }

  /** Leaves the domain. */
  stop(): void {
    this.#share?.stop();
    this.#share = undefined;
    this.#options = undefined;
  }

  /** What it shows; null for a gateway by itself. */
  get status(): ShareStatus | null {
    return this.#share?.status ?? null;
  }
}
