/**
 * The directions of imports, circles of them, the purity of the pure folders, and the tree itself.
 *
 *      wire <- flow <- lex, pref <- sim          pure
 *      sys <- device, netns, sockets; netns, device <- runtime <- web <- cli    IO; may import pure ones
 *      sys, netns <- ebpf <- runtime, cli
 */
import { readdirSync, readFileSync, statSync } from 'node:fs';
import { dirname, join, relative, resolve } from 'node:path';
import { fileURLToPath } from 'node:url';
import ts from 'typescript';
import { describe, expect, it } from 'vitest';

const root = fileURLToPath(new URL('..', import.meta.url));
const lib = join(root, 'lib');

/** Which folders of lib a folder may import. `.` is lib itself (errors.ts). */
const MAY_IMPORT: Record<string, readonly string[]> = {
  wire: [],
  flow: ['wire'],
  lex: ['wire', 'flow'],
  pref: ['wire'],
  sim: ['wire', 'flow', 'lex', 'pref'],
  sys: ['wire'],
  device: ['sys', 'wire'],
  netns: ['sys'],
  sockets: ['sys', 'wire', 'lex'],
  ebpf: ['sys', 'netns', 'wire', 'lex', 'pref'],
  runtime: ['sys', 'device', 'netns', 'ebpf', 'wire', 'flow', 'lex', 'pref', 'sim'],
  web: ['runtime', 'sys', 'lex', 'pref'],
  bench: ['sys', 'sockets', 'wire', 'flow', 'lex', 'pref', 'sim'],
  cli: ['runtime', 'web', 'netns', 'device', 'ebpf', 'sys', 'bench', 'sim', 'wire', 'lex', 'pref'],
  '.': ['wire', 'flow', 'lex', 'pref'],
};
const PURE = ['wire', 'flow', 'lex', 'pref', 'sim'];
/** Packages that a folder may import, beside node's own in the IO folders. */
const PACKAGES: Record<string, readonly string[]> = {
  wire: ['ipaddr.js'],
  sim: ['pure-rand/generator/xoroshiro128plus', 'pure-rand/distribution/uniformFloat64'],
  sys: ['koffi'],
  runtime: ['yaml', 'zod', 'ipaddr.js', 'pino', '@nats-io/transport-node'],
  web: ['prom-client'],
  cli: ['commander', 'zod'],
};

interface Import {
  readonly from: string;
  readonly folder: string;
  readonly specifier: string;
  /** Whether only types are imported, so that nothing is loaded. */
  readonly isTypeOnly: boolean;
}

function sourceFiles(folder: string): string[] {
  return readdirSync(folder).flatMap((name) => {
    const path = join(folder, name);
    if (statSync(path).isDirectory()) return sourceFiles(path);
    return name.endsWith('.ts') ? [path] : [];
  });
}

function folderOf(path: string): string {
  const parts = relative(lib, path).split('/');
  return parts.length === 1 ? '.' : parts[0];
}

function importsOf(path: string): Import[] {
  const source = ts.createSourceFile(path, readFileSync(path, 'utf8'), ts.ScriptTarget.Latest);
  const imports: Import[] = [];
  const add = (specifier: ts.Expression, isTypeOnly: boolean): void => {
    const { text } = specifier as ts.StringLiteral;
    imports.push({ from: relative(root, path), folder: folderOf(path), specifier: text, isTypeOnly });
  };
  const visit = (node: ts.Node): void => {
    if (ts.isImportDeclaration(node)) {
      add(node.moduleSpecifier, node.importClause?.isTypeOnly ?? false);
    } else if (ts.isExportDeclaration(node) && node.moduleSpecifier) {
      add(node.moduleSpecifier, node.isTypeOnly);
    } else if (ts.isCallExpression(node) && node.expression.kind === ts.SyntaxKind.ImportKeyword) {
      add(node.arguments[0], false);
    }
    ts.forEachChild(node, visit);
  };
  visit(source);
  return imports;
}

/** Circles of imports that load something, each by its files: `a.ts -> b.ts -> a.ts`. */
function circlesOf(all: readonly Import[]): string[] {
  const targets = new Map<string, string[]>();
  for (const { from, specifier, isTypeOnly } of all) {
    if (isTypeOnly || !specifier.startsWith('.')) continue;
    const target = relative(root, resolve(root, dirname(from), specifier));
    targets.set(from, [...(targets.get(from) ?? []), target]);
  }
  const circles: string[] = [];
  const done = new Set<string>();
  const follow = (file: string, way: readonly string[]): void => {
    if (way.includes(file)) circles.push([...way.slice(way.indexOf(file)), file].join(' -> '));
    else if (!done.has(file)) {
      for (const target of targets.get(file) ?? []) follow(target, [...way, file]);
      done.add(file);
    }
  };
  for (const file of targets.keys()) follow(file, []);
  return circles;
}

const files = sourceFiles(lib);
const imports = files.flatMap(importsOf);

