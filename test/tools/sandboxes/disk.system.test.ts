/** The disk limit of a sandbox, and a full disk. */
import { execFileSync } from 'node:child_process';
import { existsSync } from 'node:fs';
import { mkdir, mkdtemp, readdir, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, beforeAll, describe, expect, it, onTestFinished } from 'vitest';
import { needs } from '../../support/needs.ts';
import { runVerb } from '../../support/run-verb.ts';
import { type RunningServer, startServer } from '../../support/server.ts';

const isRoot = process.getuid?.() === 0;

/** With version 1, another sentence says what does not count as memory. */
const hasCgroups2 = existsSync('/sys/fs/cgroup/cgroup.controllers');

/** `DISK_LIMIT_MB=200` tries another limit. */
const LIMIT_MB = Number(process.env['DISK_LIMIT_MB'] ?? 64);
const BYTES = Math.ceil(1.6 * LIMIT_MB) * 1_048_576;
/** Each counts as at least 4 KiB. */
const FILES = Math.ceil((1.2 * LIMIT_MB * 1_048_576) / 4_096);
/** What is kept of the output of one command. */
const LOG_MB = 32;
/** A file that has neither a name nor a descriptor any more. */
const MAPPED = `import ctypes, os, time
size = ${BYTES}
fd = os.open('mapped', os.O_RDWR | os.O_CREAT)
os.ftruncate(fd, size)
mmap = ctypes.CDLL(None).mmap
mmap.restype = ctypes.c_void_p
mmap.argtypes = [ctypes.c_void_p, ctypes.c_size_t] + 3 * [ctypes.c_int] + [ctypes.c_long]
memory = mmap(None, size, 3, 1, fd, 0)
os.unlink('mapped')
os.close(fd)
ctypes.memset(memory, 1, size)
time.sleep(1000)`;
const shell = (script: string): string[] => ['bash', '-c', `${script}; sleep 1000`];

type Way = readonly [name: string, ...programs: string[][]];
/** Only root may see the mappings of other users' programs. */
const ONLY_MAPPED: Way = ['a deleted file that is mapped', ['python3', '-c', MAPPED]];
const LOG = shell(`head -c ${BYTES} /dev/zero | tr '\\0' x`);

/** Ways to take more than the limit: a program each, or several at once. */
const WAYS: readonly Way[] = [
  ['a file', shell(`head -c ${BYTES} /dev/zero > big`)],
  ['a file in /tmp', shell(`head -c ${BYTES} /dev/zero > /tmp/big`)],
  ['a sparse file that is written later', shell(`truncate -s 1T s; head -c ${BYTES} /dev/zero 1<> s`)],
  ['a deleted file that is open', shell(`exec 3> open; rm open; head -c ${BYTES} /dev/zero >&3`)],
  ...(isRoot ? [ONLY_MAPPED] : []),
  ['empty files', shell(`mkdir many && cd many && seq ${FILES} | xargs touch`)],
  ['logs', ...Array.from({ length: Math.floor(LIMIT_MB / LOG_MB) + 1 }, () => LOG)],
];

describe('the disk limit', () => {
  let server: RunningServer;
  /** By way. */
  const sandboxes = new Map<string, string>();

  beforeAll(async () => {
    server = await startServer({ args: ['--disk-mb', String(LIMIT_MB)] });
    const create = async (): Promise<string> => {
      const { structured } = await server.call('sandbox_create', { resources: { vcpus: 1 } });
      return String(structured['sandbox_id']);
    };
    // All at once: each waits for the next check.
    await Promise.all(
      WAYS.map(async ([name, ...programs]) => {
        const sandbox_id = await create();
        sandboxes.set(name, sandbox_id);
        for (const [cmd, ...args] of programs)
          await server.call('sandbox_run_command_detached', { sandbox_id, cmd, args });
      }),
    );
  });

  afterAll(() => server.close());

  it.each(WAYS.map(([name]) => name))(
    'stops a sandbox that exceeds it with %s, and says so',
    async (name) => {
      const sandbox_id = sandboxes.get(name);
      const request = { sandbox_id, status: 'aborted', timeout_ms: 50_000 };
      const aborted = await server.call('sandbox_wait_for_status', request);
      expect(aborted.structured).toMatchObject({ status: 'aborted' });
      expect(aborted.structured['status_reason']).toMatch(
        new RegExp(`Its files took \\d+ MiB of disk; the limit is ${LIMIT_MB} MiB`),
      );
      const refused = await server.call('sandbox_run_command', { sandbox_id, cmd: 'true' });
      expect(refused.text).toContain(String(LIMIT_MB));
    },
  );

  it('leaves a sandbox below it alone, and is shown by session_info', async () => {
    const { structured: created } = await server.call('sandbox_create', { resources: { vcpus: 1 } });
    const { sandbox_id } = created;
    const args = shell('head -c 30M /dev/zero > big').slice(1);
    await server.call('sandbox_run_command_detached', { sandbox_id, cmd: 'bash', args });
    const request = { sandbox_id, status: 'aborted', timeout_ms: 2_500 };
    expect((await server.call('sandbox_wait_for_status', request)).text).toContain('timeout');
    const { structured } = await server.call('session_info');
    expect(structured['engine']).toMatchObject({
      disk_mb: LIMIT_MB,
      not_enforced: expect.arrayContaining([
        expect.stringMatching(new RegExp(`checked every second.*${LIMIT_MB} MiB.*[Dd]eleted files`)),
        ...(isRoot && !hasCgroups2
          ? [expect.stringContaining('Buffers of TCP connections do not count')]
          : []),
      ]),
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
    expect((await server.call('sandbox_create')).text).toMatch(/^Error \(unavailable\): .*disk is full/);
    expect((await server.call('sandbox_read_file', { path: 'a' })).structured['exists']).toBe(false);
    expect((await server.call('sandbox_get')).structured['status']).toBe('running');

    const shell = await server.call('sandbox_shell', { command: ['sh', '-c', 'rm big; ls -A; echo room'] });
    const { shell_id } = shell.structured;
    const removed = await server.call('shell_send', { shell_id, wait_for: 'room', wait_ms: 20_000 });
    expect(removed.structured['screen']).toBe('room');
    const runs = await server.call('sandbox_run_command', { cmd: 'true' });
    expect(runs.structured).toMatchObject({ exit_code: 0 });
  });

  it('that fills while the runtimes are tried is not taken for a lack of runtimes', async () => {
    const folder = await mkdtemp(join(tmpdir(), 'd-'));
    onTestFinished(() => rm(folder, { recursive: true }));
    const runtime = join(folder, 'crun');
    const fails = 'echo "open executable: No space left on device" >&2; exit 1';
    await writeFile(runtime, `#!/bin/sh\n[ "$1" = --version ] && exit\n${fails}\n`, { mode: 0o755 });
    const server = await startServer({ args: ['--oci-runtime', runtime] });
    onTestFinished(() => server.close());
    expect((await server.call('sandbox_create')).text).toMatch(
      /^Error \(limit_exceeded\): The disk .* is full/,
    );
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
