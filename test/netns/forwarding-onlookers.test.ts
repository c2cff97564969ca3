/** Who wants to see packets that are forwarded: on a real kernel, in a namespace of each test's own. */
import { expect, it } from 'vitest';
import { GatewayPrograms } from '../../lib/ebpf/gateway-programs.ts';
import { DEFAULT_MARK_MASK } from '../../lib/ebpf/gateway-settings.ts';
import { inNamespace, run, waitFor } from '../../lib/netns/index.ts';
import { checkGatewayOptions } from '../../lib/pref/gateway-options.ts';
import { ForwardingOnlookers } from '../../lib/runtime/forwarding-onlookers.ts';
import type { TrafficDirection } from '../../lib/sys/bpf.ts';
import { createTcxLink, programId, tcxPrograms } from '../../lib/sys/bpf.ts';
import { Fd } from '../../lib/sys/fd.ts';
import { interfaceIndex } from '../../lib/sys/interface.ts';
import { attachClsact } from '../../lib/sys/libbpf.ts';
import { makeSocket } from '../../lib/sys/socket-calls.ts';
import { readSocketOptionBytes } from '../../lib/sys/socket-options.ts';
import { withinNetns } from '../support/in-netns.ts';
import { connect, describeNetns, useLab } from '../support/netns.ts';

const INSIDE = 'p0';
const RULE_PRIORITY = 7010;
const TABLES = [7210, 7211];
const OWN_RULE = `priority ${RULE_PRIORITY} iif ${INSIDE} fwmark 0x1000000/0x3f000000 lookup 7210`;
/** IPT_SO_GET_INFO and IP6T_SO_GET_INFO, whose question makes the kernel set the table up, as `iptables -L` does. */
const GET_INFO = 64;

