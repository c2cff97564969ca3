/** What stands in place of PREFLEX, as plans and commands. */
import { describe, expect, it } from 'vitest';
import { resolvePaths } from '../../../namespaces-lab/links/fabric-plan.ts';
import {
  describeBaseline,
  requireKernel,
  routeCommands,
  singleRoute,
  withAccess,
} from '../../../namespaces-lab/topologies/baseline.ts';
import { figure1Plan } from '../../../namespaces-lab/topologies/figure1.ts';

const ROUTES = ['l1', 'l2', 'l3'];
const RATES = [25e6, 25e6, 25e6];

function commands(...args: Parameters<typeof routeCommands>): string[] {
  return routeCommands(...args).map((words) => words.join(' '));
}

describe('the gateway of a baseline', () => {
  it('has one multipath route with ecmp', () => {
    expect(commands('ecmp', ROUTES, RATES)).toEqual([
      '-4 route replace default nexthop dev l1 nexthop dev l2 nexthop dev l3',
    ]);
  });

  it('has a resilient group of next hops', () => {
    expect(commands('resilient', ROUTES, RATES)).toEqual([
      '-4 nexthop add id 1 dev l1',
      '-4 nexthop add id 2 dev l2',
      '-4 nexthop add id 3 dev l3',
      'nexthop add id 100 group 1/2/3 type resilient buckets 120 idle_timer 60',
      '-4 route replace default nhid 100',
    ]);
  });

  it('sends everything by the first route that has a rate, and says by which', () => {
    expect(singleRoute(ROUTES, RATES)).toBe('l1');
    expect(commands('single', ROUTES, [0, 1e6, 25e6])).toEqual(['-4 route replace default dev l2']);
    expect(describeBaseline('single', ROUTES, [0, 1e6, 25e6])).toBe('everything by l2, hosts without agent');
  });
});

describe('a kernel that cannot', () => {
  const without =
    (...missing: string[]) =>
    (name: string): boolean =>
      !missing.includes(name);

  it('is told apart by a sentence that names the mode and what it needs', () => {
    expect(() => {
      requireKernel('mptcp', without('net/mptcp/enabled'));
    }).toThrow(
      /^mode mptcp needs a kernel with MPTCP \(CONFIG_MPTCP\): net\.mptcp\.enabled does not exist\.$/,
    );
    for (const mode of ['ecmp', 'resilient'] as const) {
      expect(() => {
        requireKernel(mode, without('net/ipv4/fib_multipath_hash_seed'));
      }).toThrow(/^mode \w+ needs Linux 6\.11 .*: net\.ipv4\.fib_multipath_hash_seed does not exist/);
    }
  });

  it('may lack what the mode does not take', () => {
    expect(() => {
      requireKernel('single', () => false);
      requireKernel('mptcp', without('net/ipv4/fib_multipath_hash_seed'));
      requireKernel('ecmp', without('net/mptcp/enabled'));
    }).not.toThrow();
  });
});

describe('the link between a host and its gateway', () => {
  it('joins them both ways, without rate and delay', () => {
    const names = { i1: 'a', i2: 'b', src: 'c', p: 'd', e1: 'e', e2: 'f', fabric: 'g' };
    const before = figure1Plan(names);
    const plan = withAccess(before, [
      {
        name: 'access',
        host: { netns: 'c', addresses: ['10.74.3.2/24'] },
        gateway: { netns: 'd', address: '10.74.3.1/24' },
        inside: '10.74.3.0/24',
      },
    ]);
    expect(resolvePaths(plan)).toHaveLength(resolvePaths(before).length + 2);
    expect(plan.links.at(-1)).toEqual({ name: 'access' });
    expect(plan.ports.slice(-2).map(({ netns, device }) => [netns, device])).toEqual([
      ['c', 'h0'],
      ['d', 'p0'],
    ]);
  });
});
