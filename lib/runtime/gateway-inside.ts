/** What the gateway's programs are to leave alone: kept as the machine's addresses and networks are. */
import type { GatewaySync } from '../ebpf/gateway-sync.ts';
import { TABLE_MAIN, listAddresses, listRoutes } from '../netns/index.ts';
import type { LinkAddress } from '../netns/index.ts';
import { ENODEV, SystemError } from '../sys/errno.ts';
import { IFF_UP, interfaceFlags } from '../sys/interface.ts';
import { kernelDiversion } from './gateway-kernel-plan.ts';
import type { ResolvedGatewayPlumbing } from './gateway-plumbing-options.ts';
import type { Prefix } from './prefixes.ts';

/** Tells the programs of a gateway, in the network namespace of the process. */
export class GatewayInside {
  readonly #core: Pick<GatewaySync, 'setInside'>;
  #plumbing: ResolvedGatewayPlumbing;
  /** What the programs were told of. */
  #told = '';

  constructor(core: Pick<GatewaySync, 'setInside'>, plumbing: ResolvedGatewayPlumbing) {
    this.#core = core;
    this.#plumbing = plumbing;
  }

  /** Looks whether addresses came or went, or devices that have some, and tells the programs. @throws PreflexError ERR_SYSTEM */
  follow(): void {
    const addresses = listAddresses();
    if (textOf(addresses) !== this.#told) this.#tell(addresses, this.#plumbing);
  }

  /** Diverts other destinations from now on. @throws PreflexError ERR_SYSTEM; then the next look tells those before */
  divert(destinations: readonly Prefix[]): void {
    const plumbing = { ...this.#plumbing, destinations };
    this.#tell(listAddresses(), plumbing);
    this.#plumbing = plumbing;
  }

  #tell(addresses: readonly LinkAddress[], plumbing: ResolvedGatewayPlumbing): void {
    // Until all of it is in force: whatever fails here is tried again.
    this.#told = '';
    const text = textOf(addresses);
    const state = {
      addresses,
      mainRoutes: { 4: listRoutes(4, TABLE_MAIN), 6: listRoutes(6, TABLE_MAIN) },
    };
    const domain = plumbing.insidePrefixes.map((prefix) => prefix.text);
    this.#core.setInside({ domain, ...kernelDiversion(state, plumbing) });
    this.#told = text;
  }
}

/** Addresses, and whether their devices are up: those that are not have no networks in the main table. */
function textOf(addresses: readonly LinkAddress[]): string {
  const isUp = new Map(
    [...new Set(addresses.map(({ device }) => device))].map((name) => [name, isDeviceUp(name)]),
  );
  return addresses
    .map(({ address, device }) => `${address} ${String(isUp.get(device))}`)
    .sort()
    .join(' ');
}

function isDeviceUp(name: string): boolean {
  try {
    return (interfaceFlags(name) & IFF_UP) !== 0;
  } catch (error) {
    if (error instanceof SystemError && error.errno === ENODEV) return false;
    throw error;
  }
}
