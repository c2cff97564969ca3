/** What the gateway's programs know to be inside, or are to leave alone. */
import { parsePrefix } from '../wire/addr.ts';
import type { GatewayPrograms } from './gateway-programs.ts';
import type { InsideKind } from './prefix-maps.ts';

/** What is inside, and what else the programs leave alone. */
export interface InsidePrefixes {
  /** The domain's own prefixes. */
  readonly domain: readonly string[];
  /** Left alone though a destination covers them. */
  readonly passed: readonly string[];
  /** Taken up again out of a passed one. */
  readonly diverted: readonly string[];
}

/** Keeps the programs' maps as it is told. */
export class KernelInside {
  readonly #programs: Pick<GatewayPrograms, 'setInside' | 'removeInside' | 'publishPrefixes'>;
  /** What stands in the maps. */
  readonly #standing = new Map<string, InsideKind>();

  constructor(programs: Pick<GatewayPrograms, 'setInside' | 'removeInside' | 'publishPrefixes'>) {
    this.#programs = programs;
  }

  /**
   * Says what is inside; what was and is not any more is forgotten.
   *
   * @throws SystemError when the kernel takes no more; the next call goes on from there
   */
  set({ domain, passed, diverted }: InsidePrefixes): void {
    const wanted = new Map<string, InsideKind>();
    for (const prefix of passed) wanted.set(prefix, 'gateway');
    for (const prefix of diverted) wanted.set(prefix, 'outside');
    for (const prefix of domain) wanted.set(prefix, 'domain');
    try {
      for (const [prefix, kind] of wanted) {
        if (this.#standing.get(prefix) === kind) continue;
        this.#programs.setInside(parsePrefix(prefix), kind);
        this.#standing.set(prefix, kind);
      }
    } finally {
      // In any case: it makes room.
      for (const prefix of [...this.#standing.keys()]) {
        if (wanted.has(prefix)) continue;
        this.#programs.removeInside(parsePrefix(prefix));
        this.#standing.delete(prefix);
      }
      this.#programs.publishPrefixes();
    }
  }
}