describeNetns('onlookers of forwarded packets', () => {
  const lab = useLab();

  const start = (place: { behind: number; filterPriority: number | undefined } = NO_PROGRAM) => {
    const netns = lab.scope.namespace('watched');
    connect({ netns, name: INSIDE, addresses: ['10.5.0.1/24', 'fd05::1/64'] }, { netns, name: 'peer' });
    const state = { place, addresses: 0 };
    const onlookers = withinNetns(
      netns,
      () =>
        new ForwardingOnlookers({
          insideDevice: INSIDE,
          families: [4, 6],
          rulePriority: RULE_PRIORITY,
          markMask: DEFAULT_MARK_MASK,
          tables: TABLES,
          placeOfProgram: () => state.place,
          onAddresses: () => state.addresses++,
        }),
    );
    lab.scope.defer('onlookers', () => {
      onlookers.close();
    });
    return {
      netns,
      onlookers,
      state,
      find: () => withinNetns(netns, () => onlookers.find()),
      nft: (rules: string) => run(inNamespace(['nft', '-f', '-'], { netns }), { input: rules }),
      ip: (words: string) => run(inNamespace(['ip', ...words.split(' ')], { netns })),
    };
  };

  it('are none on a machine with addresses, routes and the rules of the gateway alone', () => {
    const { find, ip } = start();
    for (const version of ['-4', '-6']) {
      ip(`${version} rule add ${OWN_RULE}`);
      ip(`${version} rule add priority 7011 fwmark 1 lookup 100`);
      ip(`${version} rule add priority 300 iif lo lookup 100`);
      ip(`${version} rule add priority 301 iif peer lookup 100`);
    }
    ip('route add 10.9.0.0/24 dev p0');
    expect(find()).toBeUndefined();
  });

  it('are chains of nftables where forwarded packets pass, and no others', () => {
    const { find, nft } = start();
    nft(`table inet others {
      chain called { accept; }
      chain in { type filter hook input priority 0; }
      chain out { type filter hook output priority 0; }
    }
    table bridge b {
      chain f { type filter hook forward priority 0; }
    }
    table arp a {
      chain i { type filter hook input priority 0; }
    }
    table netdev d {
      chain elsewhere { type filter hook ingress device "peer" priority 0; }
      chain leaving { type filter hook egress device "p0" priority 0; }
    }`);
    expect(find()).toBeUndefined();
    for (const family of ['ip', 'ip6', 'inet']) {
      for (const hook of ['prerouting', 'forward', 'postrouting']) {
        nft(chain(family, hook));
        expect(find()).toBe(`chain c of table ${family} t (nftables, hook ${hook})`);
        nft(`delete table ${family} t`);
        expect(find()).toBeUndefined();
      }
    }
    for (const family of ['netdev', 'inet']) {
      nft(chain(family, `ingress device "${INSIDE}"`));
      expect(find()).toBe(`chain c of table ${family} t (nftables, hook ingress)`);
      nft(`delete table ${family} t`);
    }
  });

  it('are found among thousands of chains that are not', () => {
    const { find, nft } = start();
    const chains = Array.from({ length: 3000 }, (_, i) => `chain called-by-another-chain-${i} { }`);
    nft(`table inet many {\n${chains.join('\n')}\n}`);
    expect(find()).toBeUndefined();
    nft(chain('ip', 'forward'));
    expect(find()).toBe('chain c of table ip t (nftables, hook forward)');
  });

  it('are tables of the old iptables, of either IP version', () => {
    const { find, netns } = start();
    expect(find()).toBeUndefined();
    for (const [version, level, domain, name] of [
      [6, 41, 10, 'ip6tables'],
      [4, 0, 2, 'iptables'],
    ] as const) {
      withinNetns(netns, () => {
        const socket = new Fd(makeSocket(domain, 3, 255), `a raw socket of IPv${version}`);
        const info = new Uint8Array(84);
        info.set(new TextEncoder().encode('mangle'));
        readSocketOptionBytes(socket.number, level, GET_INFO, info);
        socket.close();
      });
      expect(find()).toBe(`table mangle of ${name}`);
    }
  });

  it('are policies of IPsec, and a default that drops', () => {
    const { find, ip } = start();
    for (const direction of ['in', 'out', 'fwd']) {
      const policy = `src 10.5.0.0/24 dst 10.6.0.0/24 dir ${direction}`;
      ip(`xfrm policy add ${policy} action allow`);
      expect(find()).toBe(`a policy of IPsec (direction ${direction})`);
      ip(`xfrm policy delete ${policy}`);
      expect(find()).toBeUndefined();
    }
    ip('xfrm policy setdefault fwd block');
    expect(find()).toBe('the default policy of IPsec, which drops');
    ip('xfrm policy setdefault fwd accept');
    expect(find()).toBeUndefined();
  });

  it("are rules of others that come before the gateway's, for packets from the inside", () => {
    const { find, ip } = start();
    for (const [version, rule] of [
      [4, 'from 10.5.0.9 lookup 100'],
      [4, 'fwmark 1 lookup 100'],
      [6, `iif ${INSIDE} lookup main`],
      [6, 'lookup main'],
      [6, 'not iif peer lookup 100'],
      [4, 'to 10.9.0.0/16 blackhole'],
      [4, 'lookup local suppress_prefixlength 0 to 10.0.0.0/8'],
    ] as const) {
      ip(`-${version} rule add priority 90 ${rule}`);
      expect(find(), rule).toBe(`rule 90 of IPv${version} before the gateway's own`);
      ip(`-${version} rule del priority 90`);
      expect(find(), rule).toBeUndefined();
    }
    // At the same priority, but not the gateway's: another table, or another mask.
    for (const rule of [OWN_RULE.replace('7210', '7299'), OWN_RULE.replace('0x3f000000', '0xff000000')]) {
      ip(`rule add ${rule}`);
      expect(find(), rule).toBe("rule 7010 of IPv4 before the gateway's own");
      ip(`rule del ${rule}`);
    }
  });

  it('are local routes that somebody made', () => {
    const { find, ip } = start();
    ip('route add local 10.77.0.0/16 dev lo');
    expect(find()).toBe('route 10.77.0.0/16 of the local table');
    ip('route del local 10.77.0.0/16 dev lo');
    ip('-6 route add local 2001:db8:77::/48 dev lo');
    expect(find()).toBe('route 2001:db8:77:0:0:0:0:0/48 of the local table');
  });

  it('are filters of tc behind the program of the gateway, and not those before it', () => {
    const { find, netns, state } = start();
    const programs = loadPrograms();
    const attach = (direction: TrafficDirection): void => {
      withinNetns(netns, () => {
        const ifindex = interfaceIndex(INSIDE);
        attachClsact(programs.programFd('inbound'), ifindex, direction, INSIDE, { handle: 1, priority: 7 });
      });
    };
    attach('egress');
    expect(find()).toBeUndefined();
    attach('ingress');
    programs.close();
    expect(find()).toBe(`a filter (tc) behind the gateway's program on ${INSIDE}`);
    state.place = { behind: 0, filterPriority: 7 };
    expect(find()).toBeUndefined();
    state.place = { behind: 0, filterPriority: 6 };
    expect(find()).toBe(`a filter (tc) behind the gateway's program on ${INSIDE}`);
  });

  it('are programs behind the one of the gateway by TCX', () => {
    const { find, netns, state } = start();
    const programs = loadPrograms();
    const both = [programs.programFd('outbound'), programs.programFd('inbound')];
    const attached = withinNetns(netns, () => {
      const ifindex = interfaceIndex(INSIDE);
      const links = both.map((program) => createTcxLink(program, ifindex, 'ingress'));
      const ids = tcxPrograms(ifindex, 'ingress');
      for (const link of links) if (link instanceof Fd) link.close();
      return ids;
    });
    expect(attached).toEqual(both.map(programId));
    programs.close();
    state.place = { behind: 1, filterPriority: undefined };
    expect(find()).toBe(`a program behind the gateway's on ${INSIDE} (TCX)`);
  });

  it('make themselves known at once: chains, policies, rules and filters; addresses as well', async () => {
    const { ip, netns, nft, onlookers, state } = start();
    let news = 0;
    onlookers.watch(() => news++);
    const isNews = async (what: string, make: () => unknown): Promise<void> => {
      const before = news;
      make();
      await waitFor(what, () => (news > before ? true : undefined));
    };
    await isNews('the chain', () => nft(chain('ip', 'forward')));
    await isNews('the policy', () => ip('xfrm policy add src 10.5.0.0/24 dst 10.6.0.0/24 dir fwd'));
    await isNews('the default policy', () => ip('xfrm policy setdefault fwd block'));
    await isNews('the IPv4 rule', () => ip('rule add priority 90 lookup 100'));
    await isNews('the IPv6 rule', () => ip('-6 rule add priority 90 lookup 100'));
    const programs = loadPrograms();
    await isNews('the filter', () => {
      withinNetns(netns, () => {
        const place = { handle: 1, priority: 7 };
        attachClsact(programs.programFd('inbound'), interfaceIndex(INSIDE), 'ingress', INSIDE, place);
      });
    });
    programs.close();
    for (const address of ['10.5.0.7/24', 'fd05::7/64']) {
      const before = state.addresses;
      ip(`addr add ${address} dev ${INSIDE}`);
      await waitFor('the address', () => (state.addresses > before ? true : undefined));
    }
  });

  it('are taken to be there when the kernel does not say', () => {
    const { netns } = start();
    const module = new URL('../../lib/runtime/forwarding-onlookers.ts', import.meta.url).href;
    const script = `
      const { ForwardingOnlookers } = await import(${JSON.stringify(module)});
      const onlookers = new ForwardingOnlookers({ insideDevice: 'p0', families: [4, 6], tables: [] });
      console.log(onlookers.find());
      onlookers.close();`;
    const node = [process.execPath, '--import', 'tsx', '--input-type=module', '--eval', script];
    const withoutRight = [
      'setpriv',
      '--bounding-set',
      '-net_admin',
      '--inh-caps',
      '-net_admin',
      '--',
      ...node,
    ];
    expect(run(inNamespace(withoutRight, { netns })).trim()).toBe('nftables cannot be asked for (EPERM)');
  });
});

const NO_PROGRAM = { behind: 0, filterPriority: undefined };

/** A table with one chain. */
function chain(family: string, hook: string): string {
  return `table ${family} t {
    chain c { type filter hook ${hook} priority 0; }
  }`;
}

/** Programs that can hang on a device, and let everything pass. */
function loadPrograms(): GatewayPrograms {
  return new GatewayPrograms({
    purpose: 'datapath',
    gateway: checkGatewayOptions({ routes: [{ name: 'a', pathId: 1 }] }),
    traffic: { markMask: DEFAULT_MARK_MASK },
    destinations: 1,
  });
}
