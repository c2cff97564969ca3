/** What the commands do before they write. */
import { existsSync, mkdirSync, mkdtempSync, readdirSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, describe, expect, it } from 'vitest';
import { tryFolder } from '../../lib/cli/output.ts';

const folder = mkdtempSync(join(tmpdir(), 'pfx-output-'));
afterAll(() => rmSync(folder, { recursive: true, force: true }));

describe('the folder of --out', () => {
  it('can be made with those above it, or be there already; nothing is left of the trial', () => {
    const path = join(folder, 'a', 'b');
    tryFolder(path);
    expect(existsSync(join(folder, 'a'))).toBe(false);
    mkdirSync(path, { recursive: true });
    tryFolder(path);
    tryFolder(join(path, 'c'));
    expect(readdirSync(path)).toEqual([]);
  });

  it('is refused before the run when it is a file, is below one, or cannot be made', () => {
    const file = join(folder, 'file');
    writeFileSync(file, '');
    expect(() => tryFolder(file)).toThrow(
      `--out ${file}: nothing can be written into this folder: ${file} is a file`,
    );
    expect(() => tryFolder(join(file, 'below'))).toThrow('this folder: ENOTDIR');
    expect(() => tryFolder('/proc/preflex')).toThrow('nothing can be written into this folder: ENOENT');
  });

  it('is not looked at without the option', () => {
    expect(() => tryFolder(undefined)).not.toThrow();
  });
});
