/** The gateway's configuration file: the sample, defaults, and every kind of error with its place. */
import { readFileSync } from 'node:fs';
import { describe, expect, it } from 'vitest';
import { checkGatewayOptions } from '../../lib/pref/gateway-options.ts';
import { resolveGatewayPlumbing } from '../../lib/runtime/gateway-plumbing-options.ts';
import { gatewayDaemonOptions } from '../../lib/runtime/config-options.ts';
import type { GatewayConfig } from '../../lib/runtime/config.ts';
import { loadGatewayConfig, parseGatewayConfig } from '../../lib/runtime/config.ts';
import { problemsOf } from './config-problems.ts';

const SAMPLE = new URL('../../docs/samples/gateway.yaml', import.meta.url).pathname;

const SMALL = `inside:
  device: lan
  prefixes: [10.0.0.0/24]
routes:
  - { name: a, device: wan1, nextHop: 10.1.0.2 }
  - { name: b, device: wan2, nextHop: 10.2.0.2 }
`;

const parse = (text: string): Promise<GatewayConfig> => parseGatewayConfig(text, 'gateway.yaml');

describe('a configuration without errors', () => {
  it('the documented sample parses, and its parts accept what it says', async () => {
    const config = await loadGatewayConfig(SAMPLE);
    expect(config.routes.map((route) => [route.name, route.pathId])).toEqual([
      ['north', 1],
      ['south', 2],
      ['mobile', 3],
    ]);
    expect(config.destinations).toEqual([
      { prefixes: ['0.0.0.0/0'], routes: ['north', 'south', 'mobile'] },
      { prefixes: ['::/0'], routes: ['north', 'mobile'] },
      { prefixes: ['100.64.0.0/10'], routes: ['north', 'south'] },
    ]);
    const options = gatewayDaemonOptions(config);
    expect(resolveGatewayPlumbing(options.plumbing).routes.map((route) => route.tun)).toEqual([
      'pref-north',
      'pref-south',
      'pref-mobile',
    ]);
    expect(checkGatewayOptions(options.gateway).balancer.name).toBe('loss');
    expect(options.destinations.map((destination) => destination.pathIds)).toEqual([
      [1, 2, 3],
      [1, 3],
      [1, 2],
    ]);
  });

  it('the sample says the defaults: a file with only what must be there yields the same settings', async () => {
    const sample = await loadGatewayConfig(SAMPLE);
    const small = await parse(SMALL);
    for (const key of [
      'scheme',
      'strategy',
      'betas',
      'intervalSeconds',
      'startShare',
      'fne',
      'failures',
      'notLect',
      'datapath',
      'markMask',
      'forwarding',
    ] as const) {
      expect(small[key], key).toEqual(sample[key]);
    }
  });

  it('with the datapath in the kernel refuses what that lacks, and what is its own without it', async () => {
    expect(gatewayDaemonOptions(await parse(SMALL)).kernel).toBeUndefined();
    const config = await parse(
      `${SMALL}datapath: ebpf\nmarkMask: 0xff0000\nmaxDestinations: 10\nforwarding: redirect\n`,
    );
    expect(gatewayDaemonOptions(config).kernel).toEqual({
      markMask: 0xff0000,
      destinations: 10,
      forwarding: 'redirect',
    });
    for (const [text, forwarding] of [
      ['', 'auto'],
      ['forwarding: auto\n', 'auto'],
      ['forwarding: kernel\n', 'kernel'],
    ])
      expect(await parse(`${SMALL}datapath: ebpf\n${text}`)).toMatchObject({ forwarding });
    expect(await problemsOf(`${SMALL}datapath: ebpf\nforwarding: self\n`)).toEqual([
      expect.stringContaining('forwarding: "self" is not allowed; it takes one of auto, kernel, redirect'),
    ]);
    const nat = SMALL.replace('name: b,', 'name: b, nat: true,');
    const problems = await problemsOf(`${nat}datapath: ebpf\nstrategy: self-tuning\nuser: nobody\n`);
    expect(problems).toHaveLength(2);
    expect(problems.join('\n')).toMatch(/nat: true .*\n.*user: "nobody"/);
    expect(await problemsOf(`${SMALL}markMask: 0xff0000\n`)).toEqual([
      expect.stringContaining('nothing unless the datapath is ebpf'),
    ]);
    expect(await problemsOf(`${SMALL}forwarding: redirect\n`)).toEqual([
      expect.stringContaining('nothing unless the datapath is ebpf'),
    ]);
    expect(await problemsOf(`${SMALL}datapath: ebpf\nmarkMask: 0x5f000000\n`)).toEqual([
      expect.stringContaining('a mask of 32 bits whose ones stand together'),
    ]);
  });

  it('without destinations everything is balanced, per IP version over the routes that carry it', async () => {
    expect((await parse(SMALL)).destinations).toEqual([{ prefixes: ['0.0.0.0/0'], routes: ['a', 'b'] }]);
    const both = SMALL.replace('[10.0.0.0/24]', '[10.0.0.0/24, "fd00::/64"]').replace(
      '10.2.0.2 }',
      '10.2.0.2, nextHop6: fe80::1 }',
    );
    expect((await parse(both)).destinations).toEqual([
      { prefixes: ['0.0.0.0/0'], routes: ['a', 'b'] },
      { prefixes: ['::/0'], routes: ['b'] },
    ]);
  });

  it('path IDs that are left out are the lowest free ones', async () => {
    const text = SMALL.replace('name: b,', 'name: b, pathId: 1,');
    expect((await parse(text)).routes.map((route) => route.pathId)).toEqual([2, 1]);
  });

  it('two routes over one device with different next hops are accepted', async () => {
    expect((await parse(SMALL.replace('wan2', 'wan1'))).routes.map((route) => route.device)).toEqual([
      'wan1',
      'wan1',
    ]);
  });

  it.each([
    ['equal', '', { equal: 1, conservative: 0, loss: 0 }, 'equal'],
    ['conservative', '', { equal: 0.1, conservative: 0.9, loss: 0 }, 'conservative'],
    ['loss', 'betas: { equal: 0.2, loss: 0.8 }', { equal: 0.2, conservative: 0, loss: 0.8 }, 'loss'],
    [
      'mixed',
      'betas: { equal: 0.1, conservative: 0.4, loss: 0.5 }',
      { equal: 0.1, conservative: 0.4, loss: 0.5 },
      'mixed',
    ],
    ['self-tuning', '', { equal: 0.1, conservative: 0, loss: 0.9 }, 'self-tuning'],
  ])('strategy %s has its betas and its balancer', async (strategy, betas, expected, name) => {
    const config = await parse(`${SMALL}strategy: ${strategy}\n${betas}\n`);
    expect(config.betas).toEqual(expected);
    expect(gatewayDaemonOptions(config).gateway.balancer?.name).toBe(name);
  });

  it('strategy self-tuning takes bounds of its interval', async () => {
    const config = await parse(
      `${SMALL}strategy: self-tuning\nshortestIntervalSeconds: 5\nlongestIntervalSeconds: 60\n`,
    );
    const settings = checkGatewayOptions(gatewayDaemonOptions(config).gateway);
    expect([settings.shortestIntervalNs, settings.longestIntervalNs]).toEqual([5e9, 60e9]);
    const small = checkGatewayOptions(
      gatewayDaemonOptions(await parse(`${SMALL}strategy: self-tuning\n`)).gateway,
    );
    expect([small.shortestIntervalNs, small.longestIntervalNs]).toEqual([2.5e9, 40e9]);
  });

  it('without a part for probing a new route starts with an equal share', async () => {
    expect((await parse(`${SMALL}betas: { loss: 1 }\n`)).startShare).toBe('equal');
  });

  it('scheme full takes fifteen routes', async () => {
    const routes = Array.from(
      { length: 15 },
      (_, i) => `  - { name: r${i}, device: wan${i}, nextHop: 10.1.0.2 }`,
    );
    const text = `${SMALL.slice(0, SMALL.indexOf('  - {'))}${routes.join('\n')}\nscheme: full\n`;
    expect((await parse(text)).routes.at(-1)?.pathId).toBe(15);
  });
});

