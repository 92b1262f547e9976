// Bundles src/main.ts and all it needs into dist/main.js, an executable, and dist/parts, which it loads when
// they are needed.
import { createHash } from 'node:crypto';
import { chmod, mkdir, readdir, readFile, rename, rm, stat, writeFile } from 'node:fs/promises';
import { dirname, join, relative } from 'node:path';
import { fileURLToPath, pathToFileURL } from 'node:url';

const ROOT = dirname(dirname(fileURLToPath(import.meta.url)));
const OUT_DIR = join(ROOT, 'dist');
const PARTS = 'parts';
const DAY_MS = 86_400_000;
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
  const result = await build({
    absWorkingDir: ROOT,
    entryPoints: ['src/main.ts'],
    outdir: OUT_DIR,
    chunkNames: `${PARTS}/[name]-[hash]`,
    bundle: true,
    // A part's own imports are loaded with it; in a single file all of them would be loaded at every start.
    splitting: true,
    write: false,
    metafile: true,
    platform: 'node',
    format: 'esm',
    target: 'node20',
    minifySyntax: true,
    minifyWhitespace: true,
    legalComments: 'none',
    banner: { js: BANNER },
    plugins: [englishOnly, withoutAjv],
    // Its CommonJS form loads its files in a way that a bundler cannot follow.
    alias: { 'jsonc-parser': 'jsonc-parser/lib/esm/main.js' },
    logLevel: 'error',
  });
  // The entry is written last: until then the previous one still finds its parts.
  const [entry, ...parts] = [...result.outputFiles].sort((one, other) => one.path.length - other.path.length);
  for (const { path, contents } of [...parts, entry]) {
    await writeWhole(path, contents, path === entry.path ? 0o755 : 0o644);
  }
  await removeOthers(parts.map(({ path }) => path));
  const outputs = Object.fromEntries(
    result.outputFiles.map(({ path, contents }) => [relative(ROOT, path), digest(contents)]),
  );
  const list = await buildToolList(build);
  await writeWhole(TOOL_LIST, list.json, 0o644);
  outputs[relative(ROOT, TOOL_LIST)] = digest(list.json);
  const inputs = [...new Set([...Object.keys(result.metafile.inputs), ...list.inputs, ...ownFiles()])];
  await writeWhole(STAMP_FILE, JSON.stringify(await stampOf(inputs, outputs)), 0o644);
  return inputs;
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

/** Removes all parts of earlier builds, so that none is packed. Call it after `buildJavaScript`. */
export async function removeEarlierParts() {
  const { outputs } = JSON.parse(await readFile(STAMP_FILE, 'utf8'));
  await removeOthers(
    Object.keys(outputs).map((path) => join(ROOT, path)),
    0,
  );
}

/** Removes parts of earlier builds. Recent ones are kept: a running server may still load them. */
async function removeOthers(present, keptForMs = DAY_MS) {
  const directory = join(OUT_DIR, PARTS);
  for (const name of await readdir(directory)) {
    const path = join(directory, name);
    if (!present.includes(path) && Date.now() - (await stat(path)).mtimeMs >= keptForMs) await rm(path);
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

/** Files that shape the bundle without being part of it. */
function ownFiles() {
  return [relative(ROOT, fileURLToPath(import.meta.url)), 'package.json', 'package-lock.json'];
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
  return { outputs, inputs: Object.fromEntries(entries) };
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
