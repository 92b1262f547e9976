// Bundles src/main.ts into dist/main.js, an executable, and src/composition.ts with all it needs into
// dist/server.cjs, which that one loads, and dist/parts, packages that most servers never load.
import { createHash } from 'node:crypto';
import { chmod, mkdir, readdir, readFile, rename, rm, stat, writeFile } from 'node:fs/promises';
import { createRequire } from 'node:module';
import { basename, dirname, join, relative } from 'node:path';
import { fileURLToPath, pathToFileURL } from 'node:url';
import { writeCodeCache } from './write-code-cache.mjs';

const ROOT = dirname(dirname(fileURLToPath(import.meta.url)));
const OUT_DIR = join(ROOT, 'dist');
const PARTS = join(OUT_DIR, 'parts');
const SERVER = join(OUT_DIR, 'server.cjs');
/** Not part of the front: loaded with the server's bundle. */
const COMPOSITION = './composition.ts';
/** Packages with a bundle of their own in `dist/parts`. Each is imported by the names of its exports only. */
const SELDOM = ['@vercel/sandbox', 'undici', 'ws', 'https-proxy-agent', 'ioredis'];
/** A source file with a bundle of its own there, with its packages. */
const TRACING = 'src/server/http/tracing/open-telemetry.ts';
const TOOL_LIST = join(OUT_DIR, 'tools.json');
const STAMP_FILE = join(ROOT, 'node_modules/.cache/sandbox-mcp/build.json');

// Bundled CommonJS modules still load Node's built-in modules by `require`, which an ES module does not have.
const BANNER =
  "import { createRequire as nodeCreateRequire } from 'node:module';\n" +
  'const require = nodeCreateRequire(import.meta.url);';

/**
 * Bundles unless nothing has changed since the last build. Returns the paths of the source files of the
 * bundle, relative to the root of the repository. Throws the bundler's message if the build fails.
 */
export async function buildJavaScript() {
  const before = await freshInputs();
  if (before !== null) return before;
  // Loaded lazily: most calls find nothing to do.
  const { build } = await import('esbuild');
  const common = {
    absWorkingDir: ROOT,
    bundle: true,
    write: false,
    metafile: true,
    platform: 'node',
    target: 'node20',
    minifySyntax: true,
    minifyWhitespace: true,
    legalComments: 'none',
    logLevel: 'error',
  };
  // V8 caches compiled scripts, but not modules.
  const script = {
    ...common,
    format: 'cjs',
    define: { 'import.meta.url': 'importMetaUrl' },
    // An imported script has no named exports; a required one does.
    supported: { 'dynamic-import': false },
  };
  const importMetaUrl = "const importMetaUrl = require('node:url').pathToFileURL(__filename).href;";
  // Shorter names keep the package small; those that a program can read stay.
  const part = { ...script, minifyIdentifiers: true, keepNames: true, banner: { js: importMetaUrl } };
  const [front, server, list, ...parts] = await Promise.all([
    build({
      ...common,
      entryPoints: ['src/main.ts'],
      format: 'esm',
      banner: { js: BANNER },
      external: [COMPOSITION],
    }),
    build({
      ...script,
      entryPoints: ['src/composition.ts'],
      // One expression, as src/code-cache.ts runs it.
      banner: { js: `(function (require, module, __filename, __dirname) {${importMetaUrl}` },
      footer: { js: '})' },
      plugins: [englishOnly, withoutAjv, lateBuiltIns, inParts('./parts/')],
      // Its CommonJS form loads its files in a way that a bundler cannot follow.
      alias: { 'jsonc-parser': 'jsonc-parser/lib/esm/main.js' },
    }),
    buildToolList(build),
    ...SELDOM.map((name) => build({ ...part, entryPoints: [name], plugins: [inParts('./')] })),
    build({ ...part, entryPoints: [TRACING] }),
  ]);
  const files = [
    ...parts.map((part, index) => fileOf(join(PARTS, partOf(SELDOM[index] ?? TRACING)), part)),
    fileOf(SERVER, server),
    { path: TOOL_LIST, contents: list.json },
    // Last: until then the previous one still finds what belongs to it.
    fileOf(join(OUT_DIR, 'main.js'), front),
  ];
  for (const { path, contents } of files) {
    await writeWhole(path, contents, path.endsWith('main.js') ? 0o755 : 0o644);
  }
  const cache = await writeCodeCache(SERVER);
  files.push({ path: cache, contents: await readFile(cache) });
  await removeOthers(files.map(({ path }) => path));
  const outputs = Object.fromEntries(
    files.map(({ path, contents }) => [relative(ROOT, path), digest(contents)]),
  );
  const bundled = [front, server, ...parts]
    .flatMap(({ metafile }) => Object.keys(metafile.inputs))
    .filter((input) => !input.startsWith(`${LATE_MODULES}:`));
  const inputs = [...new Set([...bundled, ...list.inputs, ...ownFiles()])];
  await writeWhole(STAMP_FILE, JSON.stringify(await stampOf(inputs, outputs)), 0o644);
  return inputs;
}

function fileOf(path, { outputFiles: [{ contents }] }) {
  return { path, contents };
}

/** The file name of a package in `dist/parts`. */
function partOf(name) {
  if (name === TRACING) return `${basename(name, '.ts')}.cjs`;
  return `${name.replace('@', '').replace('/', '-')}.cjs`;
}

