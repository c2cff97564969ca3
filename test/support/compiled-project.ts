/**
 * The project compiled for the processes that tests start: to load TypeScript costs each of them half a second of
 * processor time, and the tests start hundreds. Kept in node_modules/.cache; what has changed is compiled anew.
 */
import { createHash } from 'node:crypto';
import {
  existsSync,
  mkdirSync,
  readdirSync,
  readFileSync,
  renameSync,
  rmSync,
  symlinkSync,
  writeFileSync,
} from 'node:fs';
import { dirname, join } from 'node:path';
import { fileURLToPath } from 'node:url';
import ts from 'typescript';

const root = fileURLToPath(new URL('../..', import.meta.url));
const CACHE = join(root, 'node_modules/.cache/preflex-compiled');
const FOLDERS = ['lib', 'namespaces-lab'];
/** What is no TypeScript and is read beside the modules. */
const ASSETS = ['lib/web/page', 'lib/ebpf/programs'];
/** The tests' processes are started from this folder, see namespaces-lab/processes/preflex-process.ts. */
const VARIABLE = 'PREFLEX_COMPILED';

/** Compiles what has changed and points the processes of this run to it: a global set-up of Vitest. */
export default function setup(): void {
  process.env[VARIABLE] = compileProject();
}

/**
 * Compiles lib and namespaces-lab, without checking types. Two runs may do it at the same time.
 *
 * @param cache - where to, absolute; not in another project
 * @param folders - what, relative to the root
 * @returns the folder with both, absolute
 */
export function compileProject(cache = CACHE, folders: readonly string[] = FOLDERS): string {
  // Laid out as the package is, one level below package.json.
  const output = join(cache, 'dist');
  const options = compilerOptions();
  const recipe = JSON.stringify([ts.version, options]);
  mkdirSync(output, { recursive: true });
  for (const [to, from] of [
    [join(cache, 'package.json'), join(root, 'package.json')],
    ...ASSETS.map((path) => [join(output, path), join(root, path)]),
  ])
    link(to, from);
  const sources = folders.flatMap(sourcesOf);
  const wanted = new Set<string>();
  for (const source of sources) {
    const text = readFileSync(join(root, source), 'utf8');
    const hash = createHash('sha256').update(recipe).update(text).digest('hex');
    const target = join(output, source.replace(/\.ts$/, '.js'));
    wanted.add(target);
    const mark = `// ${hash}\n`;
    if (existsSync(target) && readFileSync(target, 'utf8').endsWith(mark)) continue;
    const { outputText } = ts.transpileModule(text, { fileName: source, compilerOptions: options });
    write(target, `${outputText}\n${mark}`);
  }
  for (const path of compiledFiles(output)) if (!wanted.has(path)) rmSync(path, { force: true });
  return output;
}

/** As the package is compiled; one file alone does not say that it is an ES module. */
function compilerOptions(): ts.CompilerOptions {
  const { config } = ts.readConfigFile(join(root, 'tsconfig.json'), (path) => readFileSync(path, 'utf8')) as {
    config: { compilerOptions: object };
  };
  const { options } = ts.convertCompilerOptionsFromJson(config.compilerOptions, root);
  return { ...options, module: ts.ModuleKind.ES2022, noEmit: false, paths: {} };
}

function sourcesOf(folder: string): string[] {
  return readdirSync(join(root, folder), { withFileTypes: true }).flatMap((entry) => {
    const path = `${folder}/${entry.name}`;
    if (entry.isDirectory()) return ASSETS.includes(path) ? [] : sourcesOf(path);
    return entry.name.endsWith('.ts') ? [path] : [];
  });
}

/** Links are not followed. */
function compiledFiles(folder: string): string[] {
  return readdirSync(folder, { withFileTypes: true }).flatMap((entry) => {
    const path = join(folder, entry.name);
    if (entry.isDirectory()) return compiledFiles(path);
    return entry.isFile() && entry.name.endsWith('.js') ? [path] : [];
  });
}

function link(path: string, target: string): void {
  mkdirSync(dirname(path), { recursive: true });
  try {
    symlinkSync(target, path);
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code !== 'EEXIST') throw error;
  }
}

/** A process that starts meanwhile sees the old file or the new one. */
function write(path: string, text: string): void {
  mkdirSync(dirname(path), { recursive: true });
  const draft = `${path}.${process.pid}`;
  writeFileSync(draft, text);
  renameSync(draft, path);
}
