import { readdirSync, readFileSync } from 'node:fs';
import { join } from 'node:path';
import { describe, expect, it } from 'vitest';
import {
  abortListenerViolations,
  consoleViolations,
  contractViolations,
  engineViolations,
  environmentViolations,
  importsOf,
  importViolations,
  protocolViolations,
  type SourceFile,
  signalViolations,
} from './support/rules/architecture.ts';
import { unusedExports } from './support/rules/exports.ts';
import {
  folderViolations,
  lengthViolations,
  medianViolations,
  nameViolations,
} from './support/rules/files.ts';
import { fileCircles, KNOWN_CIRCLES, outdated, roomCircles } from './support/rules/import-circles.ts';
import { SYSTEM_SUPPORT, unitTestViolations } from './support/rules/unit-tests.ts';

const ROOT = join(import.meta.dirname, '..');

function filesBelow(folders: readonly string[], extensions: readonly string[]): SourceFile[] {
  return folders.flatMap((folder) =>
    readdirSync(join(ROOT, folder), { recursive: true, withFileTypes: true })
      .filter((entry) => entry.isFile() && extensions.some((extension) => entry.name.endsWith(extension)))
      .map((entry) => join(entry.parentPath, entry.name))
      .map((path) => ({ path: path.slice(ROOT.length + 1), text: readFileSync(path, 'utf8') })),
  );
}

const program = filesBelow(['src', 'tools'], ['.ts']);
const tests = filesBelow(['test'], ['.ts']);
const contracts = program.filter(({ path }) =>
  /^src\/(engines\/engine|engines\/contract\/.*|registry\/(?:[a-z]+-)?types)\.ts$/.test(path),
);
const everything = filesBelow(
  ['src', 'tools', 'test', 'scripts', 'bench', 'demo'],
  ['.ts', '.mjs', '.c', '.h'],
);

function file(path: string, text: string): SourceFile {
  return { path, text };
}

describe('the source tree', () => {
  it('is found', () => {
    expect(program.length).toBeGreaterThan(20);
    expect(contracts.length).toBeGreaterThanOrEqual(5);
  });

  it.each<[string, (files: readonly SourceFile[]) => string[], SourceFile[], SourceFile, string]>([
    [
      'imports in the directions of the table',
      importViolations,
      program,
      file('src/registry/x.ts', "import { boot } from '../engines/oci/boot.ts';"),
      'src/registry/x.ts: imports src/engines/oci/boot.ts',
    ],
    [
      'imports the libraries of the protocol only in src/server',
      protocolViolations,
      program,
      file('tools/x.ts', "import { Server } from '@modelcontextprotocol/sdk/server/index.js';"),
      'tools/x.ts: imports a library of the protocol',
    ],
    [
      'reads the environment only in src/config/config.ts',
      environmentViolations,
      program,
      file('src/cli/x.ts', "const home = process.env['HOME'];"),
      'src/cli/x.ts: reads process.env',
    ],
    [
      'does not use the console',
      consoleViolations,
      program,
      file('src/cli/x.ts', "console.log('hello');"),
      'src/cli/x.ts: uses console',
    ],
    [
      'combines signals in one way',
      signalViolations,
      program,
      file('src/cli/x.ts', 'const signal = AbortSignal.any([closing, given]);'),
      'src/cli/x.ts: uses AbortSignal.any',
    ],
    [
      'listens for aborts in one way',
      abortListenerViolations,
      program,
      file('src/cli/x.ts', "signal.addEventListener('abort', stop);"),
      'src/cli/x.ts: adds a listener for an abort; use onAbort',
    ],
    [
      'uses engines only below the registry',
      engineViolations,
      program,
      file('tools/x.ts', "import type { Command, Commands } from '../src/engines/engine.ts';"),
      'tools/x.ts: uses Commands of an engine; go through a handle of the session',
    ],
    [
      'keeps its contracts free of code',
      contractViolations,
      contracts,
      file('src/engines/engine.ts', 'export const ENGINES = [];'),
      'src/engines/engine.ts: holds code',
    ],
    [
      'has short files',
      lengthViolations,
      everything,
      file('src/cli/x.ts', 'line\n'.repeat(301)),
      'src/cli/x.ts: 301 lines, at most 300',
    ],
    [
      'has kebab-case names',
      nameViolations,
      everything,
      file('src/cli/runProgram.ts', ''),
      'src/cli/runProgram.ts: the name is not kebab-case',
    ],
  ])('%s', (_, rule, files, violating, sentence) => {
    expect(rule(files)).toEqual([]);
    expect(rule([violating])).toEqual([sentence]);
  });

  it('has folders of at most twenty files', () => {
    expect(folderViolations(everything)).toEqual([]);
    const many = Array.from({ length: 21 }, (_, n) => file(`src/cli/x${n}.ts`, ''));
    expect(folderViolations([...many, file('src/x.ts', '')])).toEqual(['src/cli: 21 files, at most 20']);
  });

  it('exports nothing that nobody imports', () => {
    expect(unusedExports(program, everything)).toEqual([]);
    const text = 'export interface A {}\nexport interface B {}\nexport function f(a: A): void {} // f, B';
    const both = [file('src/x.ts', text), file('src/y.ts', '// f')];
    expect(unusedExports(both, both)).toEqual(['src/x.ts: nobody imports B', 'src/x.ts: nobody imports f']);
  });

  it('consists mostly of short files', () => {
    expect(medianViolations(program)).toEqual([]);
    const long = file('src/cli/x.ts', 'line\n'.repeat(100));
    expect(medianViolations([long, long, file('src/cli/y.ts', '')])).toHaveLength(1);
  });
});

