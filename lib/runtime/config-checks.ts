/**
 * Checks of a gateway configuration that look at several fields at once. Pure.
 *
 * They read the file's data as it is, not as the schema leaves it, so that they find their problems even while other
 * fields are wrong: everything is reported in one go. What is not of the expected kind is passed over here.
 */
import { markingScheme } from '../wire/marking/scheme.ts';
import { STRATEGIES } from '../pref/balancers/strategies.ts';
import type { ConfigIssue, ConfigPath } from './config-file.ts';
import { SCHEMES } from './config-schema.ts';
import { DEFAULT_TABLES } from './gateway-plumbing-options.ts';
import type { Prefix } from './prefixes.ts';
import { coversPrefix, normalizeAddress, parsePrefix } from './prefixes.ts';

/** How far the sum of the betas may be from 1: rounding of decimal fractions, nothing more. */
const BETA_TOLERANCE = 1e-9;
/** As in config-schema.ts. */
const DEFAULT_INTERVAL_S = 10;

/** All problems between fields. */
export function checkGatewayConfig(data: unknown): ConfigIssue[] {
  const root = record(data);
  return [...checkRoutes(root), ...checkBalancing(root), ...checkDestinations(root), ...checkShare(root)];
}

function checkRoutes(root: Readonly<Record<string, unknown>>): ConfigIssue[] {
  const issues: ConfigIssue[] = [];
  const routes = list(root['routes']).map(record);
  const scheme = oneOf(root['scheme'] ?? 'pool2', SCHEMES);
  const maxPathId = scheme === undefined ? undefined : markingScheme(scheme).maxPathId;
  if (maxPathId !== undefined && routes.length > maxPathId) {
    const allowed = `at most ${maxPathId} routes with scheme ${scheme}, which has path IDs 1 to ${maxPathId}`;
    issues.push({ path: ['routes'], allowed, shown: `a list of ${routes.length}` });
  }
  const firstWith = new Map<string, number>();
  const once = (key: string, index: number, field: string, shown?: unknown): void => {
    const first = firstWith.get(key);
    if (first === undefined) firstWith.set(key, index);
    else
      issues.push({
        path: ['routes', index, field],
        allowed: `a value that routes[${first}] does not have`,
        shown,
      });
  };
  issues.push(...routeNameIssues(list(root['exposeTo']), ['exposeTo'], routes));
  const insideDevice = record(root['inside'])['device'];
  for (const [index, route] of routes.entries()) {
    const { name, pathId, device, nextHop, nextHop6 } = route;
    if (typeof name === 'string') once(`name ${name}`, index, 'name');
    if (typeof pathId === 'number') {
      once(`path ID ${pathId}`, index, 'pathId');
      if (maxPathId !== undefined && pathId > maxPathId && pathId <= 15) {
        issues.push({
          path: ['routes', index, 'pathId'],
          allowed: `1 to ${maxPathId} with scheme ${scheme}`,
        });
      }
    }
    if (typeof device !== 'string') continue;
    if (device === insideDevice) {
      issues.push({ path: ['routes', index, 'device'], allowed: 'a device other than inside.device' });
    }
    if (device.startsWith('pref-')) {
      issues.push({
        path: ['routes', index, 'device'],
        allowed: 'a device that is not a TUN of the gateway itself (pref-...)',
      });
    }
    if (route['nat'] === true && routes.some((other) => other !== route && other['device'] === device)) {
      // By the device it is known what a packet from outside came in by, and so where its flow is.
      issues.push({
        path: ['routes', index, 'nat'],
        allowed: 'true only for a device that no other route has',
      });
    }
    if (typeof route['table'] === 'number') {
      once(`table ${route['table']}`, index, 'table');
      issues.push(...tableIssues(route, index, routes.length));
      continue;
    }
    // Two routes over one device are fine while their next hops differ.
    const hops = [nextHop, nextHop6].map((hop) =>
      typeof hop === 'string' ? (normalizeAddress(hop) ?? hop) : '',
    );
    const shown = [device, ...hops.filter((hop) => hop !== '')].join(' via ');
    once(`way ${device} ${hops.join(' ')}`, index, 'device', shown);
  }
  return issues;
}

/** A table is in place of next hops, and neither the kernel's nor the gateway's own. */
function tableIssues(
  route: Readonly<Record<string, unknown>>,
  index: number,
  routeCount: number,
): ConfigIssue[] {
  const path = ['routes', index, 'table'];
  const table = Number(route['table']);
  const issues: ConfigIssue[] = [];
  const hop = ['nextHop', 'nextHop6'].find((key) => route[key] !== undefined);
  if (hop !== undefined) issues.push({ path, allowed: `nothing beside ${hop}: the table has the next hops` });
  const { outbound, route: first, inbound } = DEFAULT_TABLES;
  const isOwn =
    table === outbound ||
    (table >= first && table < first + routeCount) ||
    (table >= inbound && table < inbound + routeCount);
  if (table >= 253 && table <= 255)
    issues.push({ path, allowed: "a table other than 253 to 255, which are the kernel's own" });
  if (isOwn) issues.push({ path, allowed: 'a table that the gateway does not fill itself' });
  return issues;
}

