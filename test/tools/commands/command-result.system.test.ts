import type { JSONRPCMessage } from '@modelcontextprotocol/sdk/types.js';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { ALLOW_FIXTURES, createWithFixtures } from '../../support/fixtures.ts';
import { type Answer, type RunningServer, startServer } from '../../support/server.ts';

let server: RunningServer;
beforeAll(async () => {
  server = await startServer({ args: ALLOW_FIXTURES, env: { TZ: 'Asia/Tokyo' } });
  await createWithFixtures(server);
});
afterAll(() => server.close());

async function run(cmd: string, ...args: string[]): Promise<Answer> {
  return server.call('sandbox_run_command', { cmd, args });
}

describe('the output of a command', () => {
  it('shows a progress bar in its final state', async () => {
    const { structured, text } = await run('./progress-bar.sh');
    expect(structured['stdout']).toBe('[100%] installing\ndone\n');
    expect(text).not.toContain('\u001b');
    const { command_id } = structured;
    const logs = await server.call('command_logs', { command_id });
    expect(logs.structured['lines']).toEqual(
      ['[100%] installing', 'done'].map((data) => ({ stream: 'stdout', data })),
    );
    const page = await server.call('command_output', { command_id });
    expect(page.structured['content']).toBe('[100%] installing\ndone\n');
    const exact = await server.call('command_output', { command_id, encoding: 'base64' });
    const bytes = Buffer.from(String(exact.structured['content']), 'base64').toString();
    expect(bytes).toContain('\r\u001b[2K\u001b[32m[ 55%]\u001b[0m');
  });

  it('is reported as binary in every result, with the call that reads it', async () => {
    const { structured } = await run('head', '-c', '5000', '/proc/self/exe');
    const expected = /^\[5,000 bytes of binary data; read with command_output .* encoding=base64\]$/;
    expect(structured['stdout']).toMatch(expected);
    const { command_id } = structured;
    const page = await server.call('command_output', { command_id });
    expect(page.structured['content']).toMatch(expected);
    const logs = await server.call('command_logs', { command_id });
    expect(logs.text).toMatch(/\[[\d,]+ bytes of binary data\]/);
  });

  it('has the time zone of the server', async () => {
    expect((await run('sh', '-c', 'echo $TZ')).structured['stdout']).toBe('Asia/Tokyo\n');
  });

  it('keeps its readable part when single bytes are not text, and says so', async () => {
    const { structured } = await run('printf', 'caf\\351 in a line of Latin-1 that is long enough\\n');
    expect(structured['stdout']).toMatch(/^caf\uFFFD in a line[^\n]*\n\[some bytes are not UTF-8.*base64\]$/);
    const { command_id } = structured;
    const page = await server.call('command_output', { command_id });
    expect(page.structured).toMatchObject({
      content: 'caf\uFFFD in a line of Latin-1 that is long enough\n',
      note: expect.stringContaining('not UTF-8'),
    });
    const logs = await server.call('command_logs', { command_id, grep: '^caf\uFFFD in' });
    expect(logs.structured).toMatchObject({
      lines: [{ stream: 'stdout', data: 'caf\uFFFD in a line of Latin-1 that is long enough' }],
      note: expect.stringContaining('not UTF-8'),
      unsearched_bytes: 0,
    });
  });

  it('is head and tail around a line that counts the missing bytes and names the call that reads them', async () => {
    const { structured } = await run('seq', '1', '30000');
    const text = String(structured['stdout']);
    const gap = /\[… ([\d,]+) bytes \(([\d,]+) lines\) left out; read with command_output (.*) …\]\n/.exec(
      text,
    );
    const [head = '', tail = ''] = text.split(gap?.[0] ?? '');
    expect(Buffer.byteLength(text)).toBeLessThan(33_500);
    const named = [...String(gap?.[3]).matchAll(/(\w+)=(\S+)/g)];
    const request = Object.fromEntries(
      named.map(([, name, value]) => [name, name === 'offset' ? Number(value) : value]),
    );
    let missing = '';
    const bytes = Number(gap?.[1]?.replaceAll(',', ''));
    for (let { offset } = request; missing.length < bytes; ) {
      const limit = Math.min(65_536, bytes - missing.length);
      const page = await server.call('command_output', { ...request, offset, limit });
      missing += String(page.structured['content']);
      offset = page.structured['next_offset'];
    }
    const whole = Array.from({ length: 30_000 }, (_, index) => `${index + 1}\n`).join('');
    expect(head + missing + tail).toBe(whole);
    expect(missing.split('\n').length - 1).toBe(Number(gap?.[2]?.replaceAll(',', '')));
  });

  it('keeps its stream tag line by line', async () => {
    const { structured } = await run('python3', 'take-turns.py', '3');
    expect(structured).toMatchObject({ exit_code: 0, stderr: 'err 1\nerr 2\nerr 3\n' });
    const logs = await server.call('command_logs', { command_id: structured['command_id'] });
    expect(logs.structured['lines']).toEqual(
      [1, 2, 3].flatMap((i) => [
        { stream: 'stdout', data: `out ${i}` },
        { stream: 'stderr', data: `err ${i}` },
      ]),
    );
  });
});

