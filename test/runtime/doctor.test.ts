/** What this machine has and lacks. */
import { describe, expect, it } from 'vitest';
import { CAP_NET_ADMIN, hasCapability } from '../../lib/sys/capabilities.ts';
import { checkVersion, examineMachine, isFit } from '../../lib/runtime/doctor.ts';

describe('the doctor', () => {
  it('looks at everything that is needed, and says what to do exactly where something is missing', () => {
    const checks = examineMachine();
    expect(checks.map((check) => check.name)).toEqual([
      'Node.js',
      'Linux kernel',
      'CAP_NET_ADMIN',
      '/dev/net/tun',
      'ip',
      'policy routing',
      '/proc/sys/net',
      'IPv6',
      '/run/preflex',
      'clock source',
      'systemd units',
      'NOTIFY_SOCKET',
      'eBPF datapath',
      'network namespaces',
      'iperf3',
      'ss',
      'tcpdump',
      'nats-server',
      'bird',
    ]);
    for (const check of checks) expect(check.remedy === '', check.name).toBe(check.ok);
  });

  it.each([
    ['20.19.0', true],
    ['20.18.9', false],
    ['22.1.0', true],
    ['6.18.44-custom', true],
  ])('version %s against 20.19 (or 4.17)', (found, ok) => {
    const min = found.includes('custom') ? ([4, 17] as const) : ([20, 19] as const);
    expect(checkVersion('x', found, min, 'update').ok).toBe(ok);
  });

  it('reads the capability from the effective mask alone', () => {
    const has = (status: string): boolean => hasCapability(status, CAP_NET_ADMIN);
    expect(has('CapPrm:\t000001ffffffffff\nCapEff:\t0000000000001000\n')).toBe(true);
    expect(has('CapPrm:\t000001ffffffffff\nCapEff:\t0000000000000fff\n')).toBe(false);
    expect(has('')).toBe(false);
  });

  it('a machine is fit for service without the tools of the laboratory, but not for the laboratory', () => {
    const check = {
      name: 'iperf3',
      ok: false,
      needed: 'lab',
      found: 'missing',
      remedy: 'apt-get install iperf3',
    } as const;
    expect([isFit([check]), isFit([check], 'lab'), isFit([{ ...check, needed: 'required' }])]).toEqual([
      true,
      false,
      false,
    ]);
  });
});
