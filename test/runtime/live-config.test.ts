/** A running daemon's configuration: what can change, what is refused, what stays in force. */
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import { configDifferences } from '../../lib/runtime/config-difference.ts';
import { parseGatewayConfig } from '../../lib/runtime/config.ts';
import { EventLog } from '../../lib/runtime/events.ts';
import type { GatewayDaemonOptions } from '../../lib/runtime/gateway-daemon.ts';
import { LiveGatewayConfig } from '../../lib/runtime/gateway-live.ts';
import { parseHostConfig } from '../../lib/runtime/host-config.ts';
import { LiveHostConfig } from '../../lib/runtime/host-live.ts';

const GATEWAY = `inside:
  device: lan
  prefixes: [10.0.0.0/24, 'fd00::/64']
routes:
  - { name: a, device: wan1, nextHop: 10.1.0.2, nextHop6: fe80::1 }
  - { name: b, device: wan2, nextHop: 10.2.0.2, nextHop6: fe80::2 }
`;
const HOST = 'addresses: [192.0.2.10]\ndevice: eth0\n';

let folder = '';
let file = '';
beforeEach(() => {
  folder = mkdtempSync(join(tmpdir(), 'preflex-live-'));
  file = join(folder, 'some.yaml');
});
afterEach(() => {
  rmSync(folder, { recursive: true });
});

/** A live configuration, with what was handed to the daemon, and its events. */
async function startGateway(): Promise<{
  live: LiveGatewayConfig;
  taken: Partial<GatewayDaemonOptions>[];
  events: EventLog;
}> {
  const taken: Partial<GatewayDaemonOptions>[] = [];
  const events = new EventLog();
  const daemon = {
    events,
    reconfigure: (options: Partial<GatewayDaemonOptions>) => void taken.push(options),
  };
  const config = await parseGatewayConfig(GATEWAY, file);
  return { live: new LiveGatewayConfig(file, GATEWAY, config, daemon), taken, events };
}

describe('the difference of two configurations', () => {
  it('names every field that differs, inside lists too', () => {
    const before = { a: 1, b: { c: [1, 2], d: 'x' }, e: [1] };
    const after = { a: 2, b: { c: [1, 3], d: 'x' }, e: [1, 2] };
    expect(configDifferences(before, after)).toEqual([
      { field: 'a', before: 1, after: 2 },
      { field: 'b.c[1]', before: 2, after: 3 },
      { field: 'e', before: [1], after: [1, 2] },
    ]);
  });
});

