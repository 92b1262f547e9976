/**
 * `npm run conformance`: runs the protocol's conformance suite against the built server over HTTP, for both
 * eras. Exits with 1 if a scenario fails that is not expected to, or one passes that is.
 *
 *     npm run conformance -- --dir DIR   installs into DIR and leaves it there for the next run
 */
import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { parseArgs } from 'node:util';
import { installPackages } from '../clients/install.ts';
import { NEWER_NODE } from '../clients/library-clients.ts';
import { SERVER } from '../support/server.ts';

const SUITE = '@modelcontextprotocol/conformance@0.2.0-alpha.12';
const REVISIONS = ['2025-11-25', '2026-07-28'];

const { values } = parseArgs({ options: { dir: { type: 'string' } } });
const temporary = await mkdtemp(join(tmpdir(), 'conformance-'));
try {
  const folder = await installPackages(values.dir ?? temporary, 'conformance', [SUITE, NEWER_NODE]);
  const server = await startServer(join(temporary, 's'));
  try {
    for (const revision of REVISIONS) {
      const passed = await runSuite(folder, server.url, revision);
      process.stdout.write(`${revision}: ${passed ? 'as expected' : 'NOT as expected'}\n`);
      if (!passed) process.exitCode = 1;
    }
  } finally {
    await server.stop();
  }
} finally {
  await rm(temporary, { recursive: true, force: true });
}

async function startServer(stateDir: string) {
  const flags = ['--transport', 'http', '--port', '0', '--state-dir', stateDir];
  const child = spawn(process.execPath, [SERVER, ...flags], { stdio: ['ignore', 'ignore', 'pipe'] });
  const exited = once(child, 'exit');
  let logged = '';
  const url = await new Promise<string>((resolve, reject) => {
    child.stderr.on('data', (chunk: Buffer) => {
      logged += chunk.toString('utf8');
      const found = /"url":"([^"]+)"/.exec(logged)?.[1];
      if (found !== undefined) resolve(found);
    });
    child.once('exit', () => reject(new Error(`The server did not start:\n${logged}`)));
  });
  const stop = async () => {
    child.kill('SIGTERM');
    await exited;
  };
  return { url, stop };
}

/** True if the scenarios that the revision requires fail and pass as expected. */
async function runSuite(folder: string, url: string, revision: string): Promise<boolean> {
  const modules = join(folder, 'node_modules');
  const node = join(modules, NEWER_NODE.replace(/@[^@]*$/, ''), 'bin', 'node');
  const suite = join(modules, SUITE.replace(/@[^@]*$/, ''), 'dist', 'index.js');
  const expected = join(import.meta.dirname, `expected-failures-${revision}.yaml`);
  const args = ['server', '--url', url, '--requirements', revision, '--expected-failures', expected];
  const child = spawn(node, [suite, ...args], { cwd: folder, stdio: ['ignore', 'inherit', 'inherit'] });
  const [code] = await once(child, 'exit');
  return code === 0;
}