describe('a command still running after wait_ms', () => {
  it('returns its output so far and the call to continue with, which returns its end', async () => {
    const script = 'echo begun; until [ -e go ]; do sleep 0.05; done; rm go; echo over; exit 3';
    const request = { cmd: 'bash', args: ['-c', script], wait_ms: 500 };
    let handed = await server.call('sandbox_run_command', request);
    const { command_id } = handed.structured;
    // The start may take longer on a busy machine.
    while (handed.structured['stdout'] === '') {
      handed = await server.call('command_wait', { command_id, wait_ms: 500 });
    }
    expect(handed.structured).toMatchObject({ status: 'running', stdout: 'begun\n', exit_code: null });
    expect(handed.structured['next']).toContain(`command_wait command_id=${command_id}`);
    const waited = server.call('command_wait', { command_id });
    await run('touch', 'go');
    expect((await waited).structured).toMatchObject({
      command_id,
      status: 'finished',
      exit_code: 3,
      stdout: 'begun\nover\n',
    });
  });
});

describe('the next step after a command has ended', () => {
  const next = async (cmd: string, args: string[] = [], more = {}): Promise<unknown> =>
    (await server.call('sandbox_run_command', { cmd, args, ...more })).structured['next'];

  it('names the likely cause of a bus error, and why a process cannot be traced', async () => {
    expect(await next('bash', ['-c', 'kill -BUS $$'])).toContain('df -h /dev/shm');
    const attach = 'import ctypes, os; l = ctypes.CDLL(None, use_errno=True); l.ptrace(0x4206, 1, 0, 0)';
    const report = 'exit("ptrace: " + os.strerror(ctypes.get_errno()))';
    expect(await next('python3', ['-c', `${attach}; ${report}`])).toContain('does not allow tracing');
  });

  it('suggests the argument when sudo is missing or has no effect', async () => {
    const expected =
      'sudo does not work inside the sandbox: leave it out, and pass sudo: true to sandbox_run_command';
    expect(await next('sudo', ['true'])).toBe(expected);
    expect(await next('bash', ['-c', 'sudo apt-get update; exit 1'])).toBe(expected);
    const refused = 'sudo: The "no new privileges" flag is set, which prevents sudo from running as root.';
    expect(await next('bash', ['-c', `echo '${refused}' >&2; exit 1`])).toBe(expected);
    expect(await next('bash', ['-c', 'echo "read about sudo: it asks" >&2; exit 1'])).toBeNull();
    expect(await next('bash', ['-c', 'sudo true || echo went on'])).toBeNull();
    const long = 'sudo true; seq 30000; exit 1';
    expect(await next('bash', ['-c', long])).toMatch(
      /sandbox_run_command\. command_output command_id=cmd_\w+, or /,
    );
  });

  it('explains why an interpreter exited at once, and names the tool for typing', async () => {
    for (const cmd of ['bash', '/bin/sh', 'python3', 'node']) {
      const expected = String(await next(cmd));
      expect(expected).toContain(`use sandbox_shell command=["${cmd}"] to type`);
      // The suggested call works as given.
      const command: unknown = JSON.parse(/command=(.*) to type/.exec(expected)?.[1] ?? '');
      const shell = await server.call('sandbox_shell', { command });
      expect(shell.isError, shell.text).toBe(false);
      await server.call('shell_close', { shell_id: shell.structured['shell_id'] });
    }
    expect(await next('true')).toBeNull();
    expect(await next('bash', ['-c', 'true'])).toBeNull();
  });

  it('names the timeout that ended it', async () => {
    expect(await next('sleep', ['60'], { timeout_ms: 100 })).toBe(
      'Killed at its timeout_ms: increase it, or leave it out',
    );
  });
});

