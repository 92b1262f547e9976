/** From the start of the program to the answer of the first command, in a new sandbox. */
import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { chmod, mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { createInterface } from 'node:readline';
import type { Row } from '../row.ts';

const clientInfo = { name: 'bench', version: '1' };
/** Each is sent when the one before it is answered, as a client does. */
const REQUESTS = [
  { method: 'initialize', params: { protocolVersion: '2025-06-18', capabilities: {}, clientInfo } },
  { method: 'tools/list' },
  { method: 'tools/call', params: { name: 'sandbox_create', arguments: {} } },
  { method: 'tools/call', params: { name: 'sandbox_run_command', arguments: { cmd: 'true' } } },
];

export const firstCommand: Row = {
  name: 'first-command',
  title: 'start of the process to the answer of the first command in a new sandbox',
  // The first one prepares the state directory.
  warmUps: 2,
  runs: 10,
  async open(dist) {
    const stateDir = await mkdtemp(join(tmpdir(), 'sbxb-'));
    await chmod(stateDir, 0o711);
    const ours = [join(dist, 'main.js'), '--state-dir', stateDir, '--log-level', 'error'];
    return {
      contenders: [
        { label: 'sandbox-mcp', run: () => untilFirstCommand(ours) },
        { label: 'node -e 0 (to its exit)', run: () => untilExit(['-e', '0']) },
      ],
      after: async () => {
        await rm(stateDir, { recursive: true, force: true });
        return [];
      },
    };
  },
};

async function untilFirstCommand(args: string[]): Promise<number> {
  const started = performance.now();
  const child = spawn(process.execPath, args, { stdio: ['pipe', 'pipe', 'ignore'] });
  const exited = once(child, 'exit');
  const send = (id: number): void => {
    child.stdin.write(`${JSON.stringify({ jsonrpc: '2.0', id, ...REQUESTS[id] })}\n`);
  };
  send(0);
  let answered = 0;
  let failure = `${args[0]} ended early`;
  for await (const line of createInterface({ input: child.stdout })) {
    if (line.includes('"isError":true')) {
      failure = line;
      break;
    }
    answered += 1;
    if (answered === REQUESTS.length) break;
    send(answered);
  }
  const taken = performance.now() - started;
  child.stdin.end();
  // The clean-up is not measured, but must not overlap the next start.
  await exited;
  if (answered < REQUESTS.length) throw new Error(failure);
  return taken;
}

async function untilExit(args: string[]): Promise<number> {
  const started = performance.now();
  await once(spawn(process.execPath, args, { stdio: 'ignore' }), 'exit');
  return performance.now() - started;
}