function checkBalancing(root: Readonly<Record<string, unknown>>): ConfigIssue[] {
  const issues: ConfigIssue[] = checkIntervals(root);
  const strategy = oneOf(root['strategy'] ?? 'loss', STRATEGIES);
  const isGiven = root['betas'] !== undefined;
  const given = record(root['betas']);
  if (strategy === 'mixed' && !isGiven) {
    issues.push({
      path: ['betas'],
      allowed: 'betas.equal, betas.conservative and betas.loss for strategy mixed',
    });
  }
  if ((strategy === 'equal' || strategy === 'self-tuning') && isGiven) {
    issues.push({ path: ['betas'], allowed: `nothing with strategy ${strategy}: leave it out` });
    return issues;
  }
  const betas = ['equal', 'conservative', 'loss'].map((key) => given[key] ?? 0);
  const unused = strategy === 'loss' ? 'conservative' : strategy === 'conservative' ? 'loss' : undefined;
  if (unused !== undefined && typeof given[unused] === 'number' && given[unused] !== 0) {
    issues.push({
      path: ['betas', unused],
      allowed: `0 with strategy ${strategy}; use strategy mixed for all three`,
    });
  }
  if (isGiven && betas.every((beta) => typeof beta === 'number')) {
    const sum = betas.reduce((total, beta) => total + beta, 0);
    if (Math.abs(sum - 1) > BETA_TOLERANCE) {
      issues.push({
        path: ['betas'],
        allowed: 'values whose sum is 1',
        shown: `a sum of ${Number(sum.toFixed(12))}`,
      });
    }
  }
  if (root['startShare'] === 'probe' && isGiven && betas[0] === 0) {
    issues.push({
      path: ['startShare'],
      allowed: 'equal when betas.equal is 0: a route that comes up would never be tried',
    });
  }
  return issues;
}

/** The bounds of the interval are for the strategy that sets it, and have it between them. */
function checkIntervals(root: Readonly<Record<string, unknown>>): ConfigIssue[] {
  const issues: ConfigIssue[] = [];
  const interval = root['intervalSeconds'] ?? DEFAULT_INTERVAL_S;
  for (const key of ['shortestIntervalSeconds', 'longestIntervalSeconds'] as const) {
    const bound = root[key];
    if (typeof bound !== 'number') continue;
    if (root['strategy'] !== 'self-tuning') {
      issues.push({ path: [key], allowed: 'nothing unless the strategy is self-tuning: leave it out' });
    } else if (typeof interval === 'number' && key === 'shortestIntervalSeconds' && bound > interval) {
      issues.push({ path: [key], allowed: `at most intervalSeconds, ${interval}` });
    } else if (typeof interval === 'number' && key === 'longestIntervalSeconds' && bound < interval) {
      issues.push({ path: [key], allowed: `at least intervalSeconds, ${interval}` });
    }
  }
  return issues;
}

/** Servers are addresses without secrets, and there is one way to show who one is. */
function checkShare(root: Readonly<Record<string, unknown>>): ConfigIssue[] {
  const issues: ConfigIssue[] = [];
  const share = record(root['share']);
  for (const [index, server] of list(share['servers']).entries()) {
    if (typeof server !== 'string' || isServer(server)) continue;
    issues.push({
      path: ['share', 'servers', index],
      allowed: 'nats://HOST:PORT or tls://HOST:PORT; users, passwords and tokens belong in files',
      // The value may have a password in it.
      shown: server.includes('@') ? 'what is there' : undefined,
    });
  }
  const ways = ['tokenFile', 'credentialsFile', 'user'].filter((key) => share[key] !== undefined);
  for (const key of ways.slice(1)) {
    issues.push({ path: ['share', key], allowed: `nothing beside ${ways[0]}: leave one of them out` });
  }
  const tls = record(share['tls']);
  for (const [owner, path, a, b] of [
    [share, ['share'], 'user', 'passwordFile'],
    [tls, ['share', 'tls'], 'cert', 'key'],
  ] as const) {
    const missing = owner[a] === undefined ? a : owner[b] === undefined ? b : undefined;
    if (missing === undefined || (owner[a] === undefined && owner[b] === undefined)) continue;
    issues.push({ path: [...path, missing], allowed: `a value where ${missing === a ? b : a} has one` });
  }
  return issues;
}

function isServer(text: string): boolean {
  const match = /^(nats|tls):\/\/(\[[0-9a-fA-F:.]+\]|[A-Za-z0-9.-]+)(:[0-9]{1,5})?$/.exec(text);
  return match !== null && URL.canParse(text);
}

