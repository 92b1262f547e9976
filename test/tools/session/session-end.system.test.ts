import { chmod, mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { describe, expect, it, onTestFinished } from 'vitest';
import { warm } from '../../support/host/warm-state.ts';
import { type RunningServer, startServer } from '../../support/server.ts';

/** A state directory that outlives its server, as on a user's machine. */
async function sharedState(): Promise<string> {
  const home = await mkdtemp(join(tmpdir(), 's-'));
  await chmod(home, 0o711);
  onTestFinished(() => rm(home, { recursive: true, force: true }));
  const stateDir = join(home, 's');
  await warm(stateDir);
  return stateDir;
}

/** Starts an attached script, and returns its command id once it has written something. */
async function attached(server: RunningServer, script: string): Promise<string> {
  await new Promise<void>((resolve) => {
    const args = { cmd: 'bash', args: ['-c', script] };
    server.call('sandbox_run_command', args, { onprogress: () => resolve() }).catch(() => {});
  });
  const { structured } = await server.call('session_info');
  const [command] = Array.isArray(structured['commands']) ? structured['commands'] : [];
  return String(Object(command).command_id);
}

describe('a server started after another has exited', () => {
  it('finds kept sandboxes, their commands, and how those ended', async () => {
    const stateDir = await sharedState();
    const first = await startServer({ stateDir });
    const { structured } = await first.call('sandbox_create', { keep: true });
    const sandbox_id = structured['sandbox_id'];
    const detached = await first.call('sandbox_run_command_detached', {
      cmd: 'bash',
      args: ['-c', 'echo one; echo two; exec sleep 1000'],
    });
    const detachedId = detached.structured['command_id'];
    const page = await first.call('command_logs', { command_id: detachedId, wait_ms: 20_000, limit: 1 });
    expect(page.structured['lines']).toEqual([{ stream: 'stdout', data: 'one' }]);
    const waitedFor = await attached(first, 'echo ready; exec sleep 1000');
    await first.close();

    const second = await startServer({ stateDir });
    const ended = await second.call('sandbox_get_command', { command_id: waitedFor });
    expect(ended.structured).toMatchObject({
      status: 'finished',
      ended_by: 'session_end',
      stdout: 'ready\n',
    });
    expect((await second.call('sandbox_get', { sandbox_id })).structured).toMatchObject({
      status: 'running',
      keep: true,
    });
    const rest = await second.call('command_logs', {
      command_id: detachedId,
      cursor: page.structured['next_cursor'],
    });
    expect(rest.structured).toMatchObject({ lines: [{ stream: 'stdout', data: 'two' }], done: false });
    expect((await second.call('command_kill', { command_id: detachedId })).structured).toMatchObject({
      ended_by: 'killed',
    });
    await second.call('sandbox_stop', { sandbox_id, blocking: true });
    await second.close();
  });

  it('finds the other sandboxes stopped, with their logs', async () => {
    const stateDir = await sharedState();
    const first = await startServer({ stateDir });
    const { structured } = await first.call('sandbox_create');
    const run = await first.call('sandbox_run_command', { cmd: 'echo', args: ['done'] });
    await first.close();

    const second = await startServer({ stateDir });
    const { sandbox_id } = structured;
    const got = await second.call('sandbox_get', { sandbox_id });
    expect(got.structured).toMatchObject({ status: 'stopped', status_reason: 'stopped with its session' });
    const command = await second.call('sandbox_get_command', { command_id: run.structured['command_id'] });
    expect(command.structured).toMatchObject({ exit_code: 0, stdout: 'done\n' });
    await second.close();
  });
});
