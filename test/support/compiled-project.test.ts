import { mkdtempSync, readdirSync, readFileSync, rmSync, statSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, expect, it } from 'vitest';
import { compileProject } from './compiled-project.ts';

const cache = mkdtempSync(join(tmpdir(), 'preflex-compiled-'));
afterAll(() => rmSync(cache, { recursive: true }));

it('what is compiled is what the sources say now, and no more', () => {
  const compile = (): string => join(compileProject(cache, ['lib/flow', 'lib/wire']), 'lib/flow');
  const folder = compile();
  const files = readdirSync(folder).sort();
  const sources = readdirSync(new URL('../../lib/flow', import.meta.url)).sort();
  expect(files).toEqual(sources.map((name) => name.replace(/\.ts$/, '.js')));
  const [kept, changed] = files.map((name) => join(folder, name));
  const texts = [kept, changed].map((path) => readFileSync(path, 'utf8'));
  const { ino } = statSync(kept);

  writeFileSync(changed, 'an older text\n');
  writeFileSync(join(folder, 'gone.js'), '');
  compile();
  expect(readdirSync(folder).sort()).toEqual(files);
  expect([kept, changed].map((path) => readFileSync(path, 'utf8'))).toEqual(texts);
  expect(statSync(kept).ino).toBe(ino);
  expect(texts.join('')).not.toMatch(/from '\..*\.ts'/);
});
