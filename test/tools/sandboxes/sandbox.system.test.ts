import { createServer } from 'node:http';
import { fetch } from 'undici';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { z } from 'zod';
import { failsWith } from '../../support/answers.ts';
import { type RunningServer, startServer } from '../../support/server.ts';

let server: RunningServer;

beforeAll(async () => {
  server = await startServer();
});
afterAll(() => server.close());

async function create(args: Record<string, unknown> = {}): Promise<string> {
  const { structured, isError, text } = await server.call('sandbox_create', args);
  if (isError) throw new Error(text);
  return String(structured['sandbox_id']);
}

describe('the life of a sandbox', () => {
  it('is created, listed, extended, stopped, and still known afterwards', async () => {
    const { structured } = await server.call('sandbox_create', {
      timeout_ms: 120_000,
      resources: { vcpus: 1 },
      env: { COLOUR: 'blue' },
      network_policy: { mode: 'deny-all' },
    });
    expect(structured).toMatchObject({
      status: 'running',
      engine: 'oci',
      cwd: '/vercel/sandbox',
      vcpus: 1,
      memory_mb: 2_048,
      timeout_ms: 120_000,
      ports: [],
      network_policy: { mode: 'deny-all' },
      interactive_port: null,
      source_snapshot_id: null,
      source_path: null,
      region: null,
      workspace: null,
      keep: false,
      next: null,
    });
    const id = structured['sandbox_id'];
    const run = await server.call('sandbox_run_command', { cmd: 'printenv', args: ['COLOUR'] });
    expect(run.structured).toMatchObject({ sandbox_id: id, stdout: 'blue\n' });

    const before = Number(structured['expires_at']);
    const extended = await server.call('sandbox_extend_timeout', { duration_ms: 60_000 });
    // Not to the millisecond: it is told by the clock of the sandbox from then on.
    expect(Number(extended.structured['expires_at'])).toBeGreaterThan(before + 50_000);
    expect(extended.structured['timeout_ms']).toBe(180_000);

    const listed = await server.call('sandbox_list', { limit: 1 });
    expect(listed.structured['sandboxes']).toEqual([
      expect.objectContaining({ sandbox_id: id, status: 'running' }),
    ]);

    const stopped = await server.call('sandbox_stop', { blocking: true });
    expect(stopped.structured).toMatchObject({
      status: 'stopped',
      status_reason: 'stopped by request',
      expires_at: null,
    });
    expect((await server.call('sandbox_stop')).structured).toMatchObject({ status: 'stopped' });
    expect((await server.call('sandbox_get')).structured).toMatchObject({
      sandbox_id: id,
      status: 'stopped',
    });
    const logs = await server.call('command_logs', { command_id: run.structured['command_id'] });
    expect(logs.structured['lines']).toEqual([{ stream: 'stdout', data: 'blue' }]);
    failsWith(await server.call('sandbox_run_command', { cmd: 'true' }), 'conflict', 'sandbox_create');
    failsWith(await server.call('sandbox_extend_timeout', { duration_ms: 1 }), 'conflict');
    failsWith(await server.call('sandbox_domain', { port: 80 }), 'conflict');
  });

  it('ends at its deadline, and says beforehand how to continue', async () => {
    const { structured } = await server.call('sandbox_create', { timeout_ms: 1_000 });
    expect(structured['next']).toContain(`sandbox_extend_timeout sandbox_id=${structured['sandbox_id']}`);
    const ended = await server.call('sandbox_wait_for_status', {
      status: 'stopped',
      timeout_ms: 20_000,
      poll_interval_ms: 50,
    });
    expect(ended.structured).toMatchObject({ status: 'stopped', status_reason: 'its timeout expired' });
  });

  it('makes the sandbox current that sandbox_get returned', async () => {
    const [first, second] = [await create(), await create()];
    expect((await server.call('sandbox_get')).structured['sandbox_id']).toBe(second);
    await server.call('sandbox_get', { sandbox_id: first });
    expect((await server.call('sandbox_run_command', { cmd: 'true' })).structured['sandbox_id']).toBe(first);
    for (const sandbox_id of [first, second])
      await server.call('sandbox_stop', { sandbox_id, blocking: true });
  });
});

