/** `preflex ebpf`: the kernel datapath held against the TypeScript core. */
import type { Command } from 'commander';
import { parseCount } from './host.ts';
import { note, print, printJson, requireRoot, runCommand } from './output.ts';
import { formatCount, formatTable } from './table.ts';

interface VerifyFlags {
  sequences: number;
  packets: number;
  seed: number;
  json?: boolean;
}

/** Adds the command. */
export function addEbpfCommand(program: Command): void {
  const ebpf = program.command('ebpf').description('the kernel datapath: its programs without any device');
  ebpf
    .command('verify')
    .description(
      'give generated packets to the host core and to the BPF programs, which must agree on every byte',
    )
    .option('--sequences <count>', 'sequences of packets', parseCount, 10_000)
    .option('--packets <count>', 'longest sequence, packets, up to 200', parseCount, 60)
    .option('--seed <number>', 'seed of the first sequence; the next has the next', parseCount, 1)
    .option('--json', 'print the result as one JSON object')
    .action((flags: VerifyFlags) => runCommand(() => runVerify(flags)));
}

async function runVerify({ json, ...flags }: VerifyFlags): Promise<void> {
  requireRoot('preflex ebpf');
  const { verifyHost } = await import('../ebpf/verify/verify-host.ts');
  const result = verifyHost({
    ...flags,
    onProgress: (done) => {
      if (done % 10_000 === 0) note(`${formatCount(done)} of ${formatCount(flags.sequences)} sequences`);
    },
  });
  if (result.mismatches.length > 0) process.exitCode = 1;
  if (json) {
    printJson(result);
    return;
  }
  print(
    formatTable([
      ['reason', 'packets'],
      ...Object.entries(result.reasons).map(([name, count]) => [name, String(count)]),
    ]),
  );
  print(
    `${formatCount(result.sequences)} sequences, ${formatCount(result.packets)} packets, ` +
      `${result.mismatches.length === 0 ? 'no difference' : `${result.mismatches.length} differences:`}`,
  );
  for (const { sequence, packet, what } of result.mismatches) {
    print(`--seed ${sequence}, packet ${packet}: ${what}`);
  }
}
