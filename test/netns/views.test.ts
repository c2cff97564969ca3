/** What people look at running daemons with: flows, explain, and top in a terminal (topology two-path). */
import { once } from 'node:events';
import type { ChildProcess } from 'node:child_process';
import { expect, it } from 'vitest';
import { preflexArgv } from '../../namespaces-lab/processes/preflex-process.ts';
import { TWO_PATH } from '../../namespaces-lab/topologies/two-path.ts';
import { connectTcp, exchange, patternBytes, serveTcp } from '../support/in-netns.ts';
import { describeNetns, useLab } from '../support/netns.ts';
import { prepareTwoPath } from '../support/two-path-lab.ts';

const PORT = 7000;
const CLEAR = '\u001b[?1049l';

/** A program in a terminal of 80 columns and 24 lines. */
class TerminalProgram {
  readonly child: ChildProcess;
  output = '';

  constructor(child: ChildProcess) {
    this.child = child;
    child.stdout!.setEncoding('utf8').on('data', (text: string) => (this.output += text));
  }

  /** Waits until the terminal was told this. */
  async shows(pattern: RegExp): Promise<void> {
    while (!pattern.test(this.output)) await once(this.child.stdout!, 'data');
  }

  press(key: string): Promise<void> {
    return new Promise((resolve) => this.child.stdin!.write(key, () => resolve()));
  }
}

describeNetns('views of running daemons', () => {
  const lab = useLab();

  it('show flows, why they go where they go, and a daemon in a terminal', { timeout: 120_000 }, async () => {
    const [host, gateway] = ['host', 'gateway'].map((role) => `${role}-${process.pid}`);
    const topology = prepareTwoPath(lab, { hostArgs: ['--name', host], gatewayArgs: ['--name', gateway] });
    await Promise.all([topology.startGateway(), topology.startAgent()]);
    serveTcp(lab.scope, topology.far, PORT, (socket) => socket.pipe(socket));
    const socket = await connectTcp(topology.host, TWO_PATH.farAddress, PORT);
    const data = patternBytes(200_000, 'views');
    expect((await exchange(socket, data)).equals(data)).toBe(true);

    const ask = async (...args: string[]): Promise<string> => {
      const child = lab.scope.spawn(preflexArgv(args), { netns: topology.host });
      let stdout = '';
      child.stdout!.setEncoding('utf8').on('data', (text: string) => (stdout += text));
      expect(await once(child, 'close')).toEqual([0, null]);
      return stdout;
    };
    const listed = JSON.parse(await ask('flows', '--name', host, '--json')) as {
      daemons: {
        flows: { remote: string; remotePort: number; pathId: number; history: { outBytes: number } }[];
      }[];
    };
    const flow = listed.daemons[0].flows.find(({ remotePort }) => remotePort === PORT)!;
    expect(flow.remote).toBe(TWO_PATH.farAddress);
    expect(flow.history.outBytes).toBeGreaterThanOrEqual(200_000);
    expect([1, 2]).toContain(flow.pathId);
    expect(await ask('explain', TWO_PATH.farAddress, '--name', gateway)).toMatch(/\bequal\b/);

    const command = preflexArgv(['top', '--interval', '0.5', '--name', gateway]).join(' ');
    const top = new TerminalProgram(
      lab.scope.spawn(['script', '-qefc', `stty rows 24 cols 80; exec ${command}`, '/dev/null'], {
        netns: topology.host,
        stdio: ['pipe', 'pipe', 'inherit'],
      }),
    );
    await top.shows(new RegExp(`${gateway}[^]*\\[0ma +up[^]*\\[0mb +up`));
    // Another screen, left again on the way out.
    expect(top.output).toContain('\u001b[?1049h');
    expect(top.output).not.toContain(CLEAR);
    const ended = once(top.child, 'exit');
    await top.press('q');
    expect(await ended).toEqual([0, null]);
    expect(top.output).toContain(CLEAR);
    socket.destroy();
  });
});
