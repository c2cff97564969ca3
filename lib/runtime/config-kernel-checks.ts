/** What a gateway configuration cannot have with the datapath in the kernel, and what means something there only. Pure. */
import type { ConfigIssue } from './config-file.ts';
import type { DatapathName } from './config-schema.ts';

/** Checks the data of a file. @param datapath - what the command says, which comes before the file */
export function checkKernelFields(data: unknown, datapath: DatapathName | undefined): ConfigIssue[] {
  if (typeof data !== 'object' || data === null) return [];
  const root = data as Record<string, unknown>;
  const issues: ConfigIssue[] = [];
  if ((datapath ?? root['datapath']) !== 'ebpf') {
    for (const field of ['markMask', 'maxDestinations', 'forwarding']) {
      if (root[field] === undefined) continue;
      issues.push({ path: [field], allowed: 'nothing unless the datapath is ebpf: leave it out' });
    }
    return issues;
  }
  if (root['user'] !== undefined)
    issues.push({
      path: ['user'],
      allowed: 'nothing with datapath ebpf, which needs more than CAP_NET_ADMIN',
    });
  const routes = Array.isArray(root['routes']) ? (root['routes'] as unknown[]) : [];
  for (const [index, route] of routes.entries()) {
    if (typeof route !== 'object' || route === null || (route as Record<string, unknown>)['nat'] !== true)
      continue;
    const allowed = 'false with datapath ebpf: it remembers no flows, as a route with NAT needs';
    issues.push({ path: ['routes', index, 'nat'], allowed });
  }
  return issues;
}
