/** The gateway's answer to `explain`: why a destination's flowlets, or the packets of a flow, go where they go. */
import { invalidOption } from '../../errors.ts';
import type { FlowPreview } from '../../pref/preview.ts';
import type { RouteStatus } from '../../pref/gateway-status.ts';
import type { RatioExplanation, RatioParts } from '../../pref/update-round.ts';
import { nowNs } from '../../sys/clock.ts';
import { formatAddress } from '../../wire/addr.ts';
import type { DaemonEvent } from '../events.ts';
import type { GatewayDaemon } from '../gateway-daemon.ts';
import { coversPrefix, parsePrefix } from '../prefixes.ts';
import { recentEvents } from './events-operation.ts';
import type { FlowTarget, PrefixTarget, TargetEnd } from './explain-target.ts';
import { parseTarget } from './explain-target.ts';

/** A route of a destination, and how its ratio comes about. */
export interface ExplainedRoute extends RouteStatus {
  readonly state: 'up' | 'down' | 'drained' | 'suspended';
  /** Undefined for a route that is not balanced now, and when the ratios were kept. */
  readonly parts?: RatioParts | undefined;
}

/** The destination of a prefix. */
export interface DestinationExplanation {
  /** The prefix of the configuration that covers what was asked for. */
  readonly prefix: string;
  /** The first prefixes that share these ratios, and how many there are. */
  readonly prefixes: readonly string[];
  readonly prefixCount: number;
  readonly ratios: Omit<RatioExplanation, 'routes'>;
  /** Complete update intervals, and the length of the running one. */
  readonly intervals: number;
  readonly updateIntervalNs: number;
  readonly routes: readonly ExplainedRoute[];
  /** The last events that concern it, the newest first. */
  readonly changes: readonly DaemonEvent[];
  /** Now, on the clock of the changes. */
  readonly nowNs: number;
}

/** A packet of the flow, with the name of the route. */
export interface ExplainedPacket extends FlowPreview {
  /** Route that it takes, or that is assigned to it; undefined when none is. */
  readonly route?: string | undefined;
}

/** Answer of `explain`. */
export interface GatewayExplainAnswer {
  readonly target: string;
  /** Where everything goes that no destination covers. */
  readonly defaultRoute: string;
  /** Undefined when no destination covers the prefix. */
  readonly destination?: DestinationExplanation | undefined;
  /** For a flow with a protocol and both ports: what its packets would meet now. */
  readonly packets?: readonly ExplainedPacket[] | undefined;
}

const LISTED_PREFIXES = 8;

/** Explains a target. @throws PreflexError ERR_INVALID_OPTION */
export function explainTarget(
  daemon: GatewayDaemon,
  insidePrefixes: readonly string[],
  text: unknown,
): GatewayExplainAnswer {
  const target = parseTarget(text);
  const { gateway } = daemon;
  const names = new Map(gateway.status(0).routes.map(({ name, pathId }) => [pathId, name]));
  const [defaultRoute] = names.values();
  const answer = { target: text as string, defaultRoute };
  if (target.kind === 'prefix') return { ...answer, destination: explainDestination(daemon, target) };
  const [inside, outside] = orient(target, insidePrefixes);
  const destination = explainDestination(daemon, {
    kind: 'prefix',
    address: outside.address,
    length: outside.address.length * 8,
  });
  if (target.protocol === 0 || inside.port === 0 || outside.port === 0) return { ...answer, destination };
  const ends = {
    protocol: target.protocol,
    src: inside.address,
    srcPort: inside.port,
    dst: outside.address,
    dstPort: outside.port,
  };
  const found = gateway.findDestination(ends.dst);
  if (found !== undefined) daemon.datapath.readFlow(found.destination, ends);
  const packets = gateway.previewFlow(ends, nowNs())?.map((packet): ExplainedPacket => {
    const isAssigned = packet.direction === 'out' || packet.pathId !== 0;
    return { ...packet, route: isAssigned ? (names.get(packet.pathId) ?? defaultRoute) : undefined };
  });
  return { ...answer, destination, packets };
}

function explainDestination(daemon: GatewayDaemon, target: PrefixTarget): DestinationExplanation | undefined {
  const { gateway } = daemon;
  const found = gateway.findDestination(target.address);
  if (found === undefined || Number(found.prefix.split('/')[1]) > target.length) return undefined;
  const { prefixes, routes } = gateway.destinationStatus(found.destination);
  const { routes: parts, ...ratios } = gateway.explainRatios(found.destination);
  const names = routes.map(({ name }) => name);
  return {
    prefix: found.prefix,
    prefixes: prefixes.slice(0, LISTED_PREFIXES),
    prefixCount: prefixes.length,
    ratios,
    intervals: gateway.intervals,
    updateIntervalNs: gateway.updateIntervalNs,
    routes: routes.map((route) => ({
      ...route,
      state: stateOf(route, daemon.drainedRoutes),
      parts: parts.find(({ pathId }) => pathId === route.pathId),
    })),
    changes: recentEvents(daemon.events, (event) => {
      if ('prefix' in event) return prefixes.includes(event.prefix);
      return 'route' in event ? names.includes(event.route) : true;
    }),
    nowNs: nowNs(),
  };
}

function stateOf(route: RouteStatus, drained: readonly string[]): ExplainedRoute['state'] {
  if (drained.includes(route.name)) return 'drained';
  if (!route.up) return 'down';
  return route.suspended ? 'suspended' : 'up';
}

/** The inside end of a flow first, whichever way it was written. */
function orient({ ends }: FlowTarget, insidePrefixes: readonly string[]): readonly [TargetEnd, TargetEnd] {
  const isInside = ({ address }: TargetEnd): boolean => {
    const text = formatAddress(
      new DataView(address.buffer, address.byteOffset, address.byteLength),
      0,
      address.length === 4 ? 4 : 6,
    );
    const own = parsePrefix(`${text}/${address.length * 8}`);
    return insidePrefixes.some((prefix) => {
      const outer = parsePrefix(prefix);
      return own !== undefined && outer !== undefined && coversPrefix(outer, own);
    });
  };
  const [src, dst] = ends;
  if (isInside(src)) return [src, dst];
  if (isInside(dst)) return [dst, src];
  throw invalidOption('target', 'flow', `a flow with one address in ${insidePrefixes.join(', ')}`);
}
