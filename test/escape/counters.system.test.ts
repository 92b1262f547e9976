/** Kernel counters that one sandbox exhausts are still available to the next one and to the host. */
import { execFile } from 'node:child_process';
import { readFile } from 'node:fs/promises';
import { join } from 'node:path';
import { promisify } from 'node:util';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { needs } from '../support/needs.ts';
import { type RunningServer, startServer } from '../support/server.ts';

const SCRIPT = join(import.meta.dirname, 'exhaust.py');
const isRoot = process.getuid?.() === 0;

let server: RunningServer;
let greedy: string;
let next: string;
let isolation: string;

beforeAll(async () => {
  server = await startServer();
  const content = await readFile(SCRIPT, 'utf8');
  const create = async () => {
    const { structured, text } = await server.call('sandbox_create');
    expect(structured['status'], text).toBe('running');
    const sandbox_id = String(structured['sandbox_id']);
    await server.call('sandbox_write_files', { sandbox_id, files: [{ path: 'exhaust.py', content }] });
    return sandbox_id;
  };
  greedy = await create();
  next = await create();
  const { structured } = await server.call('session_info');
  isolation = String(Object(structured['engine']).isolation);
});
afterAll(() => server.close());

/**
 * Exhausts `kind` in the first sandbox; returns how many there were, and holds them while `work` runs.
 */
async function whileExhausted(kind: string, work: () => Promise<void>): Promise<number> {
  const started = await server.call('sandbox_run_command_detached', {
    sandbox_id: greedy,
    cmd: 'python3',
    args: ['exhaust.py', kind],
  });
  const command_id = String(started.structured['command_id']);
  let lines: unknown = [];
  await expect
    .poll(async () => {
      const page = await server.call('command_logs', { command_id, stream: 'stdout', wait_ms: 20_000 });
      lines = page.structured['lines'];
      return lines;
    })
    .toHaveLength(1);
  try {
    await work();
  } finally {
    await server.call('command_kill', { command_id, signal: 'SIGKILL' });
    await server.call('command_wait', { command_id });
  }
  return Number(/"data":"(\d+)"/.exec(JSON.stringify(lines))?.[1]);
}

// The owner of the user namespace is not the ordinary user: see SECURITY.md.
describe('a sandbox that exhausts', needs('root, whose sandboxes have separate ids', isRoot), () => {
  it.for<[kind: string, wanted: number, fewerThan: number]>([
    ['inotify', 20, 100_000],
    ['signals', 1_000, 20_000],
    ['terminals', 20, 300],
    ['message_queues', 2, 1_000],
    ['locked_memory', 4, 65],
    ['shared_memory', 20, 100_001],
    ['semaphores', 20, 100_001],
  ])('%s does not affect the next one and the host', async ([kind, wanted, fewerThan], context) => {
    if (kind === 'inotify' && !isolation.startsWith('crun'))
      return context.skip('needs crun: runc 1.1 cannot join a user namespace of another owner');
    const got = await whileExhausted(kind, async () => {
      const args = ['exhaust.py', kind, String(wanted)];
      const inNext = await server.call('sandbox_run_command', { sandbox_id: next, cmd: 'python3', args });
      expect(inNext.structured['stdout'], inNext.text).toBe(`${wanted}\n`);
      const onHost = await promisify(execFile)('python3', [SCRIPT, kind, String(wanted)]);
      expect(onHost).toEqual({ stdout: `${wanted}\n`, stderr: '' });
      if (kind === 'terminals') {
        const shell = await server.call('sandbox_shell', { sandbox_id: next });
        expect(shell.isError, shell.text).toBe(false);
        const refused = await server.call('sandbox_shell', { sandbox_id: greedy });
        expect(refused.text).toContain('terminal');
        expect(refused.text).not.toContain('disk');
      }
    });
    expect(got).toBeGreaterThan(0);
    expect(got).toBeLessThan(fewerThan);
  });

  it('the descriptor limit of PID 1 cannot: root inside sets only its own limits', async () => {
    const limits =
      'prlimit --pid 1 --nofile=5:5; echo $?; prlimit --pid 1 --nofile >/dev/null; echo $?; ulimit -n 64; ulimit -n';
    const { structured } = await server.call('sandbox_run_command', {
      sandbox_id: next,
      cmd: 'bash',
      args: ['-c', limits],
      sudo: true,
    });
    expect(structured['stdout']).toBe('1\n0\n64\n');
    expect(structured['stderr']).toContain('Operation not permitted');
  });
});
