// Builds the bundle for desktop clients: what the npm package runs, with a manifest (version 0.4 of the format).
//
//   node scripts/build-mcpb.mjs FILE.mcpb
//
// It contains the agents that were built: `node scripts/build.mjs --release` builds all of them.
import { cp, mkdir, mkdtemp, readdir, readFile, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { basename, dirname, join, resolve } from 'node:path';
import { fileURLToPath } from 'node:url';
import { packExtension, validateManifest } from '@anthropic-ai/mcpb';
import { buildJavaScript } from './build-javascript.mjs';

const ROOT = dirname(dirname(fileURLToPath(import.meta.url)));
const FILES = ['LICENSE', 'THIRD-PARTY-NOTICES.txt', 'licenses', 'agent'];
const BUILT = /^(main\.js|server\.cjs|parts|tools\.json|agent-(x64|arm64))$/;

/** The manifest, from what package.json and the list of tools say. */
function manifestOf(manifest, tools) {
  const { name, version, description, license, keywords, homepage, repository, engines } = manifest;
  return {
    manifest_version: '0.4',
    name,
    display_name: 'Sandbox',
    version,
    description,
    author: { name: manifest.author },
    repository: { type: 'git', url: repository.url.replace(/^git\+/, '') },
    homepage,
    license,
    keywords,
    server: {
      type: 'node',
      entry_point: 'dist/main.js',
      mcp_config: {
        command: 'node',
        args: ['$' + '{__dirname}/dist/main.js', '--allow-dir', '$' + '{user_config.folder}'],
      },
    },
    tools: tools.map(({ name: tool, description: text }) => ({ name: tool, description: text })),
    user_config: {
      folder: {
        type: 'directory',
        title: 'Folder',
        description: 'The folder that uploads and downloads may use.',
        required: true,
      },
    },
    // The sandboxes are Linux; see docs/clients.md for other systems.
    compatibility: { platforms: ['linux'], runtimes: { node: engines.node } },
  };
}

/** What the bundle contains, from a copy in a folder of its own. */
async function fill(folder) {
  const manifest = JSON.parse(await readFile(join(ROOT, 'package.json'), 'utf8'));
  const list = JSON.parse(await readFile(join(ROOT, 'dist/tools.json'), 'utf8'));
  const tools = list.tools.flatMap(({ forms }) => (forms === null ? [] : [JSON.parse(forms.text)]));
  const { name, version, type } = manifest;
  await writeFile(join(folder, 'manifest.json'), JSON.stringify(manifestOf(manifest, tools), null, 2));
  // Says that the JavaScript consists of modules.
  await writeFile(join(folder, 'package.json'), JSON.stringify({ name, version, type }));
  await mkdir(join(folder, 'dist'));
  const built = (await readdir(join(ROOT, 'dist'))).filter((entry) => BUILT.test(entry));
  for (const path of [...FILES, ...built.map((entry) => join('dist', entry))])
    await cp(join(ROOT, path), join(folder, path), { recursive: true });
}

const [output] = process.argv.slice(2);
if (output === undefined) {
  console.error('build-mcpb: name the file to write, such as sandbox-mcp.mcpb');
  process.exit(2);
}
const folder = await mkdtemp(join(tmpdir(), 'mcpb-'));
try {
  await buildJavaScript();
  await fill(folder);
  if (!validateManifest(join(folder, 'manifest.json')))
    throw new Error('the manifest is not valid; see above');
  const packed = await packExtension({ extensionPath: folder, outputPath: resolve(output), silent: true });
  if (!packed) throw new Error(`${basename(output)} could not be packed`);
} catch (error) {
  console.error(`build-mcpb: ${error instanceof Error ? error.message : error}`);
  process.exitCode = 1;
} finally {
  await rm(folder, { recursive: true, force: true });
}
