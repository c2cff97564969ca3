/** The modules of the package, as its `exports` name them: what they are made of, and that all of it is documented. */
import { existsSync, readFileSync } from 'node:fs';
import { dirname, join, relative, resolve } from 'node:path';
import { fileURLToPath } from 'node:url';
import ts from 'typescript';
import { describe, expect, it } from 'vitest';

const root = fileURLToPath(new URL('..', import.meta.url));
interface PackageJson {
  readonly exports: Record<string, string | { readonly types: string; readonly default: string }>;
}
const { exports } = JSON.parse(readFileSync(join(root, 'package.json'), 'utf8')) as PackageJson;

/** Source of each module by its name. */
const modules = new Map<string, string>();
for (const [subPath, target] of Object.entries(exports)) {
  if (typeof target === 'string') continue;
  const source = target.default.replace(/^\.\/dist\//, '').replace(/\.js$/, '.ts');
  modules.set(subPath.replace(/^\./, 'preflex'), join(root, source));
}
const PURE = ['preflex', 'preflex/wire', 'preflex/lex', 'preflex/pref', 'preflex/sim'];

function parse(path: string): ts.SourceFile {
  return ts.createSourceFile(path, readFileSync(path, 'utf8'), ts.ScriptTarget.Latest);
}

/** Specifiers of what a file imports or re-exports at run time. */
function importsOf(path: string): string[] {
  return parse(path).statements.flatMap((statement) => {
    if (ts.isImportDeclaration(statement)) {
      const isType = statement.importClause?.phaseModifier === ts.SyntaxKind.TypeKeyword;
      return isType ? [] : [(statement.moduleSpecifier as ts.StringLiteral).text];
    }
    if (ts.isExportDeclaration(statement) && statement.moduleSpecifier && !statement.isTypeOnly) {
      return [(statement.moduleSpecifier as ts.StringLiteral).text];
    }
    return [];
  });
}

/** Everything that is not a file of the project and is loaded with a file. */
function packagesOf(path: string, seen = new Set<string>()): Set<string> {
  const packages = new Set<string>();
  if (seen.has(path)) return packages;
  seen.add(path);
  for (const specifier of importsOf(path)) {
    if (!specifier.startsWith('.')) packages.add(specifier);
    else for (const name of packagesOf(resolve(dirname(path), specifier), seen)) packages.add(name);
  }
  return packages;
}

describe('the modules of the package', () => {
  it('are those that docs/embedding.md names', () => {
    const text = readFileSync(join(root, 'docs/embedding.md'), 'utf8');
    expect([...modules.keys()].filter((name) => !text.includes(`\`${name}\``))).toEqual([]);
    expect(modules.size).toBe(8);
    for (const path of modules.values()) expect(existsSync(path), path).toBe(true);
  });

  it('have types beside each program', () => {
    for (const target of Object.values(exports)) {
      if (typeof target !== 'string') expect(target.types).toBe(target.default.replace(/\.js$/, '.d.ts'));
    }
  });

  it('are re-exports by name, without logic, where they are index files', () => {
    for (const [name, path] of modules) {
      if (!path.endsWith('index.ts')) continue;
      const others = parse(path).statements.filter(
        (statement) => !ts.isExportDeclaration(statement) || statement.exportClause === undefined,
      );
      expect(others.length, name).toBe(0);
    }
  });

  it.each(PURE)('%s loads nothing of Node and no native code', (name) => {
    const packages = [...packagesOf(modules.get(name)!)];
    expect(packages.filter((other) => other.startsWith('node:') || other === 'koffi')).toEqual([]);
  });

  it('document every export, and every method of an exported class or interface', () => {
    const program = ts.createProgram([...modules.values()], {
      target: ts.ScriptTarget.ES2022,
      module: ts.ModuleKind.NodeNext,
      moduleResolution: ts.ModuleResolutionKind.NodeNext,
      allowImportingTsExtensions: true,
      noEmit: true,
      strict: true,
      skipLibCheck: true,
      types: ['node'],
    });
    const checker = program.getTypeChecker();
    const undocumented = new Set<string>();
    const note = (symbol: ts.Symbol, name: string): void => {
      const source = symbol.declarations?.[0]?.getSourceFile().fileName ?? '';
      // What node or a package declares is documented there.
      if (!source.startsWith(join(root, 'lib'))) return;
      const isPrivate = symbol.declarations?.some(
        (declaration) => (ts.getCombinedModifierFlags(declaration) & ts.ModifierFlags.Private) !== 0,
      );
      const isHashPrivate = symbol.declarations?.some(
        (declaration) =>
          ts.isClassElement(declaration) && declaration.name && ts.isPrivateIdentifier(declaration.name),
      );
      if (isPrivate || isHashPrivate || symbol.name.startsWith('__')) return;
      if (symbol.getDocumentationComment(checker).length > 0 || symbol.getJsDocTags(checker).length > 0)
        return;
      undocumented.add(`${relative(root, source)}: ${name}`);
    };
    for (const path of modules.values()) {
      const module = checker.getSymbolAtLocation(program.getSourceFile(path)!)!;
      for (const exported of checker.getExportsOfModule(module)) {
        const symbol =
          (exported.flags & ts.SymbolFlags.Alias) !== 0 ? checker.getAliasedSymbol(exported) : exported;
        // A namespace (`ipv4`) is a module of its own; its file says what it is.
        if ((symbol.flags & ts.SymbolFlags.ValueModule) !== 0) {
          for (const member of checker.getExportsOfModule(symbol)) note(member, member.name);
          continue;
        }
        note(symbol, symbol.name);
        if ((symbol.flags & (ts.SymbolFlags.Class | ts.SymbolFlags.Interface)) === 0) continue;
        symbol.members?.forEach((member) => {
          const isCallable = ts.SymbolFlags.Method | ts.SymbolFlags.Accessor;
          if ((member.flags & isCallable) !== 0 && !isInherited(member, symbol, checker)) {
            note(member, `${symbol.name}.${member.name}`);
          }
        });
      }
    }
    expect([...undocumented]).toEqual([]);
  });
});

/** Whether a member has its documentation in an interface or class that the symbol extends or implements. */
function isInherited(member: ts.Symbol, owner: ts.Symbol, checker: ts.TypeChecker): boolean {
  return (owner.declarations ?? []).some(
    (declaration) =>
      (ts.isClassDeclaration(declaration) || ts.isInterfaceDeclaration(declaration)) &&
      declaration.heritageClauses?.some((clause) =>
        clause.types.some((type) => checker.getTypeAtLocation(type).getProperty(member.name) !== undefined),
      ),
  );
}
