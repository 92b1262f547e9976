/** The built server with a real client, in a state directory of its own. */
import { existsSync } from 'node:fs';
import { chmod, mkdtemp, readdir, readFile, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { setTimeout as delay } from 'node:timers/promises';
import { Client } from '@modelcontextprotocol/sdk/client/index.js';
import { getDefaultEnvironment, StdioClientTransport } from '@modelcontextprotocol/sdk/client/stdio.js';
import { CallToolResultSchema } from '@modelcontextprotocol/sdk/types.js';
import { z } from 'zod';

export const DIST = join(import.meta.dirname, '../dist');
const STOCK_MS = 20_000;
const STOCKED_MS = 200;
const created = z.object({ sandbox_id: z.string() });

export interface BenchServer {
  readonly stateDir: string;
  /** The working directory, which `local_path` may name. */
  readonly cwd: string;
  readonly pid: number;
  /** Rejects if the tool returns an error. */
  call(name: string, args?: Record<string, unknown>): Promise<Record<string, unknown>>;
  create(): Promise<string>;
  /** Resolves when the server has booted a sandbox ahead. @throws if it has not after 20 s */
  untilStocked(): Promise<void>;
  close(): Promise<void>;
}

/**
 * Starts the server of the build in `dist`. `ociRuntime` is the value of the flag, `more` are further flags,
 * `warm` is how many sandboxes it boots ahead; results are checked
 * against the tools' output schemas.
 */
export async function openServer(
  dist: string,
  ociRuntime = 'auto',
  more: readonly string[] = [],
  warm = 0,
): Promise<BenchServer> {
  const home = await mkdtemp(join(tmpdir(), 'sbxb-'));
  await chmod(home, 0o711);
  const stateDir = join(home, 's');
  const transport = new StdioClientTransport({
    command: process.execPath,
    args: [
      join(dist, 'main.js'),
      '--state-dir',
      stateDir,
      '--oci-runtime',
      ociRuntime,
      '--log-level',
      'warn',
      ...more,
    ],
    cwd: home,
    // A variable, since builds before the flag do not know it.
    env: { ...getDefaultEnvironment(), SANDBOX_MCP_WARM: String(warm) },
  });
  const client = new Client({ name: 'bench', version: '1' });
  await client.connect(transport);
  await client.listTools();
  const call: BenchServer['call'] = async (name, args = {}) => {
    const result = CallToolResultSchema.parse(await client.callTool({ name, arguments: args }));
    if (result.isError) throw new Error(`${name}: ${JSON.stringify(result.content)}`);
    return result.structuredContent ?? {};
  };
  return {
    stateDir,
    cwd: home,
    pid: transport.pid ?? 0,
    call,
    create: async () => created.parse(await call('sandbox_create', { resources: { vcpus: 1 } })).sandbox_id,
    untilStocked: () => untilStocked(stateDir),
    async close() {
      await client.close();
      // The clean-up of a session that ended late may still be removing files.
      await rm(home, { recursive: true, force: true, maxRetries: 20 });
    },
  };
}

async function untilStocked(stateDir: string): Promise<void> {
  const folder = join(stateDir, 'sandboxes');
  const deadline = performance.now() + STOCK_MS;
  for (;;) {
    for (const name of await readdir(folder)) {
      // One that is being made or removed has no record.
      const record = await readFile(join(folder, name, 'record.json'), 'utf8').catch(() => '');
      const isBooted = /"runtime": "\.?stock"/.test(record) && record.includes('"init": {');
      // Its gateway, which is opened last, makes this file; then the server still puts it into the stock.
      if (isBooted && existsSync(join(folder, name, 'gateway'))) return delay(STOCKED_MS);
    }
    if (performance.now() > deadline) throw new Error('the server booted no sandbox ahead');
    await delay(5);
  }
}
