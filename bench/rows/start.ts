/** From the start of the program to the response to `initialize`. */
import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { existsSync } from 'node:fs';
import { mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { createInterface } from 'node:readline';
import type { Row } from '../row.ts';

const REFERENCE = join(
  import.meta.dirname,
  '../../node_modules/@modelcontextprotocol/server-everything/dist/index.js',
);
const INITIALIZE = `${JSON.stringify({
  jsonrpc: '2.0',
  id: 1,
  method: 'initialize',
  params: { protocolVersion: '2025-06-18', capabilities: {}, clientInfo: { name: 'bench', version: '1' } },
})}\n`;

export const start: Row = {
  name: 'start',
  title: 'start of the process to the answer of initialize',
  warmUps: 2,
  runs: 20,
  async open(dist) {
    const stateDir = await mkdtemp(join(tmpdir(), 'sbxb-'));
    const ours = [join(dist, 'main.js'), '--state-dir', stateDir, '--log-level', 'error'];
    const contenders = [
      { label: 'sandbox-mcp', run: () => untilInitialized(ours) },
      { label: 'node -e 0 (to its exit)', run: () => untilExit(['-e', '0']) },
    ];
    const reference = existsSync(REFERENCE);
    if (reference) {
      const run = (): Promise<number> => untilInitialized([REFERENCE, 'stdio']);
      contenders.push({ label: '@modelcontextprotocol/server-everything', run });
    }
    return {
      contenders,
      after: async () => {
        await rm(stateDir, { recursive: true, force: true });
        return reference ? [] : ['@modelcontextprotocol/server-everything is not installed'];
      },
    };
  },
};

export async function untilInitialized(
  args: string[],
  options: { cwd?: string; env?: NodeJS.ProcessEnv } = {},
): Promise<number> {
  const started = performance.now();
  const child = spawn(process.execPath, args, { ...options, stdio: ['pipe', 'pipe', 'ignore'] });
  const exited = once(child, 'exit');
  child.stdin.write(INITIALIZE);
  let taken: number | null = null;
  for await (const line of createInterface({ input: child.stdout })) {
    if (!line.includes('"protocolVersion"')) continue;
    taken = performance.now() - started;
    break;
  }
  child.stdin.end();
  // What it does after the response is not measured, but its exit must not overlap the next start.
  const limit = setTimeout(() => child.kill('SIGKILL'), 2_000);
  await exited;
  clearTimeout(limit);
  if (taken === null) throw new Error(`${args[0]} did not answer initialize`);
  return taken;
}

async function untilExit(args: string[]): Promise<number> {
  const started = performance.now();
  await once(spawn(process.execPath, args, { stdio: 'ignore' }), 'exit');
  return performance.now() - started;
}