/** Every name must be a route's, and stand once. */
function routeNameIssues(
  names: readonly unknown[],
  path: ConfigPath,
  routes: readonly Readonly<Record<string, unknown>>[],
): ConfigIssue[] {
  const issues: ConfigIssue[] = [];
  for (const [position, name] of names.entries()) {
    if (typeof name !== 'string') continue;
    if (!routes.some((route) => route['name'] === name)) {
      const known = routes.map((route) => route['name']).join(', ');
      issues.push({ path: [...path, position], allowed: `names of routes: ${known}` });
    } else if (names.indexOf(name) !== position) {
      issues.push({ path: [...path, position], allowed: 'each route once' });
    }
  }
  return issues;
}

function checkDestinations(root: Readonly<Record<string, unknown>>): ConfigIssue[] {
  const issues: ConfigIssue[] = [];
  const inside = prefixesOf(record(root['inside'])['prefixes']);
  for (const { index, prefix } of inside) {
    const first = inside.find((other) => other.prefix.text === prefix.text)?.index ?? index;
    if (first !== index) issues.push({ path: ['inside', 'prefixes', index], allowed: 'each prefix once' });
  }
  const routes = list(root['routes']).map(record);
  const carriers = (family: 4 | 6): unknown[] =>
    routes.filter((route) => carries(route, family)).map((route) => route['name']);
  const destinations = root['destinations'];
  if (destinations === undefined) {
    const families = new Set(inside.map(({ prefix }) => prefix.family));
    if (
      routes.length > 0 &&
      families.size > 0 &&
      ![...families].some((family) => carriers(family).length > 0)
    ) {
      issues.push({
        path: ['inside', 'prefixes'],
        allowed: 'a prefix of an IP version that a route has a next hop for',
      });
    }
    return issues;
  }
  const seen = new Map<string, string>();
  for (const [index, entry] of list(destinations).map(record).entries()) {
    const path = ['destinations', index];
    const names = list(entry['routes']);
    issues.push(...routeNameIssues(names, [...path, 'routes'], routes));
    for (const [position, name] of names.entries()) {
      const table = routes.find((route) => route['name'] === name)?.['table'];
      if (table === undefined) continue;
      const allowed = `routes without a table: what ${String(name)} leads to is in table ${String(table)}`;
      issues.push({ path: [...path, 'routes', position], allowed });
    }
    for (const { index: position, prefix } of prefixesOf(entry['prefixes'])) {
      const at = [...path, 'prefixes', position];
      const field = `destinations[${index}].prefixes[${position}]`;
      const earlier = seen.get(prefix.text);
      if (earlier !== undefined) issues.push({ path: at, allowed: `a prefix that ${earlier} does not have` });
      else seen.set(prefix.text, field);
      const own = inside.find((candidate) => coversPrefix(candidate.prefix, prefix));
      if (own !== undefined) {
        issues.push({ path: at, allowed: `a prefix outside of the domain; ${own.prefix.text} is inside` });
      } else if (
        inside.length > 0 &&
        !inside.some((candidate) => candidate.prefix.family === prefix.family)
      ) {
        issues.push({
          path: at,
          allowed: `an IP version that inside.prefixes has; there is no IPv${prefix.family} prefix`,
        });
      }
      const able = carriers(prefix.family);
      const known = names.filter((name) => routes.some((route) => route['name'] === name));
      const unable = known.find((name) => !able.includes(name));
      const hop = prefix.family === 4 ? 'nextHop' : 'nextHop6';
      if (unable !== undefined) {
        issues.push({
          path: at,
          allowed: `IP versions that all its routes carry; route ${unable} has no ${hop}`,
        });
      } else if (known.length === 0 && routes.length > 0 && able.length === 0) {
        issues.push({ path: at, allowed: `an IP version that a route carries; no route has a ${hop}` });
      }
    }
  }
  return issues;
}

/** Whether a route can carry an IP version: it has a next hop of it, or none at all (a point-to-point device). */
export function carries(route: Readonly<Record<string, unknown>>, family: 4 | 6): boolean {
  const { nextHop, nextHop6 } = route;
  return (
    (family === 4 ? nextHop : nextHop6) !== undefined || (nextHop === undefined && nextHop6 === undefined)
  );
}

function prefixesOf(value: unknown): { index: number; prefix: Prefix }[] {
  return list(value).flatMap((text, index) => {
    const prefix = typeof text === 'string' ? parsePrefix(text) : undefined;
    return prefix === undefined ? [] : [{ index, prefix }];
  });
}

function oneOf<T extends string>(value: unknown, values: readonly T[]): T | undefined {
  return values.find((candidate) => candidate === value);
}

function record(value: unknown): Readonly<Record<string, unknown>> {
  return typeof value === 'object' && value !== null && !Array.isArray(value)
    ? (value as Record<string, unknown>)
    : {};
}

function list(value: unknown): readonly unknown[] {
  return Array.isArray(value) ? value : [];
}
