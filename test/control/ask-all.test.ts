/** Several daemons asked the same, of which some cannot answer. */
import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterEach, beforeEach, describe, expect, it, vi } from 'vitest';
import { askAll, chosenDaemons } from '../../lib/cli/control-flags.ts';
import { ebpfHostOperations } from '../../lib/runtime/control/host-operations.ts';
import { ControlServer } from '../../lib/runtime/control/server.ts';
import type { ControlOperation } from '../../lib/runtime/control/server.ts';
import type { EbpfHostStatus } from '../../lib/runtime/ebpf-host-agent.ts';
import { EventLog } from '../../lib/runtime/events.ts';

let directory = '';
let servers: ControlServer[] = [];
beforeEach(() => {
  directory = mkdtempSync(join(tmpdir(), 'preflex-ask-'));
});
afterEach(() => {
  vi.restoreAllMocks();
  for (const server of servers) server.close();
  servers = [];
  rmSync(directory, { recursive: true });
});

async function open(name: string, operations: Record<string, ControlOperation>): Promise<void> {
  servers.push(await ControlServer.open({ directory, name, isNameGiven: true, role: 'host', operations }));
}

/** The operations of an agent in the kernel; none of those that are asked here looks at it. */
const inKernel = ebpfHostOperations(
  { events: new EventLog(), status: () => expect.unreachable() as EbpfHostStatus },
  { level: 'error' },
);

describe('several daemons that are asked the same', () => {
  it('those that can answer do, and of the others it is said why they did not', async () => {
    await open('host-a', { flows: () => ({ size: 3 }) });
    await open('host-b', inKernel);
    const noted = vi.spyOn(process.stderr, 'write').mockReturnValue(true);
    const answers = await askAll(await chosenDaemons({ directory }), 'flows', () => ({}));
    expect(answers).toMatchObject([{ daemon: { name: 'host-a' }, answer: { size: 3 } }]);
    expect(noted).toHaveBeenCalledExactlyOnceWith(
      expect.stringMatching(/^host-b: the flows of an agent with datapath ebpf are in the kernel.*\n$/),
    );
  });

  it('when none can, the reason is the error', async () => {
    await open('host-b', inKernel);
    const daemons = await chosenDaemons({ directory });
    for (const op of ['flows', 'explain']) {
      await expect(askAll(daemons, op, () => ({}))).rejects.toThrow('are in the kernel');
    }
  });
});