describe('a configuration with errors', () => {
  it('all problems are reported at once, in the order of the file, each with line, column, field, value and range', async () => {
    const text = `inside:
  device: lan
  prefixes: [10.0.0.1/24]
routes:
  - name: a
    device: wan1
    nextHop: 10.1.0
    pathId: 9
  - name: A
    device: lan
scheme: pool3
intervalSeconds: 0
strategy: mixed
colour: red
`;
    expect(await problemsOf(text)).toEqual([
      '1:1 betas: is missing; it takes betas.equal, betas.conservative and betas.loss for strategy mixed',
      '3:14 inside.prefixes[0]: "10.0.0.1/24" is not allowed; it takes a prefix such as 192.0.2.0/24 or 2001:db8::/32, host bits zero',
      '7:14 routes[0].nextHop: "10.1.0" is not allowed; it takes an IPv4 address',
      '9:11 routes[1].name: "A" is not allowed; it takes a name of 1 to 10 lower-case letters, digits and dashes, other than "in"',
      '10:13 routes[1].device: "lan" is not allowed; it takes a device other than inside.device',
      '11:9 scheme: "pool3" is not allowed; it takes one of pool2, full',
      '12:18 intervalSeconds: 0 is not allowed; it takes a number from 0.001 to 86400',
      '14:1 colour: is not a known key; there are only the keys inside, routes, destinations, exposeTo, scheme, strategy, betas, intervalSeconds, shortestIntervalSeconds, longestIntervalSeconds, startShare, fne, failures, notLect, datapath, markMask, maxDestinations, forwarding, share, metrics, ui, user, logLevel, logFile',
    ]);
  });

  it('the message of the error begins with file, line and column', async () => {
    await expect(parse(`${SMALL}notLect: never\n`)).rejects.toThrow(
      'gateway.yaml:7:10: notLect: "never" is not allowed; it takes one of default, hash',
    );
  });

  it.each([
    [
      'a nested unknown key',
      `${SMALL}fne: { burst: 1 }\n`,
      '7:8 fne.burst: is not a known key; there are only the keys perPrefix',
    ],
    [
      'a missing section',
      SMALL.slice(SMALL.indexOf('routes')),
      '1:1 inside: is missing; it takes a mapping with the keys device, prefixes',
    ],
    [
      'a missing field',
      SMALL.replace('device: wan2, ', ''),
      '6:5 routes[1].device: is missing; it takes a device name',
    ],
    [
      'a long device name',
      SMALL.replace('wan2', 'abcdefghijklmnop'),
      '6:24 routes[1].device: "abcdefghijklmnop" is not allowed',
    ],
    [
      'a list that is empty',
      `${SMALL}destinations: []\n`,
      '7:15 destinations: [] is not allowed; it takes at least one of destinations',
    ],
    [
      'a wrong kind of value',
      `${SMALL}fne: { inferFromSyn: 1 }\n`,
      '7:22 fne.inferFromSyn: 1 is not allowed; it takes true or false',
    ],
    [
      'a number that is no power of 2',
      `${SMALL}fne: { memoryEntries: 5 }\n`,
      '7:23 fne.memoryEntries: 5 is not allowed; it takes a power of 2',
    ],
    [
      'the same name twice',
      SMALL.replace('name: b', 'name: a'),
      '6:13 routes[1].name: "a" is not allowed; it takes a value that routes[0] does not have',
    ],
    [
      'the same path ID twice',
      SMALL.replaceAll('device: wan', 'pathId: 3, device: wan'),
      '6:24 routes[1].pathId: 3 is not allowed',
    ],
    [
      'the same way twice',
      SMALL.replace('wan2, nextHop: 10.2.0.2', 'wan1, nextHop: 10.1.0.2'),
      '6:24 routes[1].device: wan1 via 10.1.0.2 is not allowed',
    ],
    [
      'a path ID beyond the scheme',
      SMALL.replace('name: b', 'name: b, pathId: 7'),
      '6:24 routes[1].pathId: 7 is not allowed; it takes 1 to 6 with scheme pool2',
    ],
    [
      'betas that do not sum to 1',
      `${SMALL}betas: { equal: 0.1, loss: 0.8 }\n`,
      '7:8 betas: a sum of 0.9 is not allowed; it takes values whose sum is 1',
    ],
    [
      'betas with strategy equal',
      `${SMALL}strategy: equal\nbetas: { equal: 1 }\n`,
      '8:8 betas: {"equal":1} is not allowed; it takes nothing with strategy equal',
    ],
    [
      'betas with strategy self-tuning',
      `${SMALL}strategy: self-tuning\nbetas: { equal: 0.1, loss: 0.9 }\n`,
      '8:8 betas: {"equal":0.1,"loss":0.9} is not allowed; it takes nothing with strategy self-tuning',
    ],
    [
      'bounds of an interval that nobody sets',
      `${SMALL}longestIntervalSeconds: 20\n`,
      '7:25 longestIntervalSeconds: 20 is not allowed; it takes nothing unless the strategy is self-tuning',
    ],
    [
      'bounds that leave the interval out',
      `${SMALL}strategy: self-tuning\nshortestIntervalSeconds: 11\n`,
      '8:26 shortestIntervalSeconds: 11 is not allowed; it takes at most intervalSeconds, 10',
    ],
    [
      'a beta that the strategy has not',
      `${SMALL}betas: { conservative: 0.5, loss: 0.5 }\n`,
      '7:24 betas.conservative: 0.5 is not allowed; it takes 0 with strategy loss',
    ],
    [
      'probing without a part for it',
      `${SMALL}betas: { loss: 1 }\nstartShare: probe\n`,
      '8:13 startShare: "probe" is not allowed; it takes equal when',
    ],
    [
      'an unknown route to expose marks to',
      `${SMALL}exposeTo: [a, c]\n`,
      '7:15 exposeTo[1]: "c" is not allowed; it takes names of routes: a, b',
    ],
    [
      'an unknown route of a destination',
      `${SMALL}destinations: [{ prefixes: [0.0.0.0/0], routes: [c] }]\n`,
      '7:50 destinations[0].routes[0]: "c" is not allowed; it takes names of routes: a, b',
    ],
    [
      'a prefix twice',
      `${SMALL}destinations: [{ prefixes: [192.0.2.0/24] }, { prefixes: [192.0.2.0/24] }]\n`,
      '7:59 destinations[1].prefixes[0]: "192.0.2.0/24" is not allowed; it takes a prefix that destinations[0].prefixes[0] does not have',
    ],
    [
      'a destination inside',
      `${SMALL}destinations: [{ prefixes: [10.0.0.64/26] }]\n`,
      '7:29 destinations[0].prefixes[0]: "10.0.0.64/26" is not allowed; it takes a prefix outside of the domain; 10.0.0.0/24 is inside',
    ],
    [
      'a destination of a version that the inside has not',
      `${SMALL}destinations: [{ prefixes: ["::/0"] }]\n`,
      'it takes an IP version that inside.prefixes has; there is no IPv6 prefix',
    ],
    [
      'an inside prefix twice',
      SMALL.replace('10.0.0.0/24', '10.0.0.0/24, 10.0.0.0/24'),
      '3:27 inside.prefixes[1]: "10.0.0.0/24" is not allowed; it takes each prefix once',
    ],
    [
      'an inside that no route carries',
      SMALL.replace('10.0.0.0/24', '"fd00::/64"'),
      '3:13 inside.prefixes: ["fd00::/64"] is not allowed; it takes a prefix of an IP version that a route',
    ],
    [
      'a reserved route name',
      SMALL.replace('name: b', 'name: in'),
      '6:13 routes[1].name: "in" is not allowed',
    ],
    [
      'a device of the gateway itself',
      SMALL.replace('wan2', 'pref-a'),
      '6:24 routes[1].device: "pref-a" is not allowed; it takes a device that is not a TUN',
    ],
    [
      'the same key twice',
      `${SMALL}scheme: full\nscheme: full\n`,
      '8:1 : not valid YAML: Map keys must be unique',
    ],
    ['broken YAML', 'inside: [', ': not valid YAML: '],
    ['an empty file', '', '1:1 : is missing; it takes a mapping with the keys inside, routes'],
  ])('%s is an error', async (_name, text, expected) => {
    expect((await problemsOf(text)).join('\n')).toContain(expected);
  });

  it('more routes than the scheme has path IDs are an error', async () => {
    const routes = Array.from(
      { length: 7 },
      (_, i) => `  - { name: r${i}, device: wan${i}, nextHop: 10.1.0.2 }`,
    );
    const text = `${SMALL.slice(0, SMALL.indexOf('  - {'))}${routes.join('\n')}\n`;
    expect(await problemsOf(text)).toEqual([
      '5:3 routes: a list of 7 is not allowed; it takes at most 6 routes with scheme pool2, which has path IDs 1 to 6',
    ]);
  });

  it('a route that cannot carry the destination is an error', async () => {
    const text = `${SMALL.replace('[10.0.0.0/24]', '[10.0.0.0/24, "fd00::/64"]')}destinations: [{ prefixes: ["::/0"], routes: [a] }]\n`;
    expect(await problemsOf(text)).toEqual([
      '7:29 destinations[0].prefixes[0]: "::/0" is not allowed; it takes IP versions that all its routes carry; route a has no nextHop6',
    ]);
  });

  it('a file that cannot be read is an error with its name', async () => {
    await expect(loadGatewayConfig('/nowhere/gateway.yaml')).rejects.toThrow(
      '/nowhere/gateway.yaml: cannot be read (ENOENT)',
    );
  });

  it('every key of the sample is a known one, and taking any line of it away never crashes', async () => {
    const lines = readFileSync(SAMPLE, 'utf8').split('\n');
    let rejected = 0;
    for (const index of lines.keys()) {
      const text = lines.filter((_, other) => other !== index).join('\n');
      const problems = await problemsOf(text);
      if (problems.length > 0) rejected++;
    }
    expect(rejected).toBeGreaterThan(3);
  });
});
