import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { type RunningServer, startServer } from '../../support/server.ts';

let server: RunningServer;

beforeAll(async () => {
  server = await startServer();
  await server.call('sandbox_create');
});
afterAll(() => server.close());

async function bash(script: string, more: Record<string, unknown> = {}) {
  return server.call('sandbox_run_command', { cmd: 'bash', args: ['-c', script], ...more });
}

/** Starts a script and returns its command id. */
async function start(script: string): Promise<string> {
  const started = await server.call('sandbox_run_command_detached', { cmd: 'bash', args: ['-c', script] });
  expect(started.structured).toMatchObject({
    status: 'running',
    exit_code: null,
    next: expect.stringContaining('command_wait'),
  });
  return String(started.structured['command_id']);
}

describe('sandbox_run_command', () => {
  it('returns the exit code and both streams, as data and as text', async () => {
    const { structured, text, isError } = await bash('echo out; echo err >&2; exit 3');
    expect(isError).toBe(false);
    expect(structured).toMatchObject({
      status: 'finished',
      exit_code: 3,
      signal: null,
      ended_by: 'exit',
      stdout: 'out\n',
      stderr: 'err\n',
      stdout_bytes: 4,
      stderr_bytes: 4,
      truncated: false,
      next: null,
      cwd: '/vercel/sandbox',
    });
    expect(text).toMatch(/^exit_code 3[\s\S]*\nout\n[\s\S]*\nerr$/);
  });

  it('accepts a directory, variables and root', async () => {
    const { structured } = await bash('pwd; echo $GREETING; id -u', {
      cwd: '/usr',
      env: { GREETING: 'hi' },
      sudo: true,
    });
    expect(structured).toMatchObject({ stdout: '/usr\nhi\n0\n', cwd: '/usr' });
  });

  it('returns 127 for a missing program, and explains how to run a shell line', async () => {
    const missing = await server.call('sandbox_run_command', { cmd: 'no-such-program' });
    expect(missing).toMatchObject({ isError: false, structured: { exit_code: 127, next: null } });
    const line = await server.call('sandbox_run_command', { cmd: 'echo a && echo b' });
    expect(line.structured).toMatchObject({
      exit_code: 127,
      next: expect.stringContaining('cmd: "bash", args: ["-c", "echo a && echo b"]'),
    });
  });

  it('names what is too large, and the alternative', async () => {
    const args = Array.from({ length: 9 }, () => 'x'.repeat(120_000));
    const answer = await server.call('sandbox_run_command', { cmd: 'true', args });
    expect(answer.text).toContain('`cmd`, `args` and `env` take at most 1 MiB in all; put more into a file');
    expect(answer.text).not.toContain('`arguments`');
    const env = Object.fromEntries(args.map((value, index) => [`N${index}`, value]));
    expect((await server.call('sandbox_create', { env })).text).toContain('`env` takes at most 1 MiB in all');
  });

  it('answers early for a long command, which is then waited for and never run twice', async () => {
    const script = 'echo begun >> runs; cat runs; until [ -e go ]; do sleep 0.02; done; echo over';
    const handed = await bash(script, { wait_ms: 0 });
    expect(handed.structured).toMatchObject({ status: 'running', exit_code: null, ended_by: null });
    const id = handed.structured['command_id'];
    expect(handed.structured['next']).toContain(`command_wait command_id=${id}`);
    await bash('touch go');
    const done = await server.call('command_wait', { command_id: id });
    await bash('rm go runs');
    expect(done.structured).toMatchObject({ status: 'finished', exit_code: 0, stdout: 'begun\nover\n' });
  });

  it('kills at timeout_ms', async () => {
    const { structured } = await bash('sleep 1000', { timeout_ms: 200 });
    expect(structured).toMatchObject({ ended_by: 'timeout', signal: 'SIGTERM', exit_code: 143 });
  });

  it('shows the newest lines while waiting', async () => {
    const lines: string[] = [];
    await server.call(
      'sandbox_run_command',
      { cmd: 'bash', args: ['-c', 'for i in $(seq 5); do echo step $i; sleep 0.1; done'] },
      { onprogress: ({ message }) => lines.push(message ?? '') },
    );
    expect(lines.length).toBeGreaterThan(0);
    for (const line of lines) expect(line).toMatch(/^step \d$/);
  });

  it('kills the command and its descendants when the call is cancelled', async () => {
    const controller = new AbortController();
    const ready = new Promise<void>((resolve) => {
      const script = 'setsid sleep 1000 & echo ready; wait';
      const call = server.call(
        'sandbox_run_command',
        { cmd: 'bash', args: ['-c', script] },
        { signal: controller.signal, onprogress: () => resolve() },
      );
      call.catch(() => {});
    });
    await ready;
    const { structured } = await server.call('session_info');
    const running = JSON.stringify(structured['commands']);
    const id = /"command_id":"([^"]+)"/.exec(running)?.[1];
    controller.abort();
    const ended = await server.call('command_wait', { command_id: id });
    expect(ended.structured).toMatchObject({ ended_by: 'cancelled', signal: 'SIGKILL', exit_code: 137 });
    expect((await bash('pgrep -c "^sleep$" || true')).structured['stdout']).toBe('0\n');
  });

  it.each<[string, Record<string, unknown>, string]>([
    ['no program', {}, '`cmd` is required'],
    ['an empty cmd', { cmd: ' ' }, '`cmd` must be the name or path of a program'],
    ['a NUL', { cmd: 'echo', args: ['a\0b'] }, '`args[0]` must be text without NUL'],
    ['a long wait', { cmd: 'true', wait_ms: 60_000 }, '`wait_ms` must be at most 55000, not 60000'],
    ['a bad variable', { cmd: 'true', env: { 'A=B': 'x' } }, '`env` must be an object whose names are'],
    [
      'only the name of an invalid variable',
      { cmd: 'true', env: { A: '1', 'B=hidden': 'x' } },
      'digit; not "B=…".',
    ],
    ['an unknown argument', { cmd: 'true', timeout: 5 }, 'Unknown argument "timeout"'],
    ['a missing directory', { cmd: 'true', cwd: '/no/such/place' }, '/no/such/place'],
    [
      'ten megabytes',
      { cmd: 'true', args: Array.from({ length: 100 }, () => 'x'.repeat(100_000)) },
      'at most 1 MiB',
    ],
    [
      'one huge argument',
      { cmd: 'true', args: ['x'.repeat(140_000)] },
      '`args[0]` must be at most 131071 bytes',
    ],
  ])('refuses %s', async (_name, args, message) => {
    const { isError, text, structured } = await server.call('sandbox_run_command', args);
    expect(isError).toBe(true);
    expect(structured).toEqual({});
    expect(text).toMatch(/^Error \((invalid_argument|not_found)\)/);
    expect(text).toContain(message);
    expect(text.length).toBeLessThan(1_500);
  });
});

