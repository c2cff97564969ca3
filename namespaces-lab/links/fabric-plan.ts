/**
 * An emulated network as data: ports, links, and the paths that packets take between the ports.
 *
 * A path says: what enters at port `from` for `prefix` goes over one direction of `link` and leaves at port `to`. Links
 * in series are folded into one, for each costs its share of a processor. Several ports may send into the same
 * direction of a link: they share its rate and its queue, which is how bottlenecks come about.
 */
import { invalidOption, rejectUnknownKeys, requireInteger, requireNumber } from '../../lib/errors.ts';
import type { GilbertElliott } from '../../lib/sim/link.ts';
import type { LinkChange } from '../../lib/sim/scenarios/scenario.ts';
import type { AddressPrefix } from '../../lib/wire/addr.ts';
import { parsePrefix } from '../../lib/wire/addr.ts';

export type { LinkChange } from '../../lib/sim/scenarios/scenario.ts';

/** A port: a device of the emulated network in some namespace. */
export interface PortPlan {
  /** Unique in the plan. */
  readonly name: string;
  readonly netns: string;
  readonly device: string;
  /** Addresses with prefix length; default none. */
  readonly addresses?: readonly string[];
  /** Largest packet in bytes; default 1500. */
  readonly mtu?: number;
}

/** One direction of a link. */
export interface DirectionPlan {
  /** bit/s of IP packets; default: no limit. */
  readonly rateBitsPerSec?: number;
  /** One-way delay behind the transmitter, ms; default 0. */
  readonly delayMs?: number;
  /** Longest queue in packets; default: no limit. */
  readonly queuePackets?: number;
  /** Random loss; default 0. */
  readonly loss?: number | GilbertElliott;
}

/** Names of a link's directions. */
export type DirectionName = 'forward' | 'backward';

/** A link; a direction that is left out has no limit and no delay. */
export interface LinkPlan {
  readonly name: string;
  readonly forward?: DirectionPlan;
  readonly backward?: DirectionPlan;
}

/** A path, see the top of this file. */
export interface PathPlan {
  readonly from: string;
  readonly prefix: string;
  readonly link: string;
  readonly direction: DirectionName;
  readonly to: string;
}

/** The whole network. */
export interface FabricPlan {
  readonly ports: readonly PortPlan[];
  readonly links: readonly LinkPlan[];
  readonly paths: readonly PathPlan[];
  /** Seed of random losses, an int32; default 1. */
  readonly seed?: number;
  readonly schedule?: readonly LinkChange[];
}

/** A path with numbers in place of names. Lanes are directions of links: 2 * link + (0 forward, 1 backward). */
export interface ResolvedPath {
  readonly from: number;
  readonly prefix: AddressPrefix;
  readonly lane: number;
  readonly to: number;
}

const DIRECTIONS: readonly (DirectionName | 'both')[] = ['forward', 'backward', 'both'];
const MAX_MTU = 65_535;

/** The number of a direction. */
export function laneOf(plan: FabricPlan, link: string, direction: DirectionName): number {
  const index = plan.links.findIndex((candidate) => candidate.name === link);
  if (index < 0) throw invalidOption('link', link, `one of ${plan.links.map(({ name }) => name).join(', ')}`);
  return 2 * index + (direction === 'forward' ? 0 : 1);
}

/** The lanes of a direction, one or both. */
export function lanesOf(plan: FabricPlan, link: string, direction: DirectionName | 'both'): number[] {
  if (!DIRECTIONS.includes(direction)) {
    throw invalidOption('direction', direction, DIRECTIONS.join(', '));
  }
  return direction === 'both'
    ? [laneOf(plan, link, 'forward'), laneOf(plan, link, 'backward')]
    : [laneOf(plan, link, direction)];
}

/**
 * Checks a plan and resolves its names.
 *
 * @throws PreflexError ERR_INVALID_OPTION naming the field, its value and what is allowed
 */
export function resolvePaths(plan: FabricPlan): ResolvedPath[] {
  rejectUnknownKeys('fabric', plan, ['ports', 'links', 'paths', 'seed', 'schedule']);
  const ports = new Map(plan.ports.map((port, index) => [port.name, index]));
  if (ports.size !== plan.ports.length) {
    throw invalidOption(
      'fabric.ports',
      plan.ports.map(({ name }) => name),
      'a name of its own for each port',
    );
  }
  if (new Set(plan.links.map(({ name }) => name)).size !== plan.links.length) {
    throw invalidOption(
      'fabric.links',
      plan.links.map(({ name }) => name),
      'a name of its own for each link',
    );
  }
  for (const port of plan.ports) requireInteger('fabric.ports.mtu', port.mtu ?? 1500, 68, MAX_MTU);
  for (const change of plan.schedule ?? []) {
    requireNumber('fabric.schedule.atSeconds', change.atSeconds, 0, 1e6);
    lanesOf(plan, change.link, change.direction);
  }
  const portOf = (field: string, name: string): number => {
    const index = ports.get(name);
    if (index === undefined) throw invalidOption(field, name, `one of ${[...ports.keys()].join(', ')}`);
    return index;
  };
  return plan.paths.map((path) => ({
    from: portOf('fabric.paths.from', path.from),
    prefix: parsePrefix(path.prefix, 'fabric.paths.prefix'),
    lane: laneOf(plan, path.link, path.direction),
    to: portOf('fabric.paths.to', path.to),
  }));
}