describe('sandbox_list', () => {
  it('returns bounded pages, newest first', async () => {
    const ids = [await create(), await create(), await create()];
    const first = await server.call('sandbox_list', { limit: 2 });
    expect(first.structured['sandboxes']).toEqual([
      expect.objectContaining({ sandbox_id: ids[2] }),
      expect.objectContaining({ sandbox_id: ids[1] }),
    ]);
    const second = await server.call('sandbox_list', { limit: 2, cursor: first.structured['next_cursor'] });
    expect(second.structured['sandboxes']).toEqual(
      expect.arrayContaining([expect.objectContaining({ sandbox_id: ids[0] })]),
    );
    const none = await server.call('sandbox_list', { until: '2001-01-01T00:00:00Z' });
    expect(none.structured).toEqual({ sandboxes: [], next_cursor: null });
    for (const sandbox_id of ids) await server.call('sandbox_stop', { sandbox_id, blocking: true });
  });

  it.each<[Record<string, unknown>, string]>([
    [{ limit: 101 }, '`limit` must be at most 100'],
    [{ since: 'yesterday' }, '`since` must be epoch milliseconds or an ISO 8601 time'],
    [{ cursor: 'nonsense' }, 'cursor'],
    [{ sandbox_id: 'x' }, 'Unknown argument "sandbox_id"'],
  ])('rejects %j', async (args, message) => {
    failsWith(await server.call('sandbox_list', args), 'invalid_argument', message);
  });
});

describe('sandbox_create', () => {
  it.each<[Record<string, unknown>, string, string]>([
    [{ ports: [70_000] }, 'invalid_argument', '`ports[0]` must be at most 65535'],
    [{ ports: [80, 80] }, 'invalid_argument', '`ports` must be a list of different ports'],
    [{ timeout_ms: 5 }, 'invalid_argument', '`timeout_ms` must be at least 1000'],
    [{ timeout_ms: 1e12 }, 'limit_exceeded', ''],
    [{ resources: { vcpus: 5_000 } }, 'invalid_argument', 'vcpus'],
    [{ resources: { cpus: 1 } }, 'invalid_argument', 'valid ones: vcpus'],
    [{ env: { '1A': 'x' } }, 'invalid_argument', '`env`'],
    [{ network_policy: { mode: 'allow-all', allow: ['a.com'] } }, 'invalid_argument', 'mode "custom"'],
    [{ network_policy: { mode: 'custom', allow: ['http://a.com'] } }, 'invalid_argument', 'is not a domain'],
    [{ source: { type: 'git', url: 'git@example.com:a.git' } }, 'invalid_argument', 'source.url'],
    [
      { source: { type: 'tarball', snapshot_id: 'x' } },
      'invalid_argument',
      '`source.snapshot_id` is not a field',
    ],
  ])('rejects %j', async (args, code, message) => {
    const before = await server.call('sandbox_list');
    failsWith(await server.call('sandbox_create', args), code, message);
    expect((await server.call('sandbox_list')).structured).toEqual(before.structured);
  });
});

describe('unknown sandboxes', () => {
  it.each(['sandbox_get', 'sandbox_stop', 'sandbox_run_command', 'sandbox_read_file', 'sandbox_domain'])(
    '%s does not find them',
    async (tool) => {
      const more = {
        sandbox_run_command: { cmd: 'true' },
        sandbox_read_file: { path: 'a' },
        sandbox_domain: { port: 80 },
      };
      for (const sandbox_id of ['sbx_222222222222', '../..', '']) {
        const args = { sandbox_id, ...Object.entries(more).find(([name]) => name === tool)?.[1] };
        failsWith(await server.call(tool, args), 'not_found');
      }
    },
  );
});

describe('sandbox_wait_for_status', () => {
  it('does not wait for an unreachable status or forever, and can be cancelled', async () => {
    const sandbox_id = await create();
    failsWith(
      await server.call('sandbox_wait_for_status', { sandbox_id, status: 'pending' }),
      'conflict',
      'is running',
    );
    const late = { sandbox_id, status: 'stopped', timeout_ms: 60, poll_interval_ms: 50 };
    failsWith(await server.call('sandbox_wait_for_status', late), 'timeout', 'stopped within 60 ms');
    failsWith(
      await server.call('sandbox_wait_for_status', { status: 'ready' }),
      'invalid_argument',
      '"running"',
    );

    const controller = new AbortController();
    const call = server.call(
      'sandbox_wait_for_status',
      { sandbox_id, status: 'stopped' },
      { signal: controller.signal },
    );
    controller.abort();
    await expect(call).rejects.toThrow();
    expect((await server.call('sandbox_get', { sandbox_id })).structured).toMatchObject({
      status: 'running',
    });
    await server.call('sandbox_stop', { sandbox_id, blocking: true });
  });
});

