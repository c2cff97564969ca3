/**
 * examples/file-transfer through the lossy two-path topology, without an agent: the sockets of preflex/udp mark.
 *
 *      host: send --- P ---- link A (loses) ---- R --- far: receive
 *                       \--- link B (loses) ---/
 *
 * The gateway's meters must show what the program counted, byte for byte.
 */
import { randomBytes } from 'node:crypto';
import { readFileSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { expect, it } from 'vitest';
import { ip } from '../../lib/netns/index.ts';
import type { GatewayStatus } from '../../lib/pref/gateway-status.ts';
import type { PreflexProcess } from '../../namespaces-lab/processes/preflex-process.ts';
import { TWO_PATH } from '../../namespaces-lab/topologies/two-path.ts';
import { exampleArgv, projectRoot, RunningExample } from '../support/examples.ts';
import { describeNetns, useLab } from '../support/netns.ts';
import type { TestTwoPath } from '../support/two-path-lab.ts';
import { endsOf, prepareTwoPath, waitForTopology } from '../support/two-path-lab.ts';

const PORT = 5600;
const BYTES = 6_000_000;
/** IP and UDP headers of a datagram. */
const HEADERS = { 4: 28, 6: 48 } as const;

/** What the sender prints at its end. */
interface Outcome {
  readonly bytes: number;
  readonly resentPackets: number;
  readonly resentBytes: number;
  readonly lexPacketBytes: number;
  readonly flowlets: number;
  readonly pathId: number;
}

describeNetns('the file transfer over UDP', () => {
  const lab = useLab();

  async function start(version: 4 | 6, bytes: number) {
    const topology = prepareTwoPath(lab, { links: { loss: { forward: 0.02 }, seed: 7 } });
    const gateway = await topology.startGateway();
    await waitForTopology(topology);
    const content = randomBytes(bytes);
    const [source, copy] = [join(lab.folder, 'source'), join(lab.folder, 'copy')];
    writeFileSync(source, content);
    const run = (netns: string, args: readonly string[]): RunningExample =>
      new RunningExample(lab.scope.spawn(exampleArgv('file-transfer', args), { netns, cwd: projectRoot }));
    const receiver = run(topology.far, ['receive', copy, String(PORT)]);
    expect(await receiver.line()).toBe('ready');
    const sender = run(topology.host, ['send', source, endsOf(version).far, String(PORT)]);
    const pathId = Number(/started on path (\d)/.exec(await sender.line())?.[1]);
    return { topology, gateway, sender, pathId, isWhole: () => readFileSync(copy).equals(content) };
  }

  async function lexBytesAt(gateway: PreflexProcess): Promise<{ lexBytes: number; byRoute: number[] }> {
    const { routes } = (await gateway.stop()) as unknown as GatewayStatus;
    const byRoute = routes.map((route) => route.total.bytes);
    return { lexBytes: routes.reduce((sum, route) => sum + route.total.lexBytes, 0), byRoute };
  }

  for (const version of [4, 6] as const) {
    it(`shows its retransmissions as LEx bytes at the gateway, to the byte: IPv${version}`, async () => {
      const { gateway, sender, isWhole } = await start(version, BYTES);
      const outcome = JSON.parse(await sender.line()) as Outcome;
      expect(isWhole()).toBe(true);
      expect([1, 2]).toContain(outcome.pathId);
      // Of 5,000 datagrams 2 percent were lost.
      expect(outcome.resentPackets).toBeGreaterThan(50);
      const { lexBytes } = await lexBytesAt(gateway);
      expect(lexBytes).toBe(outcome.resentBytes + outcome.resentPackets * HEADERS[version]);
      expect(lexBytes).toBe(outcome.lexPacketBytes);
    });
  }

  it('moves to the other path when its own dies, and finishes', async () => {
    const { topology, gateway, sender, pathId, isWhole } = await start(4, 40_000_000);
    expect([1, 2]).toContain(pathId);
    killRoute(topology, pathId);
    const outcome = JSON.parse(await sender.line()) as Outcome;
    expect(isWhole()).toBe(true);
    expect(outcome.pathId).toBe(3 - pathId);
    expect(outcome.flowlets).toBeGreaterThan(1);
    const { lexBytes, byRoute } = await lexBytesAt(gateway);
    expect(lexBytes).toBe(outcome.resentBytes + outcome.resentPackets * HEADERS[4]);
    expect(byRoute[2 - pathId]).toBeGreaterThan(10_000_000);
  });

  /** A link that carries nothing any more, either way; the outside finds the other way back, as routing would. */
  function killRoute(topology: TestTwoPath, pathId: number): void {
    const dead = pathId === 1 ? topology.links.a : topology.links.b;
    dead.forward.isBlackhole = true;
    dead.backward.isBlackhole = true;
    const [name, via] = pathId === 1 ? ['b', '10.71.20.1'] : ['a', '10.71.10.1'];
    const [inside] = TWO_PATH.insidePrefixes;
    ip(['route', 'replace', inside, 'via', via, 'dev', name], { netns: topology.router });
  }
});
