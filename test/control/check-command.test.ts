/** `preflex check` and the options of `preflex host` as a person runs them. */
import { spawnSync } from 'node:child_process';
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { preflexArgv } from '../../namespaces-lab/processes/preflex-process.ts';

const SAMPLES = new URL('../../docs/samples/', import.meta.url).pathname;

function preflex(...args: string[]): { code: number | null; stdout: string; stderr: string } {
  const [program = '', ...rest] = preflexArgv(args);
  const { status, stdout, stderr } = spawnSync(program, rest, { encoding: 'utf8' });
  return { code: status, stdout, stderr };
}

describe('the command check', () => {
  let folder = '';
  let wrong = '';
  beforeAll(() => {
    folder = mkdtempSync(join(tmpdir(), 'preflex-check-'));
    wrong = join(folder, 'wrong.yaml');
    writeFileSync(wrong, 'addresses: [192.0.2.10]\ndevice: eth0\nflows: 0\ncolour: red\n');
  });
  afterAll(() => {
    rmSync(folder, { recursive: true });
  });

  it('says that a right file is right, with exit code 0', () => {
    const file = join(SAMPLES, 'gateway.yaml');
    expect(preflex('check', file)).toEqual({
      code: 0,
      stdout: `${file}: a right gateway configuration\n`,
      stderr: '',
    });
  });

  it('lists all that is wrong, a line each, with exit code 1', () => {
    const { code, stdout } = preflex('check', wrong);
    expect(stdout.split('\n')).toEqual([
      `${wrong}:3:8: flows: 0 is not allowed; it takes a whole number from 1 to 16777216`,
      expect.stringMatching(/:4:1: colour: is not a known key; there are only the keys addresses, device, /),
      '',
    ]);
    expect(code).toBe(1);
  });

  it('prints one object with --json', () => {
    const { code, stdout } = preflex('check', wrong, '--json');
    expect(JSON.parse(stdout)).toMatchObject({
      file: wrong,
      kind: 'host',
      ok: false,
      problems: [
        { line: 3, column: 8, field: 'flows', value: 0, allowed: 'a whole number from 1 to 16777216' },
        { line: 4, field: 'colour', value: 'red' },
      ],
    });
    expect(code).toBe(1);
  });

  it('a flag beside --config is refused by name', () => {
    const { code, stderr } = preflex('host', '--config', join(SAMPLES, 'host.yaml'), '--flows', '10');
    expect(stderr).toMatch(
      /^preflex: --flows and --config exclude each other: write it into .*host\.yaml\.\n$/,
    );
    expect(code).toBe(1);
  });
});