describe('the rule against import cycles', () => {
  const circle = [
    file('src/a/one.ts', "import { two } from '../b/two.ts';"),
    file('src/b/two.ts', "import type { Three } from '../c/three.ts';"),
    file('src/c/three.ts', "import { one } from '../a/one.ts';"),
  ];

  it('finds no cycle of files except known ones', () => {
    expect(fileCircles([...program, ...tests], KNOWN_CIRCLES)).toEqual([]);
    expect(fileCircles(circle)).toEqual(['src/a/one.ts > src/b/two.ts > src/c/three.ts > src/a/one.ts']);
    expect(fileCircles(circle, ['src/b/two.ts > src/c/three.ts'])).toEqual([]);
  });

  it('finds no cycle of folders except known ones', () => {
    expect(roomCircles(program, KNOWN_CIRCLES)).toEqual([]);
    const rooms = [
      file('src/a/one.ts', "import { two } from '../b/two.ts';"),
      file('src/b/two.ts', ''),
      file('src/b/three.ts', "import { four } from '../a/four.ts';"),
      file('src/a/four.ts', ''),
    ];
    expect(fileCircles(rooms)).toEqual([]);
    expect(roomCircles(rooms)).toEqual(['src/a/ > src/b/ > src/a/']);
  });

  it('treats each file beside folders as a folder, and lets folders import the types of their context', () => {
    const rooms = (names: string) => [
      file('src/index.ts', "import { one } from './a/one.ts';"),
      file('src/a/one.ts', `import ${names} from '../context.ts';`),
      file('src/context.ts', "import type { One } from './a/one.ts';"),
    ];
    expect(roomCircles(rooms('type { Context }'))).toEqual([]);
    expect(roomCircles(rooms('{ context }'))).toEqual(['src/a/ > src/context.ts > src/a/']);
  });

  it('lists no known cycle that no longer exists', () => {
    expect(outdated([...program, ...tests], KNOWN_CIRCLES)).toEqual([]);
    expect(outdated(circle, ['src/a/one.ts > src/c/three.ts'])).toEqual(['src/a/one.ts > src/c/three.ts']);
  });
});