describe('a program that prompts', () => {
  it('reads the end of its input, and the descriptions name the tool for typing', async () => {
    const { structured } = await run('./ask.sh');
    expect(structured).toMatchObject({ exit_code: 0, stdout: 'Continue? [y/N] end of input\n' });
    const { tools } = await server.client.listTools();
    const described = tools.find(({ name }) => name === 'sandbox_run_command')?.description;
    expect(described).toMatch(/prompts: sandbox_shell/);
  });
});

/**
 * Everything received from now on, in order, which the client does not keep between notifications and
 * results.
 */
function record({ client: { transport } }: RunningServer): JSONRPCMessage[] {
  const received: JSONRPCMessage[] = [];
  const handle = transport?.onmessage;
  if (transport === undefined || handle === undefined) throw new Error('the client is not connected');
  transport.onmessage = (message, extra) => {
    received.push(message);
    handle(message, extra);
  };
  return received;
}

describe('progress', () => {
  const talk = { cmd: 'bash', args: ['-c', 'for i in $(seq 200); do echo line $i; sleep 0.01; done'] };

  it('consists of real lines, a few per second, the last one before the result', async () => {
    const received = record(server);
    const begun = performance.now();
    const { structured } = await server.call('sandbox_run_command', talk, { onprogress: () => {} });
    const seconds = (performance.now() - begun) / 1_000;
    await server.call('session_info');
    const kinds = received.map((message) => ('method' in message ? message.method : 'answer'));
    expect(kinds.indexOf('answer')).toBe(kinds.length - 2);
    const shown = received.flatMap((message) => ('params' in message ? [Object(message.params)] : []));
    const written = String(structured['stdout']).split('\n');
    for (const { message } of shown) expect(written).toContain(message);
    expect(shown.at(-1)?.message).toBe('line 200');
    expect(shown.map(({ progress }) => progress)).toEqual(shown.map((_, index) => index + 1));
    expect(shown.length).toBeGreaterThan(1);
    expect(shown.length).toBeLessThanOrEqual(seconds * 4 + 2);
  });

  it('shows a line whole that arrived in pieces', async () => {
    const seen: (string | undefined)[] = [];
    const script = 'printf "step é"; sleep 0.4; printf "1 of"; sleep 0.4; echo " 3"; sleep 0.4; echo';
    await server.call(
      'sandbox_run_command',
      { cmd: 'bash', args: ['-c', script] },
      { onprogress: ({ message }) => seen.push(message) },
    );
    for (const line of seen) expect(['step é', 'step é1 of', 'step é1 of 3']).toContain(line);
    expect(seen.at(-1)).toBe('step é1 of 3');
    expect(new Set(seen).size).toBe(seen.length);
  });

  it('is sent only on request', async () => {
    const received = record(server);
    await server.call('sandbox_run_command', talk);
    await server.call('session_info');
    expect(received.filter((message) => 'method' in message)).toEqual([]);
    expect(received).toHaveLength(2);
  });
});
