/** The disk limit of a sandbox, and a full disk. */
import { execFileSync } from 'node:child_process';
import { mkdir, mkdtemp, readdir, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { describe, expect, it, onTestFinished } from 'vitest';
import { needs } from '../../support/needs.ts';
import { runVerb } from '../../support/run-verb.ts';
import { type RunningServer, startServer } from '../../support/server.ts';

const isRoot = process.getuid?.() === 0;

async function write(server: RunningServer, mib: number): Promise<string> {
  const script = `head -c ${mib}M /dev/zero > big; echo written; sleep 1000`;
  const args = { cmd: 'bash', args: ['-c', script] };
  return String((await server.call('sandbox_run_command_detached', args)).structured['command_id']);
}

describe('the disk limit', () => {
  it('stops a sandbox that exceeds it, and says so', async () => {
    const server = await startServer({ args: ['--disk-mb', '64'] });
    onTestFinished(() => server.close());
    await server.call('sandbox_create');
    const commandId = await write(server, 100);
    const aborted = await server.call('sandbox_wait_for_status', { status: 'aborted', timeout_ms: 50_000 });
    expect(aborted.structured).toMatchObject({ status: 'aborted' });
    expect(aborted.structured['status_reason']).toMatch(
      /Its files took \d+ MiB of disk; the limit is 64 MiB/,
    );
    const command = await server.call('sandbox_get_command', { command_id: commandId });
    expect(command.structured).toMatchObject({ status: 'finished', ended_by: 'sandbox_stopped' });
    const refused = await server.call('sandbox_run_command', { cmd: 'true' });
    expect(refused.text).toContain('64');
  });

  it('counts empty files too', async () => {
    const server = await startServer({ args: ['--disk-mb', '64'] });
    onTestFinished(() => server.close());
    await server.call('sandbox_create');
    const script = 'mkdir many && cd many && seq 20000 | xargs touch; sleep 1000';
    await server.call('sandbox_run_command_detached', { cmd: 'bash', args: ['-c', script] });
    const aborted = await server.call('sandbox_wait_for_status', { status: 'aborted', timeout_ms: 50_000 });
    expect(aborted.structured['status_reason']).toContain('the limit is 64 MiB');
  });

  it('leaves a sandbox below it alone, and is shown by session_info', async () => {
    const server = await startServer({ args: ['--disk-mb', '64'] });
    onTestFinished(() => server.close());
    await server.call('sandbox_create');
    await write(server, 30);
    const waited = await server.call('sandbox_wait_for_status', { status: 'aborted', timeout_ms: 2_500 });
    expect(waited.text).toContain('timeout');
    const { structured } = await server.call('session_info');
    expect(structured['engine']).toMatchObject({
      disk_mb: 64,
      not_enforced: expect.arrayContaining([expect.stringContaining('64 MiB')]),
    });
  });
});

/** A state directory on a file system of 96 MiB, which only root can create. */
async function smallDisk(): Promise<string> {
  const disk = await mkdtemp(join(tmpdir(), 'd-'));
  execFileSync('mount', ['-t', 'tmpfs', '-o', 'size=96m,mode=0711', 'none', disk]);
  onTestFinished(async () => {
    execFileSync('umount', ['-l', disk]);
    await rm(disk, { recursive: true });
  });
  return join(disk, 's');
}

describe('a full disk', needs('root, to mount a small disk', isRoot), () => {
  const FILL = { cmd: 'dd', args: ['if=/dev/zero', 'of=/vercel/sandbox/big', 'bs=1M'] };

  it('is reported by every call, and leaves nothing half-done', async () => {
    const server = await startServer({ args: ['--disk-mb', 'off'], stateDir: await smallDisk() });
    onTestFinished(() => server.close());
    await server.call('sandbox_create');
    const filled = await server.call('sandbox_run_command', FILL);
    expect(filled.structured).toMatchObject({ exit_code: 1 });
    expect(filled.structured['stderr']).toContain('No space left on device');
    await mkdir(join(server.cwd, 'tree'));
    await writeFile(join(server.cwd, 'tree/file'), Buffer.alloc(3_000_000, 1));
    const calls = [
      ['sandbox_run_command', { cmd: 'true' }],
      ['sandbox_write_files', { files: [{ path: 'a', content: 'x'.repeat(100_000) }] }],
      ['sandbox_upload_file', { local_path: 'tree', remote_path: 'tree' }],
      ['sandbox_extend_timeout', { duration_ms: 1_000 }],
      ['sandbox_snapshot', {}],
    ] as const;
    for (const [tool, args] of calls) {
      const answer = await server.call(tool, args);
      expect(`${tool}: ${answer.text}`).toContain('Error (limit_exceeded)');
      expect(answer.text).toMatch(/full|No space/);
    }
    expect((await server.call('sandbox_create')).text).toContain('Error (unavailable)');
    expect((await server.call('sandbox_read_file', { path: 'a' })).structured['exists']).toBe(false);
    expect((await server.call('sandbox_get')).structured['status']).toBe('running');

    const shell = await server.call('sandbox_shell', { command: ['sh', '-c', 'rm big; ls -A; echo room'] });
    const { shell_id } = shell.structured;
    const removed = await server.call('shell_send', { shell_id, wait_for: 'room', wait_ms: 20_000 });
    expect(removed.structured['screen']).toBe('room');
    const runs = await server.call('sandbox_run_command', { cmd: 'true' });
    expect(runs.structured).toMatchObject({ exit_code: 0 });
  });

  it('does not prevent stopping a sandbox', async () => {
    const stateDir = await smallDisk();
    const server = await startServer({ args: ['--disk-mb', 'off'], stateDir });
    onTestFinished(() => server.close());
    const { structured } = await server.call('sandbox_create');
    await server.call('sandbox_run_command', FILL);
    const stopped = await server.call('sandbox_stop', { blocking: true });
    expect(stopped.structured).toMatchObject({ status: 'stopped' });
    const left = await readdir(join(stateDir, 'sandboxes', String(structured['sandbox_id'])));
    expect(left.sort()).toEqual(['agent', 'commands', 'record.json']);
    expect((await server.call('sandbox_create')).isError).toBe(false);
  });

  it('does not prevent cleaning up the sandbox of a dead server', async () => {
    const stateDir = await smallDisk();
    const server = await startServer({ args: ['--disk-mb', 'off'], stateDir });
    const { structured } = await server.call('sandbox_create');
    await server.call('sandbox_run_command', FILL);
    process.kill(server.pid, 'SIGKILL');
    await server.close();
    const cleaned = await runVerb(['clean', '--state-dir', stateDir]);
    expect(cleaned.out).toContain(String(structured['sandbox_id']));
    expect(cleaned.code).toBe(0);
    const again = await startServer({ stateDir });
    onTestFinished(() => again.close());
    expect((await again.call('sandbox_create')).isError).toBe(false);
  });
});
