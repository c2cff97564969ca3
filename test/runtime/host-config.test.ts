/** The host's configuration file, and the check of both kinds of file. */
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import { lexSettings } from '../../lib/lex/options.ts';
import { checkConfigFile } from '../../lib/runtime/config-kind.ts';
import { ConfigError } from '../../lib/runtime/config-file.ts';
import { hostAgentOptions, loadHostConfig, parseHostConfig } from '../../lib/runtime/host-config.ts';
import { resolveHostPlumbing } from '../../lib/runtime/host-plan.ts';

const sample = (name: string): string => new URL(`../../docs/samples/${name}.yaml`, import.meta.url).pathname;
const SMALL = 'addresses: [192.0.2.10]\ndevice: eth0\n';

async function problemsOf(text: string): Promise<string[]> {
  const error: unknown = await parseHostConfig(text, 'host.yaml').then(
    () => undefined,
    (thrown: unknown) => thrown,
  );
  expect(error).toBeInstanceOf(ConfigError);
  return (error as ConfigError).problems.map((p) => `${p.line}:${p.column} ${p.field}: ${p.message}`);
}

describe('a host configuration', () => {
  it('the documented sample parses, and its parts accept what it says', async () => {
    const config = await loadHostConfig(sample('host'));
    expect(config.addresses).toEqual(['192.0.2.10', '2001:db8:1::10']);
    const options = hostAgentOptions(config);
    expect(resolveHostPlumbing(options.plumbing)).toMatchObject({ appSide: 'lex0', netSide: 'lex1' });
    expect(lexSettings(options.lex ?? {})).toMatchObject({ flowCapacity: 65_536, flowletGapNs: 1e9 });
  });

  it('the sample says the defaults: a file with only what must be there yields the same settings', async () => {
    const { addresses, metrics, ui, ...settings } = await loadHostConfig(sample('host'));
    expect([metrics, ui]).toEqual(['127.0.0.1:9464', '127.0.0.1:9465']); // which it says are none
    const small = await parseHostConfig(SMALL, 'host.yaml');
    expect(small).toEqual({ ...settings, addresses: [addresses[0]] });
  });

  it.each([
    ['127.0.0.1:9464', '127.0.0.1:9464'],
    ['9464', '9464'],
    ['"[::1]:9464"', '[::1]:9464'],
  ])('metrics: %s is an address to listen at', async (written, read) => {
    expect((await parseHostConfig(`${SMALL}metrics: ${written}\n`, 'host.yaml')).metrics).toBe(read);
  });

  it.each(['example.org:9464', '127.0.0.1', '70000', 'true', '[1]'])(
    'metrics: %s is refused with what it takes',
    async (written) => {
      expect(await problemsOf(`${SMALL}metrics: ${written}\n`)).toEqual([
        expect.stringMatching(
          /metrics: .* is not allowed; it takes ADDRESS:PORT with an IP address, such as /,
        ),
      ]);
    },
  );

  it('may let the host choose its paths itself', async () => {
    const config = await parseHostConfig(`${SMALL}hostDriven: true\n`, 'host.yaml');
    expect(lexSettings(hostAgentOptions(config).lex ?? {}).hostDriven).toBe(true);
  });

  it('with datapath ebpf takes no field of the TUN datapath', async () => {
    const { datapath } = await parseHostConfig(`${SMALL}datapath: ebpf\nhostDriven: false\n`, 'host.yaml');
    expect(datapath).toBe('ebpf');
    expect(await problemsOf(`${SMALL}datapath: ebpf\nhostDriven: true\nappSide: app0\n`)).toEqual([
      '4:13 hostDriven: true is not allowed; it takes no value with datapath ebpf',
      '5:10 appSide: "app0" is not allowed; it takes no value with datapath ebpf',
    ]);
  });

  it('all problems are reported at once, each with line, column, field, value and range', async () => {
    const text = `addresses: [192.0.2.10, 192.0.2.11, 10.1]
device: eth0
scheme: pool3
flows: 0
flowletGapSeconds: 4000
fneAfterTimeouts: 1.5
keepPath: 1
appSide: eth0
netSide: lex/1
intervalSeconds: soon
colour: red
`;
    expect(await problemsOf(text)).toEqual([
      '1:25 addresses[1]: "192.0.2.11" is not allowed; it takes one address of each IP version; this is the second IPv4 address',
      '1:37 addresses[2]: 10.1 is not allowed; it takes an IPv4 or IPv6 address without prefix length and zone',
      '3:9 scheme: "pool3" is not allowed; it takes one of pool2, full',
      '4:8 flows: 0 is not allowed; it takes a whole number from 1 to 16777216',
      '5:20 flowletGapSeconds: 4000 is not allowed; it takes a number from 0.001 to 3600',
      '6:19 fneAfterTimeouts: 1.5 is not allowed; it takes a whole number from 1 to 15',
      '7:11 keepPath: 1 is not allowed; it takes true or false',
      '8:10 appSide: "eth0" is not allowed; it takes a name other than device',
      '9:10 netSide: "lex/1" is not allowed; it takes a device name, 1 to 15 characters without blank, slash or colon',
      '10:18 intervalSeconds: "soon" is not allowed; it takes a number from 0.001 to 86400',
      '11:1 colour: is not a known key; there are only the keys addresses, device, datapath, scheme, flows, flowletGapSeconds, fneAfterTimeouts, keepPath, hostDriven, offload, appSide, netSide, intervalSeconds, metrics, ui, user, logLevel, logFile',
    ]);
  });

  it('both TUNs with one name are an error', async () => {
    expect(await problemsOf(`${SMALL}appSide: x0\nnetSide: x0\n`)).toEqual([
      '4:10 netSide: "x0" is not allowed; it takes a name other than device and appSide',
    ]);
  });

  it('a file without addresses and device says that they are missing', async () => {
    expect(await problemsOf('scheme: full\n')).toEqual([
      '1:1 addresses: is missing; it takes a list of addresses',
      '1:1 device: is missing; it takes a device name, 1 to 15 characters without blank, slash or colon',
    ]);
  });
});