describe('a command by its id', () => {
  it('is returned with its output', async () => {
    const id = await start('echo hello; exit 4');
    await server.call('command_wait', { command_id: id });
    const { structured } = await server.call('sandbox_get_command', { command_id: id });
    expect(structured).toMatchObject({ command_id: id, exit_code: 4, stdout: 'hello\n' });
    const unknown = await server.call('sandbox_get_command', {
      command_id: id,
      sandbox_id: 'sbx_222222222222',
    });
    expect(unknown).toMatchObject({ isError: true, text: expect.stringContaining('not_found') });
  });

  it.each(['sandbox_get_command', 'command_logs', 'command_wait', 'command_output', 'command_kill'])(
    '%s rejects an unknown one',
    async (tool) => {
      for (const id of ['cmd_222222222222_22222222', '../../etc/passwd', '']) {
        const { isError, text } = await server.call(tool, { command_id: id });
        expect(isError).toBe(true);
        expect(text).toMatch(/^Error \(not_found\)/);
      }
    },
  );

  it('lets a wait be cancelled without harm', async () => {
    const id = await start('sleep 1000');
    for (const [tool, more] of [
      ['command_wait', {}],
      ['command_logs', { wait_ms: 50_000 }],
    ] as const) {
      const controller = new AbortController();
      const call = server.call(tool, { command_id: id, ...more }, { signal: controller.signal });
      controller.abort();
      await expect(call).rejects.toThrow();
    }
    const { structured } = await server.call('sandbox_get_command', { command_id: id });
    expect(structured).toMatchObject({ status: 'running' });
    await server.call('command_kill', { command_id: id, signal: 'kill' });
  });
});

