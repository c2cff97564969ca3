/** `share` in a gateway's configuration: the sample, what is refused, and that no secret is shown. */
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import { gatewayDaemonOptions } from '../../../lib/runtime/config-options.ts';
import { loadGatewayConfig, parseGatewayConfig } from '../../../lib/runtime/config.ts';
import { Membership } from '../../../lib/runtime/share/membership.ts';
import { readSecrets } from '../../../lib/runtime/share/server-access.ts';

const SAMPLE = new URL('../../../docs/samples/gateway-shared.yaml', import.meta.url).pathname;
const GATEWAY = `inside: { device: lan, prefixes: [10.0.0.0/24] }
routes: [{ name: a, device: wan1, nextHop: 10.1.0.2 }]
`;
const BASE = { servers: ['nats://192.0.2.53'], domain: 'example', name: 'gw1' };

let folder = '';
beforeEach(() => {
  folder = mkdtempSync(join(tmpdir(), 'preflex-share-'));
});
afterEach(() => {
  rmSync(folder, { recursive: true });
});

/** What is wrong with a file that has this `share`. */
async function problemsOf(share: object): Promise<string> {
  const text = `${GATEWAY}share: ${JSON.stringify(share)}\n`;
  return parseGatewayConfig(text, 'gateway.yaml').then(
    () => '',
    (error: Error & { problems: unknown }) => `${error.message}\n${JSON.stringify(error.problems)}`,
  );
}

describe('the configuration of a shared gateway', () => {
  it('is that of the sample, and reaches the daemon as it is', async () => {
    const config = await loadGatewayConfig(SAMPLE);
    expect(gatewayDaemonOptions(config).share).toEqual({
      servers: ['tls://nats1.example.net:4222', 'tls://nats2.example.net:4222'],
      domain: 'example',
      name: 'gw1',
      keepIntervals: 3,
      credentialsFile: '/etc/preflex/nats.creds',
      tls: { ca: '/etc/preflex/nats-ca.pem' },
    });
    expect((await parseGatewayConfig(GATEWAY, 'gateway.yaml')).share).toBeUndefined();
  });

  it.each([['nats://192.0.2.53:4222'], ['tls://[2001:db8::53]:4222'], ['nats://nats.example.net']])(
    'may have the server %s',
    async (server) => {
      expect(await problemsOf({ ...BASE, servers: [server] })).toBe('');
    },
  );

  it.each([
    ['no server', { servers: [] }, 'share.servers: [] is not allowed; it takes at least one of servers'],
    [
      'another scheme',
      { servers: ['http://a'] },
      'share.servers[0]: "http://a" is not allowed; it takes nats://HOST:PORT',
    ],
    ['a path', { servers: ['nats://a/b'] }, 'share.servers[0]: "nats://a/b" is not allowed'],
    [
      'a port that is none',
      { servers: ['nats://a:99999'] },
      'share.servers[0]: "nats://a:99999" is not allowed',
    ],
    [
      'a domain of several tokens',
      { domain: 'a.b' },
      'share.domain: "a.b" is not allowed; it takes a name of 1 to 32',
    ],
    ['a wildcard for a name', { name: '*' }, 'share.name: "*" is not allowed'],
    ['no name', { name: undefined }, 'share.name: is missing'],
    [
      'figures for ever',
      { keepIntervals: 0 },
      'share.keepIntervals: 0 is not allowed; it takes a whole number from 1 to 100',
    ],
    [
      'a relative file',
      { tokenFile: 'token' },
      'share.tokenFile: "token" is not allowed; it takes the absolute path of a file',
    ],
    [
      'two ways at once',
      { tokenFile: '/a', credentialsFile: '/b' },
      'share.credentialsFile: "/b" is not allowed; it takes nothing beside tokenFile',
    ],
    [
      'a user without password',
      { user: 'gw1' },
      'share.passwordFile: is missing; it takes a value where user has one',
    ],
    [
      'a certificate without key',
      { tls: { cert: '/a' } },
      'share.tls.key: is missing; it takes a value where cert has one',
    ],
  ])('is refused with %s', async (_, changes, message) => {
    expect(await problemsOf({ ...BASE, ...changes })).toContain(message);
  });

  it('never shows a secret that stands where none belongs', async () => {
    const wrong = [
      { ...BASE, servers: ['nats://gw1:s3cret@192.0.2.53'] },
      { ...BASE, token: 's3cret' },
      { ...BASE, password: 's3cret' },
    ];
    for (const share of wrong) {
      const problems = await problemsOf(share);
      expect(problems).toContain('share.');
      expect(problems).not.toContain('s3cret');
    }
  });
});

describe('the files of secrets', () => {
  it('must be there', () => {
    const options = { ...BASE, keepIntervals: 3, tokenFile: join(folder, 'token') };
    expect(() => Membership.check(options)).toThrow(
      `share.tokenFile: ${folder}/token cannot be read (ENOENT)`,
    );
    writeFileSync(options.tokenFile, 's3cret\n');
    expect(() => Membership.check(options)).not.toThrow();
  });

  it('are read for each connection, without the end of the line', async () => {
    const tokenFile = join(folder, 'token');
    writeFileSync(tokenFile, 'first\n');
    expect(await readSecrets({ ...BASE, tokenFile })).toEqual({ token: 'first' });
    writeFileSync(tokenFile, 'second\n');
    expect(await readSecrets({ ...BASE, tokenFile })).toEqual({ token: 'second' });
    expect(await readSecrets({ ...BASE, user: 'gw1', passwordFile: tokenFile })).toEqual({
      user: 'gw1',
      pass: 'second',
    });
    expect(await readSecrets(BASE)).toEqual({});
  });
});
