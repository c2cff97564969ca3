/** What the commands do before they write. */
import { existsSync, mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, describe, expect, it } from 'vitest';
import { prepareFolder } from '../../lib/cli/output.ts';

const folder = mkdtempSync(join(tmpdir(), 'pfx-output-'));
afterAll(() => rmSync(folder, { recursive: true, force: true }));

describe('the folder of --out', () => {
  it('is made with those above it before the run, and may be there already', () => {
    const path = join(folder, 'a', 'b');
    prepareFolder(path);
    expect(existsSync(path)).toBe(true);
    expect(() => prepareFolder(path)).not.toThrow();
  });

  it('is refused before the run when it is a file, is below one, or cannot be made', () => {
    const file = join(folder, 'file');
    writeFileSync(file, '');
    expect(() => prepareFolder(file)).toThrow(
      `--out ${file}: nothing can be written into this folder: it is a file`,
    );
    expect(() => prepareFolder(join(file, 'below'))).toThrow(
      'nothing can be written into this folder: ENOTDIR',
    );
    expect(() => prepareFolder('/proc/preflex')).toThrow('nothing can be written into this folder: ENOENT');
  });

  it('is not looked at without the option', () => {
    expect(() => prepareFolder(undefined)).not.toThrow();
  });
});