describe('command_logs', () => {
  it('follows a command to its end', async () => {
    const id = await start('for i in 1 2 3; do echo line $i; sleep 0.05; done; echo problem >&2');
    const lines: unknown[] = [];
    let cursor: unknown;
    for (let done: unknown = false; done !== true; ) {
      const { structured } = await server.call('command_logs', {
        command_id: id,
        wait_ms: 20_000,
        ...(cursor === undefined ? {} : { cursor }),
      });
      if (Array.isArray(structured['lines'])) lines.push(...structured['lines']);
      cursor = structured['next_cursor'];
      done = structured['done'];
    }
    expect(lines).toEqual([
      { stream: 'stdout', data: 'line 1' },
      { stream: 'stdout', data: 'line 2' },
      { stream: 'stdout', data: 'line 3' },
      { stream: 'stderr', data: 'problem' },
    ]);
  });

  it('filters with grep', async () => {
    const id = await start('seq 1 5000');
    await server.call('command_wait', { command_id: id });
    const { structured, text } = await server.call('command_logs', {
      command_id: id,
      grep: '^4321$',
      context: 1,
    });
    expect(structured['lines']).toEqual(['4320', '4321', '4322'].map((data) => ({ stream: 'stdout', data })));
    expect(text).toContain('stdout | 4321');
  });

  it.each<[Record<string, unknown>, string]>([
    [{ grep: '(' }, '`grep`'],
    [{ cursor: 'nonsense' }, '`cursor`'],
    [{ limit: 0 }, '`limit`'],
    [{ stream: 'stdin' }, '`stream`'],
  ])('refuses %j', async (args, message) => {
    const id = await start('true');
    const { isError, text } = await server.call('command_logs', { command_id: id, ...args });
    expect(isError).toBe(true);
    expect(text).toContain('invalid_argument');
    expect(text).toContain(message);
  });
});

describe('command_output', () => {
  it('pages through more than fits into one result', async () => {
    const run = await bash('seq 1 20000');
    expect(run.structured).toMatchObject({
      truncated: true,
      next: expect.stringContaining('command_output'),
    });
    const id = run.structured['command_id'];
    let read = '';
    for (let offset: unknown = 0; offset !== null; ) {
      const { structured } = await server.call('command_output', { command_id: id, offset, limit: 65_536 });
      read += String(structured['content']);
      offset = structured['next_offset'];
    }
    expect(read).toBe(Array.from({ length: 20_000 }, (_, index) => `${index + 1}\n`).join(''));
  });

  it('returns bytes that are not text as base64', async () => {
    const run = await bash("printf '\\000\\377\\001'");
    expect(run.structured['stdout']).toContain('3 bytes of binary data');
    const { structured } = await server.call('command_output', {
      command_id: run.structured['command_id'],
      encoding: 'base64',
    });
    expect(structured).toMatchObject({ content: 'AP8B', next_offset: null, total_bytes: 3 });
  });
});

describe('command_kill', () => {
  it('accepts every name of a signal', async () => {
    for (const [signal, name] of [
      ['term', 'SIGTERM'],
      ['9', 'SIGKILL'],
      ['SIGINT', 'SIGINT'],
      ['40', 'SIG40'],
    ]) {
      const id = await start('exec sleep 1000');
      const { structured } = await server.call('command_kill', { command_id: id, signal });
      expect(structured).toMatchObject({ status: 'finished', signal: name, ended_by: 'killed', next: null });
    }
  });

  it('accepts a finished command, and rejects an invalid signal', async () => {
    const id = await start('exit 5');
    await server.call('command_wait', { command_id: id });
    expect((await server.call('command_kill', { command_id: id })).structured).toMatchObject({
      exit_code: 5,
      ended_by: 'exit',
    });
    const bad = await server.call('command_kill', { command_id: id, signal: 'SIGNOPE' });
    expect(bad).toMatchObject({ isError: true, text: expect.stringContaining('SIGTERM, SIGKILL') });
  });
});