describe('the reload of a gateway', () => {
  it('takes strategy, betas, interval and destinations over', async () => {
    const { live, taken } = await startGateway();
    const more = `strategy: mixed
betas: { equal: 0.2, conservative: 0.3, loss: 0.5 }
intervalSeconds: 3
destinations: [{ prefixes: [0.0.0.0/0, '::/0'] }, { prefixes: [192.0.2.0/24], routes: [b] }]
`;
    writeFileSync(file, GATEWAY + more);
    expect(await live.reload()).toEqual([
      'destinations',
      'strategy',
      'betas.equal',
      'betas.conservative',
      'betas.loss',
      'intervalSeconds',
    ]);
    expect(taken).toMatchObject([
      {
        gateway: { balancer: { name: 'mixed' }, updateIntervalNs: 3e9 },
        destinations: [{}, {}, { prefixes: ['192.0.2.0/24'], pathIds: [2] }],
      },
    ]);
    expect(live.config.strategy).toBe('mixed');
  });

  it('takes the self-tuning strategy and its bounds over', async () => {
    const { live, taken } = await startGateway();
    writeFileSync(file, `${GATEWAY}strategy: self-tuning\nlongestIntervalSeconds: 20\n`);
    expect(await live.reload()).toEqual(['strategy', 'longestIntervalSeconds']);
    expect(taken).toMatchObject([
      { gateway: { balancer: { name: 'self-tuning' }, longestIntervalNs: 20e9 } },
    ]);
  });

  it('takes neighbours, limits of FNE packets and rules of inferring failures over', async () => {
    const { live, taken } = await startGateway();
    const more = `exposeTo: [b]
fne: { perPrefixPerSecond: 7, totalPerSecond: 0.5 }
failures: { infer: false, windowSeconds: 0.4, share: 0.8 }
`;
    writeFileSync(file, GATEWAY + more);
    expect(await live.reload()).toEqual([
      'exposeTo',
      'fne.perPrefixPerSecond',
      'fne.totalPerSecond',
      'failures.infer',
      'failures.windowSeconds',
      'failures.share',
    ]);
    expect(taken).toMatchObject([
      {
        gateway: {
          exposeTo: [2],
          fneRatePerDestination: 7,
          fneBurstPerDestination: 7,
          fneRateTotal: 0.5,
          fneBurstTotal: 1,
          inferFailures: false,
          failureWindowNs: 0.4e9,
          failureShare: 0.8,
        },
      },
    ]);
  });

  it('a file that says the same changes nothing', async () => {
    const { live, taken } = await startGateway();
    writeFileSync(file, `# the same\n${GATEWAY}strategy: loss\n`);
    expect([await live.reload(), taken]).toEqual([[], []]);
  });

  it.each([
    [
      'scheme',
      'scheme: full\n',
      'scheme cannot change from "pool2" to "full" while the daemon runs; it needs a restart.',
    ],
    [
      'the FNE memory',
      'fne: { memoryEntries: 4 }\n',
      'fne.memoryEntries cannot change from 65536 to 4 while',
    ],
    ['the sample', 'failures: { sample: 8 }\n', 'failures.sample cannot change from 64 to 8 while'],
    [
      'startShare through betas',
      'betas: { loss: 1 }\n',
      'startShare cannot change from "probe" to "equal" while',
    ],
    [
      'the IP versions',
      'destinations: [{ prefixes: [0.0.0.0/0] }]\n',
      'destinations has no IPv6 prefix any more; which IP versions are diverted cannot change while',
    ],
  ])('a change of %s is refused, and nothing of the file is taken over', async (_, more, message) => {
    const { live, taken } = await startGateway();
    writeFileSync(file, `${GATEWAY}intervalSeconds: 3\n${more}`);
    await expect(live.reload()).rejects.toThrow(message);
    expect([taken, live.config.intervalSeconds]).toEqual([[], 10]);
  });

  it('all fields that cannot change are named at once', async () => {
    const { live } = await startGateway();
    writeFileSync(file, GATEWAY.replace('wan1', 'wan3').replace('device: lan', 'device: lan2'));
    await expect(live.reload()).rejects.toThrow(
      'inside.device cannot change from "lan" to "lan2" while the daemon runs; it needs a restart.\n' +
        'routes[0].device cannot change from "wan1" to "wan3" while the daemon runs; it needs a restart.',
    );
  });

  it('a wrong file is refused with its places', async () => {
    const { live, taken } = await startGateway();
    writeFileSync(file, `${GATEWAY}strategy: best\n`);
    await expect(live.reload()).rejects.toThrow(`${file}:7:11: strategy: "best" is not allowed`);
    expect(taken).toEqual([]);
  });

  it('when the daemon refuses, the configuration before stays in force', async () => {
    const config = await parseGatewayConfig(GATEWAY, file);
    const daemon = {
      events: new EventLog(),
      reconfigure: () => {
        throw new Error('no such route');
      },
    };
    const live = new LiveGatewayConfig(file, GATEWAY, config, daemon);
    writeFileSync(file, `${GATEWAY}strategy: equal\n`);
    await expect(live.reload()).rejects.toThrow('no such route');
    expect(live.config.strategy).toBe('loss');
  });

  it('an edit passes the same checks, and a reload gives it up for the file', async () => {
    const { live, taken } = await startGateway();
    expect(await live.edit([[['strategy'], 'equal']])).toEqual(['strategy', 'betas.equal', 'betas.loss']);
    await expect(live.edit([[['intervalSeconds'], 0]])).rejects.toThrow('intervalSeconds: 0 is not allowed');
    expect(live.config).toMatchObject({ strategy: 'equal', intervalSeconds: 10 });
    writeFileSync(file, GATEWAY);
    expect(await live.reload()).toContain('strategy');
    expect(taken.map((options) => options.gateway?.balancer?.name)).toEqual(['equal', 'loss']);
  });

  it('a refused edit names fields, and no lines of a text that nobody has seen', async () => {
    const { live } = await startGateway();
    await expect(live.edit([[['strategy'], 'mixed']])).rejects.toThrow(/^betas: is missing/);
    expect(live.config.strategy).toBe('loss');
  });

  it('what was changed by hand or by the file, and what was refused, is an event', async () => {
    const { live, events } = await startGateway();
    await live.edit([[['intervalSeconds'], 3]]);
    writeFileSync(file, `${GATEWAY}scheme: full\n`);
    await expect(live.reload()).rejects.toThrow('scheme cannot change');
    writeFileSync(file, GATEWAY);
    await live.reload();
    expect(events.since()).toMatchObject([
      { kind: 'set', changed: ['intervalSeconds'] },
      { kind: 'reload', ok: false, message: expect.stringMatching(/^scheme cannot change from "pool2"/) },
      { kind: 'reload', ok: true, changed: ['intervalSeconds'] },
    ]);
  });

  it('another level of the log is taken without touching the gateway; another file or user is refused', async () => {
    const { live, taken } = await startGateway();
    writeFileSync(file, `${GATEWAY}logLevel: debug\n`);
    expect(await live.reload()).toEqual(['logLevel']);
    expect([taken, live.config.logLevel]).toEqual([[], 'debug']);
    writeFileSync(file, `${GATEWAY}user: preflex\nlogFile: /var/log/preflex.log\n`);
    await expect(live.reload()).rejects.toThrow(
      'user cannot change from nothing to "preflex" while the daemon runs; it needs a restart.\n' +
        'logFile cannot change from nothing to "/var/log/preflex.log" while the daemon runs; it needs a restart.',
    );
  });

  it('two changes at once come one after the other', async () => {
    const { live } = await startGateway();
    await Promise.all([live.edit([[['intervalSeconds'], 3]]), live.edit([[['strategy'], 'equal']])]);
    expect(live.config).toMatchObject({ strategy: 'equal', intervalSeconds: 3 });
  });
});