describe('sandbox_domain', () => {
  it('returns the URL of a server in the sandbox', async () => {
    await create({ ports: [8_080] });
    const script = "import http.server as h; h.test(h.SimpleHTTPRequestHandler, port=8080, bind='127.0.0.1')";
    await server.call('sandbox_write_files', { files: [{ path: 'page.txt', content: 'from inside' }] });
    const served = await server.call('sandbox_run_command_detached', {
      cmd: 'python3',
      args: ['-u', '-c', script],
    });
    await server.call('command_logs', { command_id: served.structured['command_id'], wait_ms: 20_000 });
    const { structured } = await server.call('sandbox_domain', { port: 8_080 });
    const page = await fetch(new URL('/page.txt', String(structured['url'])));
    expect(await page.text()).toBe('from inside');
    failsWith(await server.call('sandbox_domain', { port: 0 }), 'invalid_argument', '`port`');
    await server.call('sandbox_stop', { blocking: true });
  });

  it('exposes a port that sandbox_create did not name, and no 16th', async () => {
    await create({ ports: Array.from({ length: 14 }, (_, index) => 9_000 + index) });
    const { structured } = await server.call('sandbox_domain', { port: 8_081 });
    expect(structured).toMatchObject({ port: 8_081, url: expect.stringMatching(/^http:/) });
    const { structured: seen } = await server.call('sandbox_get');
    expect(seen['ports']).toContainEqual({ port: 8_081, url: structured['url'] });
    failsWith(await server.call('sandbox_domain', { port: 8_082 }), 'limit_exceeded', '8082');
    await server.call('sandbox_stop', { blocking: true });
  });

  it('reaches the sandbox alone: nothing of this machine answers, outside or inside', async () => {
    const outside = createServer((_request, response) => response.end('host'));
    await new Promise<void>((resolve) => outside.listen(0, '127.0.0.1', resolve));
    const address = outside.address();
    const port = typeof address === 'object' && address !== null ? address.port : 0;
    try {
      await create();
      const exposed = await server.call('sandbox_domain', { port });
      await expect(fetch(String(exposed.structured['url']))).rejects.toThrow('fetch failed');
      const script = `exec 3<>/dev/tcp/127.0.0.1/${port}`;
      const { structured } = await server.call('sandbox_run_command', { cmd: 'bash', args: ['-c', script] });
      expect(structured['exit_code']).not.toBe(0);
    } finally {
      await new Promise((resolve) => outside.close(resolve));
      await server.call('sandbox_stop', { blocking: true });
    }
  });
});

describe('sandbox_extend_timeout', () => {
  it('is limited by the operator’s maximum', async () => {
    await create();
    failsWith(
      await server.call('sandbox_extend_timeout', { duration_ms: 1e12 }),
      'limit_exceeded',
      '86400000',
    );
    failsWith(
      await server.call('sandbox_extend_timeout', { duration_ms: 0 }),
      'invalid_argument',
      '`duration_ms`',
    );
    await server.call('sandbox_stop', { blocking: true });
  });
});

describe('session_info', () => {
  it('shows what exists and what is possible', async () => {
    const sandbox_id = await create();
    const command = await server.call('sandbox_run_command_detached', { cmd: 'sleep', args: ['1000'] });
    const { structured } = await server.call('session_info');
    expect(structured).toMatchObject({
      current_sandbox_id: sandbox_id,
      engine: {
        name: 'oci',
        default_network_policy: { mode: 'allow-all' },
        max_vcpus_per_sandbox: expect.any(Number),
      },
      shells: [],
      limits: { max_lifetime_ms: 86_400_000, max_vcpus: 32 },
      local_folders: [server.cwd],
    });
    const { engine } = z
      .object({
        engine: z.object({
          capabilities: z.array(z.string()),
          runtimes: z.array(z.string()),
          other_runtimes: z.string(),
        }),
      })
      .parse(structured);
    expect(engine.capabilities).toContain('images');
    expect(engine.runtimes).toContain('host');
    expect(engine.runtimes.join()).toContain('node');
    expect(engine.other_runtimes).toContain('node24');
    expect(structured['sandboxes']).toEqual(
      expect.arrayContaining([expect.objectContaining({ sandbox_id, ownership: 'owned' })]),
    );
    expect(structured['commands']).toEqual([
      expect.objectContaining({ command_id: command.structured['command_id'], cmd: 'sleep' }),
    ]);
    failsWith(await server.call('session_info', { verbose: true }), 'invalid_argument', 'valid ones: none');
    await server.call('sandbox_stop', { blocking: true });
  });
});
