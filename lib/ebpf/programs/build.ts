/**
 * `npm run build:bpf [FOLDER]`: compiles the BPF programs of this folder with clang, beside their sources or into
 * FOLDER. What C and TypeScript have in common by number (reasons, codes, flags, limits) is written to a header first,
 * from the modules that define it, so it cannot differ.
 */
import { spawnSync } from 'node:child_process';
import { existsSync, mkdirSync, mkdtempSync, readdirSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import * as counters from '../../lex/counters.ts';
import * as datagram from '../../lex/datagram.ts';
import * as exchange from '../../lex/exchange.ts';
import * as flowState from '../../lex/flow-state.ts';
import * as fragmentMemory from '../../lex/fragment-memory.ts';
import * as reasons from '../../lex/reasons.ts';
import * as rtt from '../../lex/rtt.ts';
import * as failureSample from '../../pref/failure-sample.ts';
import * as fneLimiter from '../../pref/fne-limiter.ts';
import * as fneMemory from '../../pref/fne-memory.ts';
import * as log2 from '../../pref/log2.ts';
import * as prefReasons from '../../pref/reasons.ts';
import * as routeTable from '../../pref/route-table.ts';
import * as selector from '../../pref/selector.ts';
import * as ipv6 from '../../wire/ipv6.ts';
import * as codepoint from '../../wire/marking/codepoint.ts';
import * as packetView from '../../wire/packet-view.ts';
import * as protocols from '../../wire/protocol-numbers.ts';

const MODULES = [
  ...[reasons, counters, flowState, rtt, exchange, datagram, fragmentMemory],
  ...[failureSample, fneLimiter, fneMemory, log2, prefReasons, routeTable, selector],
  ...[packetView, codepoint, protocols, ipv6],
];
/** Where Debian keeps asm/types.h, by the machine's name. */
const MULTIARCH: Record<string, string> = { x64: 'x86_64-linux-gnu', arm64: 'aarch64-linux-gnu' };

/** The text of constants.h: every whole number, and every table of such, that the modules export. */
function constantsHeader(): string {
  const lines = MODULES.flatMap((module) => Object.entries(module as Record<string, unknown>)).flatMap(
    ([name, value]) => {
      if (value instanceof Uint32Array) return [`#define ${name} {${value.join(', ')}}`];
      if (!Number.isSafeInteger(value)) return [];
      return [`#define ${name} ${String(value)}${Math.abs(value as number) > 2 ** 31 ? 'LL' : ''}`];
    },
  );
  return ['/* Made by build.ts. */', ...new Set(lines), ''].join('\n');
}

function fail(message: string): never {
  process.stderr.write(`preflex: ${message}\n`);
  process.exit(1);
}

const sources = fileURLToPath(new URL('.', import.meta.url));
const target = process.argv[2] ?? sources;
mkdirSync(target, { recursive: true });
if (!existsSync('/usr/include/bpf/bpf_helpers.h')) {
  fail('bpf/bpf_helpers.h is missing: apt-get install libbpf-dev');
}
const generated = mkdtempSync(join(tmpdir(), 'preflex-bpf-'));
try {
  writeFileSync(join(generated, 'constants.h'), constantsHeader());
  for (const name of readdirSync(sources).filter((file) => file.endsWith('.bpf.c'))) {
    const object = join(target, name.replace(/\.c$/, '.o'));
    const { error, status } = spawnSync(
      'clang',
      [
        ...['-target', 'bpf', '-mcpu=v3', '-O2', '-g', '-Wall', '-Wextra', '-Werror'],
        ...['-I', generated, '-idirafter', `/usr/include/${MULTIARCH[process.arch] ?? ''}`],
        // Paths of this machine do not belong into the object.
        ...[`-ffile-prefix-map=${sources}=`, `-ffile-prefix-map=${generated}=`],
        ...['-c', join(sources, name), '-o', object],
      ],
      { stdio: 'inherit' },
    );
    if (error !== undefined) fail('clang is missing: apt-get install clang');
    if (status !== 0) fail(`clang could not compile ${name}`);
  }
} finally {
  rmSync(generated, { recursive: true });
}
