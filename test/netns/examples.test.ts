/** The examples that open TUNs, run as programs in namespaces. */
import { expect, it } from 'vitest';
import { addAddress, moveLink, setLink } from '../../lib/netns/index.ts';
import type { LexCounterReport } from '../../lib/lex/counters.ts';
import { exampleArgv, projectRoot, RunningExample } from '../support/examples.ts';
import { connectTcp, exchange, patternBytes, serveTcp } from '../support/in-netns.ts';
import { connect, describeNetns, useLab } from '../support/netns.ts';

const BYTES = 300_000;
const PORT = 7000;

describeNetns('examples with TUNs', () => {
  const lab = useLab();

  function start(netns: string, name: string, args: readonly string[]): RunningExample {
    return new RunningExample(lab.scope.spawn(exampleArgv(name, args), { netns, cwd: projectRoot }));
  }

  /** Sends bytes from one namespace to an address in another and back. */
  async function echo(from: string, to: string, address: string): Promise<void> {
    serveTcp(lab.scope, to, PORT, (socket) => socket.pipe(socket));
    const data = patternBytes(BYTES, 'examples');
    const answer = await exchange(await connectTcp(from, address, PORT), data);
    expect(answer.equals(data)).toBe(true);
  }

  async function countersOf(example: RunningExample): Promise<LexCounterReport> {
    const { lines, code } = await example.stop();
    expect(code).toBe(0);
    return JSON.parse(lines.at(-1)!) as LexCounterReport;
  }

  it('tunnel carries TCP between two TUNs and marks it at both ends', async () => {
    const [a, b] = [lab.scope.namespace('a'), lab.scope.namespace('b')];
    connect(
      { netns: a, name: 'v0', addresses: ['10.78.0.1/24'] },
      { netns: b, name: 'v0', addresses: ['10.78.0.2/24'] },
    );
    const ends = [
      start(a, 'tunnel', ['tunnel0', '5000', '10.78.0.2', '5000']),
      start(b, 'tunnel', ['tunnel0', '5000', '10.78.0.1', '5000']),
    ];
    for (const end of ends) expect(await end.line()).toBe('ready');
    addAddress('tunnel0', '10.78.1.1/24', { netns: a });
    addAddress('tunnel0', '10.78.1.2/24', { netns: b });
    await echo(a, b, '10.78.1.2');
    for (const end of ends) {
      const counters = await countersOf(end);
      expect(counters.out['fneSyn']).toBe(1);
      expect(counters.out['lectData']).toBeGreaterThan(BYTES / 1400);
    }
  });

  it('duplex-tun marks what goes through a class shaped like the one of node-tuntap2', async () => {
    const [a, b] = [lab.scope.namespace('a'), lab.scope.namespace('b')];
    const example = start(a, 'duplex-tun', [`${projectRoot}test/support/tun-class.ts`]);
    const { network } = JSON.parse(await example.line()) as { network: string };
    moveLink(network, b, { netns: a });
    addAddress(network, '10.79.1.2/24', { netns: b });
    setLink(network, { up: true }, { netns: b });
    await echo(a, b, '10.79.1.2');
    const counters = await countersOf(example);
    expect(counters.out['fneSyn']).toBe(1);
    expect(counters.out['lectData']).toBeGreaterThan(BYTES / 1500);
  });
});