/** Leaves these packages, and the tracing, to their own bundles, which are in `directory` from where they are required. */
function inParts(directory) {
  return {
    name: 'in-parts',
    setup(build) {
      build.onResolve({ filter: /\/open-telemetry\.ts$/ }, ({ kind }) =>
        kind === 'entry-point' ? null : { path: `${directory}${partOf(TRACING)}`, external: true },
      );
      build.onResolve({ filter: /^[@a-z]/ }, ({ path, kind }) =>
        kind !== 'entry-point' && SELDOM.includes(path)
          ? { path: `${directory}${partOf(path)}`, external: true }
          : null,
      );
    },
  };
}

/** The tool list in all its forms, which the front sends without loading the tools. */
async function buildToolList(build) {
  const source = `import { TOOLS } from './tools/index.ts';
    import { prebuiltList } from './src/server/front/prebuilt-list.ts';
    export const list = prebuiltList(TOOLS);`;
  const result = await build({
    absWorkingDir: ROOT,
    stdin: { contents: source, resolveDir: ROOT },
    bundle: true,
    write: false,
    metafile: true,
    platform: 'node',
    format: 'esm',
    target: 'node20',
    banner: { js: BANNER },
    logLevel: 'error',
  });
  const program = join(dirname(STAMP_FILE), `tool-list.${process.pid}.mjs`);
  try {
    await writeWhole(program, result.outputFiles[0].contents, 0o644);
    const { list } = await import(pathToFileURL(program).href);
    const inputs = Object.keys(result.metafile.inputs).filter((path) => path !== '<stdin>');
    return { json: JSON.stringify(list), inputs };
  } finally {
    await rm(program, { force: true });
  }
}

/** Removes what earlier builds left in `dist/parts`. */
async function removeOthers(present) {
  for (const name of await readdir(PARTS)) {
    const path = join(PARTS, name);
    if (!present.includes(path)) await rm(path, { recursive: true });
  }
}

/**
 * The schema library includes messages in fifty languages; dropping all but one makes the server start
 * faster.
 */
const englishOnly = {
  name: 'english-only',
  setup(build) {
    build.onLoad({ filter: /[\\/]zod[\\/]v4[\\/]locales[\\/]index\.js$/ }, () => ({
      contents: "export { default as en } from './en.js';",
    }));
  },
};

/**
 * The protocol's libraries load Ajv to check what a user enters for a server. This one asks only for consent.
 */
const withoutAjv = {
  name: 'without-ajv',
  setup(build) {
    build.onLoad({ filter: /[\\/]sdk[\\/]dist[\\/]esm[\\/]validation[\\/]ajv-provider\.js$/ }, () => ({
      contents: `export class AjvJsonSchemaValidator {
        getValidator() { throw new Error('This server does not ask its users for input.'); }
      }`,
    }));
    // What the library for the newest revision uses on Node.
    build.onLoad({ filter: /[\\/]server[\\/]dist[\\/]shimsNode\.mjs$/ }, () => ({
      contents: `import process from 'node:process';
      class DefaultJsonSchemaValidator {
        getValidator() { throw new Error('This server does not ask its users for input.'); }
      }
      export { DefaultJsonSchemaValidator, process };`,
    }));
  },
};

/** Where esbuild finds what stands in for them. */
const LATE_MODULES = 'late';
/** Modules of Node that most sessions never use. */
const LATE = ['node:dns/promises', 'node:http', 'node:http2', 'node:tls', 'node:worker_threads', 'node:zlib'];

/** Loads these when one of their exports is used, and not with the file that imports them. */
const lateBuiltIns = {
  name: 'late-built-ins',
  setup(build) {
    build.onResolve({ filter: /^node:/ }, ({ path, kind, namespace }) =>
      LATE.includes(path) && kind === 'import-statement' && namespace === 'file'
        ? { path, namespace: LATE_MODULES }
        : null,
    );
    build.onLoad({ filter: /.*/, namespace: LATE_MODULES }, ({ path }) => {
      const exported = Object.keys(createRequire(import.meta.url)(path));
      const getters = exported.map((name) => `get ${name}() { return require('${path}').${name}; }`);
      return { contents: `module.exports = { ${getters.join(',\n')} };` };
    });
  },
};

/** Files that shape the bundle without being part of it. */
function ownFiles() {
  return [
    'scripts/build-javascript.mjs',
    'scripts/write-code-cache.mjs',
    'package.json',
    'package-lock.json',
  ];
}

/** The inputs of the existing bundle, or null unless it was built from exactly these files. */
async function freshInputs() {
  try {
    const stamp = JSON.parse(await readFile(STAMP_FILE, 'utf8'));
    for (const [path, output] of Object.entries(stamp.outputs)) {
      if (output !== digest(await readFile(join(ROOT, path)))) return null;
    }
    const inputs = Object.keys(stamp.inputs);
    const now = await stampOf(inputs, stamp.outputs);
    return JSON.stringify(now) === JSON.stringify(stamp) ? inputs : null;
  } catch {
    // No stamp, no bundle, or a missing input: build.
    return null;
  }
}

async function stampOf(inputs, outputs) {
  const entries = await Promise.all(
    inputs.map(async (path) => {
      const { mtimeMs, size } = await stat(join(ROOT, path));
      return [path, `${mtimeMs}:${size}`];
    }),
  );
  // The code cache is for one version of Node.
  return { node: process.version, outputs, inputs: Object.fromEntries(entries) };
}

function digest(bytes) {
  return createHash('sha256').update(bytes).digest('hex');
}

/** Writes atomically: a reader never sees a partial file, even while two builds run. */
async function writeWhole(path, data, mode) {
  await mkdir(dirname(path), { recursive: true });
  const temporary = `${path}.${process.pid}.tmp`;
  try {
    await writeFile(temporary, data);
    await chmod(temporary, mode);
    await rename(temporary, path);
  } finally {
    await rm(temporary, { force: true });
  }
}