describe('the import rule', () => {
  it.each([
    ['src/cli/x.ts', "import type { Config } from '../config/config.ts';", []],
    [
      'tools/x.ts',
      "import { loadConfig } from '../src/config/config.ts';",
      ['tools/x.ts: imports src/config/config.ts'],
    ],
    ['tools/x.ts', "import type { Engine } from '../src/engines/engine.ts';", []],
    ['tools/x.ts', "import { type Engine, type Command } from '../src/engines/engine.ts';", []],
    [
      'tools/x.ts',
      "import { type Engine, other } from '../src/engines/engine.ts';",
      ['tools/x.ts: imports more than types of src/engines/engine.ts'],
    ],
    ['src/shared/x.ts', "export * from '../registry/y.ts';", ['src/shared/x.ts: imports src/registry/y.ts']],
    ['src/server/x.ts', "await import('../../tools/index.ts');", ['src/server/x.ts: imports tools/index.ts']],
    [
      'src/engines/oci/index.ts',
      "import '../vercel/y.ts';",
      ['src/engines/oci/index.ts: imports src/engines/vercel/y.ts'],
    ],
    [
      'src/engines/oci/host/x.ts',
      "import { boot } from '../container/boot.ts';",
      ['src/engines/oci/host/x.ts: imports src/engines/oci/container/boot.ts'],
    ],
    [
      'src/engines/oci/exec/x.ts',
      "import { OciFiles } from '../files/files.ts';",
      ['src/engines/oci/exec/x.ts: imports src/engines/oci/files/files.ts'],
    ],
    ['src/engines/oci/exec/x.ts', "import { boot } from '../container/boot.ts';", []],
    ['src/engines/oci/exec/x.ts', "import type { OciContext } from '../context.ts';", []],
    ['src/server/x.ts', "// import { a } from '../engines/oci/a.ts';", []],
    ['src/main.ts', "import { boot } from './engines/oci/boot.ts';", []],
    ['src/egress/tls/x.ts', "import { a } from '../http/a.ts';", []],
    [
      'src/egress/policy/x.ts',
      "import { a } from '../http/a.ts';",
      ['src/egress/policy/x.ts: imports src/egress/http/a.ts'],
    ],
    [
      'src/engines/vercel/guest/x.ts',
      "import { a } from '../sandbox/a.ts';",
      ['src/engines/vercel/guest/x.ts: imports src/engines/vercel/sandbox/a.ts'],
    ],
    ['src/engines/oci/network/x.ts', "import { a } from '../../../egress/policy/a.ts';", []],
    ['src/elsewhere/x.ts', '', ['src/elsewhere/x.ts: in no known part of the tree']],
  ])('judges %s: %s', (path, text, sentences) => {
    expect(importViolations([file(path, text)])).toEqual(sentences);
  });

  it('reads imports over several lines', () => {
    const text = "import {\n  type A,\n  b,\n} from './c.ts';\nexport type { D } from './d.ts';";
    expect(importsOf(text)).toEqual([
      { specifier: './c.ts', typeOnly: false },
      { specifier: './d.ts', typeOnly: true },
    ]);
  });
});

describe('the rule of unit tests', () => {
  it('is kept, and everything it names exists', () => {
    const tests = filesBelow(['test'], ['.ts']);
    expect(unitTestViolations(tests)).toEqual([]);
    const paths = new Set(tests.map(({ path }) => path));
    expect(SYSTEM_SUPPORT.filter((path) => !paths.has(path))).toEqual([]);
  });

  it('finds what a unit test imports through another module', () => {
    const helper = file('test/x/helper.ts', "import { startServer } from '../support/server.ts';");
    const text = "import { help } from './helper.ts';";
    expect(unitTestViolations([helper, file('test/x/a.test.ts', text)])).toEqual([
      'test/x/a.test.ts: reaches test/support/server.ts, so that its name has to end in .system.test.ts',
    ]);
    expect(unitTestViolations([helper, file('test/x/a.system.test.ts', text)])).toEqual([]);
  });
});
