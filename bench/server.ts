/** The built server with a real client, in a state directory of its own. */
import { chmod, mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { Client } from '@modelcontextprotocol/sdk/client/index.js';
import { StdioClientTransport } from '@modelcontextprotocol/sdk/client/stdio.js';
import { CallToolResultSchema } from '@modelcontextprotocol/sdk/types.js';
import { z } from 'zod';

export const DIST = join(import.meta.dirname, '../dist');
const created = z.object({ sandbox_id: z.string() });

export interface BenchServer {
  readonly stateDir: string;
  /** The working directory, which `local_path` may name. */
  readonly cwd: string;
  readonly pid: number;
  /** Rejects if the tool returns an error. */
  call(name: string, args?: Record<string, unknown>): Promise<Record<string, unknown>>;
  create(): Promise<string>;
  close(): Promise<void>;
}

/**
 * Starts a server. `ociRuntime` is the value of the flag, `more` are further flags; results are checked
 * against the tools' output schemas.
 */
export async function openServer(ociRuntime = 'auto', more: readonly string[] = []): Promise<BenchServer> {
  const home = await mkdtemp(join(tmpdir(), 'sbxb-'));
  await chmod(home, 0o711);
  const stateDir = join(home, 's');
  const transport = new StdioClientTransport({
    command: process.execPath,
    args: [
      join(DIST, 'main.js'),
      '--state-dir',
      stateDir,
      '--oci-runtime',
      ociRuntime,
      '--log-level',
      'warn',
      ...more,
    ],
    cwd: home,
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
    async close() {
      await client.close();
      // The clean-up of a session that ended late may still be removing files.
      await rm(home, { recursive: true, force: true, maxRetries: 20 });
    },
  };
}