describe('the reload of a host', () => {
  it('takes the rules and the interval over, and refuses everything else by name', async () => {
    const events = new EventLog();
    const taken: unknown[] = [];
    const live = new LiveHostConfig(file, HOST, await parseHostConfig(HOST, file), {
      events,
      reconfigure: ({ lex }) => taken.push(lex),
    });
    writeFileSync(file, `${HOST}intervalSeconds: 2\n`);
    expect(await live.reload()).toEqual(['intervalSeconds']);
    const rules = 'flowletGapSeconds: 2\nfneAfterTimeouts: 3\nkeepPath: false\nhostDriven: true\n';
    writeFileSync(file, `${HOST}intervalSeconds: 2\n${rules}`);
    expect(await live.reload()).toEqual(['flowletGapSeconds', 'fneAfterTimeouts', 'keepPath', 'hostDriven']);
    expect(taken.at(-1)).toMatchObject({
      flowletGapNs: 2e9,
      fneAfterTimeouts: 3,
      keepPathWithoutAnswer: false,
      hostDriven: true,
    });
    writeFileSync(file, `${HOST}intervalSeconds: 3\nflows: 10\n${rules}`);
    await expect(live.reload()).rejects.toThrow(
      'flows cannot change from 65536 to 10 while the daemon runs; it needs a restart.',
    );
    expect(live.config.intervalSeconds).toBe(2);
    expect(events.since()).toMatchObject([{ ok: true }, { ok: true }, { ok: false }]);
  });

  it('an agent that was started with options has nothing to read again', async () => {
    const live = new LiveHostConfig(undefined, HOST, await parseHostConfig(HOST, ''), {
      events: new EventLog(),
      reconfigure: () => undefined,
    });
    await expect(live.reload()).rejects.toThrow('this daemon was started with options, not with a file');
  });
});
