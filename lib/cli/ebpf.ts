/** `preflex ebpf`: the kernel datapath held against the TypeScript cores. */
import type { Command } from 'commander';
import { Option } from 'commander';
import type { VerifyResult } from '../ebpf/verify/verify-loop.ts';
import { LONGEST_SEQUENCE } from '../ebpf/verify/verify-loop.ts';
import { countFrom, parseCount } from './number-flags.ts';
import { note, print, printJson, requireRoot, runCommand } from './output.ts';
import { formatCount, formatTable } from './table.ts';

const ROLES = ['host', 'gateway'] as const;
type Role = (typeof ROLES)[number];

interface VerifyFlags {
  role: Role | 'both';
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
      'give generated packets to the cores and to the BPF programs, which must agree on every byte',
    )
    .addOption(new Option('--role <name>', 'whose programs').choices([...ROLES, 'both']).default('both'))
    .option('--sequences <count>', 'sequences of packets, for each role', countFrom(1), 10_000)
    .option('--packets <count>', 'longest sequence, packets, up to 200', countFrom(1, LONGEST_SEQUENCE), 60)
    .option('--seed <number>', 'seed of the first sequence; the next has the next', parseCount, 1)
    .option('--json', 'print the results as one JSON object, by role')
    .action((flags: VerifyFlags) => runCommand(() => runVerify(flags)));
}

async function runVerify({ json, role: wanted, ...flags }: VerifyFlags): Promise<void> {
  requireRoot('preflex ebpf');
  const results: Partial<Record<Role, VerifyResult>> = {};
  for (const role of ROLES) {
    if (wanted !== 'both' && wanted !== role) continue;
    const result = (await verifierOf(role))({
      ...flags,
      onProgress: (done) => {
        if (done % 10_000 === 0) {
          note(`${role}: ${formatCount(done)} of ${formatCount(flags.sequences)} sequences`);
        }
      },
    });
    results[role] = result;
    if (result.mismatches.length > 0) process.exitCode = 1;
    if (!json) printResult(role, result);
  }
  if (json) printJson(results);
}

async function verifierOf(role: Role) {
  return role === 'host'
    ? (await import('../ebpf/verify/verify-host.ts')).verifyHost
    : (await import('../ebpf/verify/verify-gateway.ts')).verifyGateway;
}

function printResult(role: Role, { mismatches, packets, reasons, sequences }: VerifyResult): void {
  print(
    formatTable([
      [`${role}: reason`, 'packets'],
      ...Object.entries(reasons).map(([name, count]) => [name, String(count)]),
    ]),
  );
  print(
    `${role}: ${formatCount(sequences)} sequences, ${formatCount(packets)} packets, ` +
      `${mismatches.length === 0 ? 'no difference' : `${mismatches.length} differences:`}`,
  );
  for (const { sequence, packet, what } of mismatches) {
    print(`--role ${role} --seed ${sequence}, packet ${packet}: ${what}`);
  }
}
