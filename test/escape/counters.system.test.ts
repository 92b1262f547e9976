/** Kernel counters that one sandbox exhausts are still available to the next one and to the host. */
import { execFile } from 'node:child_process';
import { readFileSync } from 'node:fs';
import { readFile } from 'node:fs/promises';
import { networkInterfaces } from 'node:os';
import { join } from 'node:path';
import { promisify } from 'node:util';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { openWebServer, type WebServer } from '../../bench/web-server.ts';
import { needs } from '../support/needs.ts';
import { type RunningServer, startServer } from '../support/server.ts';

const SCRIPT = join(import.meta.dirname, 'exhaust.py');
const hasAddress = Object.values(networkInterfaces()).some((list) =>
  list?.some(({ family, internal }) => family === 'IPv4' && !internal),
);
const isRoot = process.getuid?.() === 0;

let web: WebServer | null = null;
let server: RunningServer;
let greedy: string;
let next: string;
let isolation: string;
let notEnforced: string;

beforeAll(async () => {
  if (hasAddress) web = await openWebServer();
  server = await startServer({
    args: [...(web?.flags ?? []), '--oci-runtime', process.env['COUNTERS_RUNTIME'] ?? 'auto'],
  });
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
  notEnforced = String(Object(structured['engine']).not_enforced);
});
afterAll(async () => {
  await server.close();
  await web?.close();
});

/**
 * Exhausts `kind` in the first sandbox; returns how many there were, and holds them while `work` runs.
 */
async function whileExhausted(
  kind: string,
  work: () => Promise<void>,
  more: { sudo?: boolean } = {},
): Promise<number> {
  const started = await server.call('sandbox_run_command_detached', {
    sandbox_id: greedy,
    cmd: 'python3',
    args: ['exhaust.py', kind],
    ...more,
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

/** What a user of the host may have; a user of a sandbox half of it. */
const hostLimit = (name: string) => Number(readFileSync(`/proc/sys/user/${name}`, 'utf8'));

// The owner of the user namespace is not the ordinary user: see SECURITY.md.
describe('a sandbox that exhausts', needs('root, whose sandboxes have separate ids', isRoot), () => {
  it.for<[kind: string, wanted: number, fewerThan: number]>([
    ['inotify', 10, hostLimit('max_inotify_instances') / 2 + 1],
    ['signals', 1_000, 20_000],
    ['terminals', 20, 300],
    ['message_queues', 2, 1_000],
    ['locked_memory', 4, 65],
    ['shared_memory', 20, 100_001],
    ['semaphores', 20, 100_001],
    ['pipes', 20, 50_001],
    ['file_locks', 20, 30_001],
  ])('%s does not affect the next one and the host', async ([kind, wanted, fewerThan]) => {
    const got = await whileExhausted(kind, async () => {
      const args = ['exhaust.py', kind, String(wanted)];
      const inNext = await server.call('sandbox_run_command', { sandbox_id: next, cmd: 'python3', args });
      // runc 1.1 cannot give sandboxes owners of their own: they share these limits, the host has its own.
      if (!isolation.startsWith('runc') || !['signals', 'message_queues'].includes(kind))
        expect(inNext.structured['stdout'], inNext.text).toBe(`${wanted}\n`);
      const onHost = await promisify(execFile)('python3', [SCRIPT, kind, String(wanted)]);
      expect(onHost).toEqual({ stdout: `${wanted}\n`, stderr: '' });
      if (kind === 'pipes') {
        const request = { sandbox_id: next, cmd: 'python3', args: ['exhaust.py', 'whole_pipes', '20'] };
        const whole = await server.call('sandbox_run_command', request);
        expect(whole.structured['stdout'], whole.text).toBe('20\n');
      }
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

  it(
    'descriptors in flight, as root inside, leaves the next one its network',
    needs('an IPv4 address except loopback', hasAddress),
    async () => {
      const got = await whileExhausted(
        'descriptors_in_flight',
        async () => {
          const script = `import socket; print(socket.create_connection(("${web?.address}", ${web?.greeterPort})).recv(1))`;
          const request = { sandbox_id: next, cmd: 'python3', args: ['-c', script] };
          expect((await server.call('sandbox_run_command', request)).structured['stdout']).toBe("b'x'\n");
          // Counted by the id on the host alone, which no other sandbox has.
          const args = ['exhaust.py', 'descriptors_in_flight', '10'];
          const own = { sandbox_id: next, cmd: 'python3', args, sudo: true };
          expect((await server.call('sandbox_run_command', own)).structured['stdout']).toBe('10\n');
        },
        { sudo: true },
      );
      expect(got).toBeGreaterThan(10);
      expect(got).toBeLessThan(2_000);
    },
  );

  it(
    'epoll watches, which are counted by user, leaves those of the host and the next one unaffected',
    needs('EPOLL_WATCHES=all, half a minute and 2 GB', process.env['EPOLL_WATCHES'] === 'all'),
    async () => {
      const got = await whileExhausted('epoll_watches', async () => {
        const script = [SCRIPT, 'epoll_watches', '10'];
        expect((await promisify(execFile)('python3', script)).stdout).toBe('10\n');
        const args = ['exhaust.py', 'epoll_watches', '10'];
        const request = { sandbox_id: next, cmd: 'python3', args };
        for (const sudo of [true, false]) {
          const inNext = await server.call('sandbox_run_command', { ...request, sudo });
          expect(inNext.structured['stdout'], inNext.text).toBe('10\n');
        }
        const read = await server.call('sandbox_read_file', { sandbox_id: next, path: 'exhaust.py' });
        expect(read.isError, read.text).toBe(false);
      });
      const limit = Number(readFileSync('/proc/sys/fs/epoll/max_user_watches', 'utf8'));
      expect(got).toBeGreaterThan(0.9 * limit);
      expect(got).toBeLessThanOrEqual(limit);
    },
  );

  it('cannot raise its limits', async () => {
    const raise = 'cd /proc/sys/user; cat max_inotify_instances; echo 100000 > max_inotify_instances; id -u';
    const request = { sandbox_id: next, cmd: 'sh', args: ['-c', raise], sudo: true };
    const { structured } = await server.call('sandbox_run_command', request);
    expect(structured['stdout']).toBe(`${Math.floor(hostLimit('max_inotify_instances') / 2)}\n0\n`);
    expect(structured['stderr']).toMatch(/Read-only file system|Permission denied/);
  });

  it('has the limits of the kernel by user, and session_info does not say otherwise', () => {
    expect(notEnforced).not.toContain('inotify');
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

it('root inside owns no device of the host, and cannot change its mode', async () => {
  const devices = 'cd /dev; stat -c %u null zero full random urandom tty | sort -u; chmod 0666 null; echo $?';
  const request = { sandbox_id: next, cmd: 'sh', args: ['-c', devices], sudo: true };
  const { structured } = await server.call('sandbox_run_command', request);
  expect(structured['stdout']).toBe('65534\n1\n');
  expect(structured['stderr']).toContain('Operation not permitted');
});
