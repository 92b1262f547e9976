// Writes V8's code cache of a bundle: runs the server to its list of tools, then keeps what has been compiled.
import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { writeFileSync } from 'node:fs';
import { mkdtemp, readFile, rename, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { dirname, join } from 'node:path';
import { createInterface } from 'node:readline';
import { fileURLToPath, pathToFileURL } from 'node:url';

const THIS_FILE = fileURLToPath(import.meta.url);
const LOADER = join(dirname(THIS_FILE), '../src/code-cache.ts');
const CLIENT = {
  protocolVersion: '2025-06-18',
  capabilities: {},
  clientInfo: { name: 'build', version: '1' },
};
const REQUESTS = [
  { jsonrpc: '2.0', id: 1, method: 'initialize', params: CLIENT },
  { jsonrpc: '2.0', method: 'notifications/initialized' },
  { jsonrpc: '2.0', id: 2, method: 'tools/list' },
];

/** Returns the path of the cache. Throws if the server does not run. */
export async function writeCodeCache(bundle) {
  const { build } = await import('esbuild');
  const work = await mkdtemp(join(tmpdir(), 'sandbox-mcp-build-'));
  try {
    const loader = join(work, 'loader.mjs');
    await build({
      entryPoints: [LOADER],
      outfile: loader,
      platform: 'node',
      format: 'esm',
      bundle: true,
      logLevel: 'error',
    });
    const { codeCachePath } = await import(pathToFileURL(loader).href);
    const written = join(work, 'cache');
    await record([loader, bundle, written, join(work, 'state')]);
    const path = codeCachePath(bundle);
    const temporary = `${path}.${process.pid}.tmp`;
    await writeFile(temporary, await readFile(written));
    await rename(temporary, path);
    return path;
  } finally {
    await rm(work, { recursive: true, force: true });
  }
}

/** Runs this file as a server that writes the cache when its session has ended. */
async function record(args) {
  const child = spawn(process.execPath, [THIS_FILE, ...args], { stdio: ['pipe', 'pipe', 'inherit'] });
  const exited = once(child, 'exit');
  for (const request of REQUESTS) child.stdin.write(`${JSON.stringify(request)}\n`);
  for await (const line of createInterface({ input: child.stdout })) {
    if (JSON.parse(line).id === 2) break;
  }
  child.stdin.end();
  const [code] = await exited;
  if (code !== 0) throw new Error(`the server ended with ${code} while its code cache was recorded`);
}

async function serve(loader, bundle, output, stateDir) {
  const { loadBundle } = await import(pathToFileURL(loader).href);
  const { exports, codeCache } = loadBundle(bundle);
  const terminal = {
    out: (text) => process.stdout.write(text),
    err: (text) => process.stderr.write(text),
    isScreen: false,
  };
  const flags = ['--state-dir', stateDir, '--log-level', 'warn'];
  const code = await exports.runCommandLine(flags, bundle, terminal);
  writeFileSync(output, codeCache());
  process.exit(code);
}

if (process.argv[1] === THIS_FILE) await serve(...process.argv.slice(2));