describe('the check of a file', () => {
  let folder = '';
  beforeEach(() => {
    folder = mkdtempSync(join(tmpdir(), 'preflex-check-'));
  });
  afterEach(() => {
    rmSync(folder, { recursive: true });
  });
  const file = (text: string): string => {
    const path = join(folder, 'some.yaml');
    writeFileSync(path, text);
    return path;
  };

  it('knows both samples by their keys, and finds nothing wrong with them', async () => {
    expect(await checkConfigFile(sample('gateway'))).toEqual({ kind: 'gateway', problems: [] });
    expect(await checkConfigFile(sample('host'))).toEqual({ kind: 'host', problems: [] });
  });

  it('gives field, value and range of a problem each by itself', async () => {
    const { kind, problems } = await checkConfigFile(file(`${SMALL}flows: -1\n`));
    expect(kind).toBe('host');
    expect(problems).toEqual([
      {
        line: 3,
        column: 8,
        field: 'flows',
        value: -1,
        allowed: 'a whole number from 1 to 16777216',
        message: '-1 is not allowed; it takes a whole number from 1 to 16777216',
      },
    ]);
  });

  it.each([
    ['an empty file', '', undefined, /^is neither a gateway configuration .* nor a host configuration/],
    ['a list', '- 1\n', undefined, /^is neither/],
    ['keys of both', `${SMALL}routes: []\n`, undefined, /^is neither/],
    ['text that is not YAML', 'device: [', undefined, /^not valid YAML/],
  ])('%s is a problem', async (_, text, kind, message) => {
    const found = await checkConfigFile(file(text));
    expect(found.kind).toBe(kind);
    expect(found.problems[0]?.message).toMatch(message);
  });

  it('a file that is not there is a problem', async () => {
    const found = await checkConfigFile(join(folder, 'none.yaml'));
    expect(found.problems).toEqual([{ line: 0, column: 0, field: '', message: 'cannot be read (ENOENT)' }]);
  });

  it('with the kind given, keys of the other are unknown', async () => {
    const { problems } = await checkConfigFile(sample('host'), 'gateway');
    expect(problems.map((problem) => problem.field)).toContain('addresses');
  });

  it('takes what it says as a service, and refuses what cannot be a user, a level or a file', async () => {
    const head = 'addresses: [192.0.2.10]\ndevice: eth0\n';
    const service = { user: 'preflex', logLevel: 'debug', logFile: '/var/log/x' };
    const config = await parseHostConfig(`${head}user: preflex\nlogLevel: debug\nlogFile: /var/log/x\n`, 'x');
    expect(config).toMatchObject(service);
    expect(await problemsOf(`${head}user: a b\nlogLevel: loud\nlogFile: log\n`)).toEqual([
      '3:7 user: "a b" is not allowed; it takes the name of a user, 1 to 32 letters, digits, dots, dashes and underscores',
      '4:11 logLevel: "loud" is not allowed; it takes one of error, warn, info, debug',
      '5:10 logFile: "log" is not allowed; it takes the absolute path of a file',
    ]);
  });
});