describe('the tree', () => {
  it('has every folder of lib in the table of directions', () => {
    const folders = new Set(files.map(folderOf));
    expect([...folders].filter((folder) => !(folder in MAY_IMPORT))).toEqual([]);
  });

  it('keeps the directions of imports between folders of lib', () => {
    const wrong = imports.filter(({ from, folder, specifier }) => {
      if (!specifier.startsWith('.')) return false;
      const target = resolve(root, dirname(from), specifier);
      if (!target.startsWith(`${lib}/`))
        return !(folder === 'cli' && target.startsWith(join(root, 'namespaces-lab')));
      const to = folderOf(target);
      const isErrors = target === join(lib, 'errors.ts');
      return to !== folder && !isErrors && !MAY_IMPORT[folder].includes(to);
    });
    expect(wrong).toEqual([]);
  });

  it('has no circle of imports, in which a file is loaded before what it needs', () => {
    expect(circlesOf(imports), 'move what both need where neither is').toEqual([]);
  });

  it('would have one where files lead back to the first of them by values', () => {
    const files = { a: ['./b.ts', 'node:fs'], b: ['./c.ts', './d.ts'], c: ['./b.ts'], d: ['./a.ts'] };
    const made = (isTypeOnly: boolean): Import[] =>
      Object.entries(files).flatMap(([name, specifiers]) =>
        specifiers.map((specifier) => ({ from: `lib/${name}.ts`, folder: '.', specifier, isTypeOnly })),
      );
    expect(circlesOf(made(false))).toEqual([
      'lib/b.ts -> lib/c.ts -> lib/b.ts',
      'lib/a.ts -> lib/b.ts -> lib/d.ts -> lib/a.ts',
    ]);
    expect(circlesOf(made(true))).toEqual([]);
  });

  it('imports packages only where they belong', () => {
    const wrong = imports.filter(({ folder, specifier }) => {
      if (specifier.startsWith('.') || specifier.startsWith('node:')) return false;
      return !(PACKAGES[folder] ?? []).includes(specifier);
    });
    expect(wrong).toEqual([]);
  });

  it('imports nothing of Node in the pure folders', () => {
    const wrong = imports.filter(
      ({ folder, specifier }) => PURE.includes(folder) && specifier.startsWith('node:'),
    );
    expect(wrong).toEqual([]);
  });

  it('never imports the flow table in the gateway, which keeps no flow state', () => {
    const wrong = imports.filter(
      ({ folder, specifier }) => folder === 'pref' && specifier.includes('/flow/'),
    );
    expect(wrong).toEqual([]);
  });
});

describe('the pure folders', () => {
  it('have no clock, randomness, timer or console', () => {
    const forbidden =
      /\b(Date|performance|process|console|setTimeout|setInterval|queueMicrotask|Promise|fetch)\b|Math\.random/;
    const found: string[] = [];
    for (const path of files.filter((file) => PURE.includes(folderOf(file)))) {
      const source = ts.createSourceFile(path, readFileSync(path, 'utf8'), ts.ScriptTarget.Latest);
      const visit = (node: ts.Node): void => {
        const isProperty =
          node.parent !== undefined &&
          ts.isPropertyAccessExpression(node.parent) &&
          node.parent.name === node;
        if (ts.isIdentifier(node) && !isProperty && forbidden.test(node.text)) {
          found.push(`${relative(root, path)}: ${node.text}`);
        }
        if (ts.isPropertyAccessExpression(node) && node.getText(source) === 'Math.random') {
          found.push(`${relative(root, path)}: Math.random`);
        }
        if (ts.isAwaitExpression(node)) found.push(`${relative(root, path)}: await`);
        ts.forEachChild(node, visit);
      };
      visit(source);
    }
    expect(found).toEqual([]);
  });
});

describe('the wall clock', () => {
  /** Where it is read: to be shown, and once because files carry no other time. */
  const READERS = [
    'lib/cli/daemon.ts',
    'lib/runtime/control/client.ts',
    'lib/runtime/control/server.ts',
    'lib/runtime/daemon-log.ts',
    'lib/runtime/events.ts',
    'lib/runtime/share/nats-bus.ts',
  ];
  const isOfDaemons = (path: string): boolean =>
    ['sys', 'device', 'netns', 'runtime'].includes(folderOf(path)) || path.endsWith('/cli/daemon.ts');

  it('decides nothing in the daemons, because it jumps', () => {
    const readers = files.filter(
      (path) => isOfDaemons(path) && /\bDate\.now\(\)|new Date\(\)/.test(readFileSync(path, 'utf8')),
    );
    expect(readers.map((path) => relative(root, path)).sort()).toEqual(READERS);
  });
});

describe('every file of lib', () => {
  it('begins with a comment that says what belongs in it', () => {
    const without = files.filter((path) => !/^(#!.*\n)?\/\*\*/.test(readFileSync(path, 'utf8')));
    expect(without.map((path) => relative(root, path))).toEqual([]);
  });
});

describe('every file of lib and test', () => {
  it('is at most 400 lines long, or says why not at its top', () => {
    const long = [...files, ...sourceFiles(join(root, 'test'))].filter((path) => {
      const text = readFileSync(path, 'utf8');
      return text.split('\n').length > 400 && !/long\s+(\* )?because/i.test(text.slice(0, 1500));
    });
    expect(long.map((path) => relative(root, path))).toEqual([]);
  });
});
