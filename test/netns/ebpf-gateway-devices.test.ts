/** The gateway in the kernel between devices that nothing goes through: which of them have its programs, and what it keeps. */
import { expect, it } from 'vitest';
import { GatewayKernel } from '../../lib/ebpf/gateway-kernel.ts';
import { DEFAULT_MARK_MASK } from '../../lib/ebpf/gateway-settings.ts';
import {
  createPersistentTun,
  deleteRule,
  ip,
  listRules,
  readSysctl,
  ruleArgs,
  setLink,
} from '../../lib/netns/index.ts';
import { checkGatewayOptions } from '../../lib/pref/gateway-options.ts';
import { GatewayDaemon } from '../../lib/runtime/gateway-daemon.ts';
import { EbpfGatewayDatapath } from '../../lib/runtime/gateway-ebpf-datapath.ts';
import { tcxPrograms } from '../../lib/sys/bpf.ts';
import { Fd } from '../../lib/sys/fd.ts';
import { interfaceIndex } from '../../lib/sys/interface.ts';
import { ioctlBytes, ioctlNumber, O_RDWR, openFile } from '../../lib/sys/libc.ts';
import { withinNetns } from '../support/in-netns.ts';
import { connect, describeNetns, useLab } from '../support/netns.ts';

/** More ms than 32 bits hold. */
const SUSPENDED_AT_NS = 5e9 * 1e6;

/**
 * A TUN of a link layer that no program can be on (ARPHRD_NETLINK), in this thread's namespace.
 *
 * @returns the descriptor that keeps its carrier up
 */
function makeOddDevice(name: string): Fd {
  createPersistentTun(name);
  const fd = openFile('/dev/net/tun', O_RDWR);
  const request = new Uint8Array(40);
  request.set(new TextEncoder().encode(name));
  // IFF_TUN | IFF_NO_PI
  new DataView(request.buffer).setUint16(16, 0x1001, true);
  ioctlBytes(fd, 0x4004_54ca, request, 'TUNSETIFF', name);
  expect(ioctlNumber(fd, 0x4004_54cd, 824)).toBe(0);
  return new Fd(fd, 'the odd device');
}

describeNetns('the gateway in the kernel', () => {
  const lab = useLab();

  const makeDevices = (namespace: string): string => {
    const netns = lab.scope.namespace(namespace);
    for (const name of ['p0', 'w1', 'w2']) connect({ netns, name }, { netns, name: `${name}-far` });
    return netns;
  };

  /** Over both, in this thread's namespace. */
  const startGateway = (): GatewayDaemon =>
    GatewayDaemon.start({
      plumbing: {
        insideDevice: 'p0',
        insidePrefixes: ['10.0.0.0/24'],
        routes: [
          { name: 'a', device: 'w1' },
          { name: 'b', device: 'w2' },
        ],
        destinations: ['0.0.0.0/0'],
        journalDirectory: lab.folder,
      },
      gateway: {
        routes: [
          { name: 'a', pathId: 1 },
          { name: 'b', pathId: 2 },
        ],
      },
      kernel: { destinations: 4 },
      destinations: [{ prefixes: ['0.0.0.0/0'], pathIds: [1, 2] }],
    });

  it('gives a device that came back its program again, and goes on without one that takes none', () => {
    const netns = makeDevices('modem');
    const where = { netns };
    withinNetns(netns, () => {
      const daemon = startGateway();
      const refused = (): unknown => daemon.datapath.kernelStatus?.refusedDevices;
      try {
        ip(['link', 'del', 'w1'], where);
        expect(daemon.refresh()).toEqual(['a']);
        expect(refused()).toEqual({});
        // A modem that is another kind of device now.
        const odd = makeOddDevice('w1');
        setLink('w1', { up: true }, where);
        expect(daemon.refresh()).toEqual([]);
        expect(refused()).toEqual({ w1: expect.stringMatching(/"w1" is not allowed; .*ARPHRD 824/) });
        odd.close();
        ip(['link', 'del', 'w1'], where);
        connect({ netns, name: 'w1' }, { netns, name: 'w1-far' });
        expect(daemon.refresh()).toEqual(['a']);
        expect(refused()).toEqual({});
        expect(tcxPrograms(interfaceIndex('w1'), 'ingress')).toHaveLength(1);
      } finally {
        daemon.stop();
        EbpfGatewayDatapath.detach('p0', lab.folder);
      }
    });
  });

  it('puts back its rules, and the forwarding of a device that was made anew, and says so', () => {
    const netns = makeDevices('put-back');
    const where = { netns };
    withinNetns(netns, () => {
      const daemon = startGateway();
      try {
        const rules = (): string[] => listRules(4, where).map((rule) => ruleArgs(rule).join(' '));
        const before = rules();
        const inwards = (device: string): string | undefined =>
          readSysctl(`net/ipv4/conf/${device}/forwarding`, where);
        expect([inwards('w1'), before.length]).toEqual(['1', 5]);
        for (const rule of listRules(4, where)) if (rule.fwmark !== undefined) deleteRule(rule, where);
        ip(['link', 'del', 'w1'], where);
        connect({ netns, name: 'w1' }, { netns, name: 'w1-far' });
        expect([inwards('w1'), rules().length]).toEqual(['0', 3]);
        daemon.refresh();
        expect([inwards('w1'), rules()]).toEqual(['1', before]);
        const told = daemon.events.since().flatMap((event) => (event.kind === 'putBack' ? event.what : []));
        expect(told).toContain('sysctl -w net/ipv4/conf/w1/forwarding=1');
        expect(told.filter((what) => what.startsWith('rule -4'))).toHaveLength(2);
      } finally {
        daemon.stop();
        EbpfGatewayDatapath.detach('p0', lab.folder);
      }
    });
  });

  it('knows from the process before it when a route was suspended last', () => {
    withinNetns(makeDevices('settling'), () => {
      const place = {
        insideDevice: 'p0',
        routes: [{ device: 'w1', pathId: 1 }],
        scheme: 'pool2',
        destinations: 4,
        memoryEntries: 1024,
      };
      const settings = checkGatewayOptions({ routes: [{ name: 'a', pathId: 1 }], fneMemoryEntries: 1024 });
      const first = new GatewayKernel(place, false);
      expect(first.suspendedAtNs).toBeUndefined();
      first.load(settings, { markMask: DEFAULT_MARK_MASK, suspendedAtNs: SUSPENDED_AT_NS });
      first.attach();
      first.close();
      const second = new GatewayKernel(place, true);
      expect(second.suspendedAtNs).toBe(SUSPENDED_AT_NS);
      second.close();
      expect(GatewayKernel.detach('p0')).toBe(true);
    });
  });
});
