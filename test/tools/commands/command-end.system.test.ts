import { chmod, mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, beforeAll, describe, expect, it, onTestFinished } from 'vitest';
import { ALLOW_FIXTURES, createWithFixtures } from '../../support/fixtures.ts';
import { lowerMemoryLimit } from '../../support/host/memory-limit.ts';
import { type Answer, type RunningServer, startServer } from '../../support/server.ts';

const GENERATIONS = 5;
/** Of ten trees of five processes each; `TREE_ROUNDS=5` tries more. */
const ROUNDS = Number(process.env['TREE_ROUNDS'] ?? 2);
const FIFTY = 50;

let server: RunningServer;
beforeAll(async () => {
  server = await startServer({ args: [...ALLOW_FIXTURES, '--max-running-commands', '60'] });
  await createWithFixtures(server);
});
afterAll(() => server.close());

async function start(cmd: string, args: string[] = [], on = server): Promise<string> {
  const started = await on.call('sandbox_run_command_detached', { cmd, args });
  if (started.isError) throw new Error(started.text);
  return String(started.structured['command_id']);
}

/** Reads a command's lines until there are `count` of them. */
async function lines(command_id: string, count: number, on = server): Promise<void> {
  for (let cursor: Record<string, unknown> = {}, seen = 0; seen < count; ) {
    const { structured } = await on.call('command_logs', { command_id, wait_ms: 20_000, ...cursor });
    if (Array.isArray(structured['lines'])) seen += structured['lines'].length;
    cursor = { cursor: structured['next_cursor'] };
    if (structured['done'] === true && seen < count) throw new Error(`${command_id} wrote ${seen} lines`);
  }
}

/** Waits longer than a single call may. */
async function runToEnd(on: RunningServer, request: Record<string, unknown>): Promise<Answer> {
  let answer = await on.call('sandbox_run_command', request);
  while (answer.structured['status'] === 'running') {
    answer = await on.call('command_wait', { command_id: answer.structured['command_id'] });
  }
  return answer;
}

async function sleepers(): Promise<string> {
  const script = 'pgrep -c "^sleep$" || true';
  const { structured } = await server.call('sandbox_run_command', { cmd: 'bash', args: ['-c', script] });
  return String(structured['stdout']).trim();
}

describe('a process tree five deep, detached from sessions and parents', () => {
  const tree = ['./deep-tree.sh', [String(GENERATIONS - 1)]] as const;

  it(`is gone after command_kill, ${ROUNDS * 10} of ${ROUNDS * 10}`, async () => {
    for (let round = 0; round < ROUNDS; round++) {
      const ids = await Promise.all(Array.from({ length: 10 }, () => start(tree[0], [...tree[1]])));
      await Promise.all(ids.map((id) => lines(id, GENERATIONS)));
      // Each prints its pid before it executes sleep.
      await expect.poll(sleepers).toBe('50');
      const kill = (command_id: string) => server.call('command_kill', { command_id, signal: 'SIGKILL' });
      for (const { structured } of await Promise.all(ids.map(kill))) {
        expect(structured).toMatchObject({ status: 'finished', ended_by: 'killed', signal: 'SIGKILL' });
      }
      expect(await sleepers()).toBe('0');
    }
  });

  it(`is gone after the call is cancelled, ${ROUNDS * 10} of ${ROUNDS * 10}`, async () => {
    for (let round = 0; round < ROUNDS; round++) {
      const controller = new AbortController();
      const grown = Array.from({ length: 10 }, async () => {
        const request = { cmd: tree[0], args: [...tree[1]] };
        const call = server.call('sandbox_run_command', request, { signal: controller.signal });
        await expect(call).rejects.toThrow();
      });
      await expect.poll(sleepers).toBe('50');
      const { structured } = await server.call('session_info');
      const ids = [...JSON.stringify(structured['commands']).matchAll(/"command_id":"([^"]+)"/g)];
      expect(ids).toHaveLength(10);
      controller.abort();
      await Promise.all(grown);
      for (const [, command_id] of ids) {
        const ended = await server.call('command_wait', { command_id });
        expect(ended.structured).toMatchObject({ ended_by: 'cancelled', signal: 'SIGKILL', exit_code: 137 });
      }
      await expect.poll(sleepers).toBe('0');
    }
  });
});

describe('a call that is cancelled at any moment', () => {
  it('leaves no command and no process', async () => {
    const before = await sleepers();
    await Promise.all(
      Array.from({ length: 25 }, async (_, index) => {
        const controller = new AbortController();
        const request = { cmd: './deep-tree.sh', args: [String(GENERATIONS - 1)] };
        const call = server.call('sandbox_run_command', request, { signal: controller.signal });
        // A deliberate fixed delay: it interrupts each call at a different point.
        setTimeout(() => controller.abort(), index * 8);
        await expect(call).rejects.toThrow();
      }),
    );
    const running = async (): Promise<unknown> => (await server.call('session_info')).structured['commands'];
    await expect.poll(running).toEqual([]);
    await expect.poll(sleepers).toBe(before);
  });
});

describe('fifty commands at once', () => {
  it('allow one of them to be killed at once, and everything else to finish', async () => {
    const talk = 'while :; do echo still here; sleep 1; done';
    const ids = await Promise.all(Array.from({ length: FIFTY }, () => start('bash', ['-c', talk])));
    await Promise.all(ids.map((id) => lines(id, 1)));
    const [first, ...others] = ids;
    const killed = await server.call('command_kill', { command_id: first });
    expect(killed.structured).toMatchObject({ status: 'finished', ended_by: 'killed', signal: 'SIGTERM' });
    const file = { path: 'beside', content: 'x' };
    expect((await server.call('sandbox_write_files', { files: [file] })).isError).toBe(false);
    const extended = await server.call('sandbox_extend_timeout', { duration_ms: 1_000 });
    expect(extended.structured).toMatchObject({ status: 'running' });
    const { structured } = await server.call('session_info');
    expect(structured['commands']).toHaveLength(FIFTY - 1);
    for (const command_id of others) {
      const ended = await server.call('command_kill', { command_id, signal: 'SIGKILL' });
      expect(ended.structured).toMatchObject({ status: 'finished', signal: 'SIGKILL' });
    }
  });
});

describe('the end of a command is reported', () => {
  it('for its timeout: SIGTERM first, SIGKILL for one that ignores it', async () => {
    // Enough time to install the signal handler on any machine.
    const request = { cmd: './deaf.sh', timeout_ms: 3_000 };
    const { structured } = await server.call('sandbox_run_command', request);
    expect(structured).toMatchObject({
      ended_by: 'timeout',
      signal: 'SIGKILL',
      exit_code: 137,
      stdout: 'ready\n',
    });
    // The grace period is in between.
    expect(structured['duration_ms']).toBeGreaterThanOrEqual(8_000);
  });

  it('for its own exit, even by a signal', async () => {
    const own = { cmd: 'bash', args: ['-c', 'kill -SEGV $$'] };
    expect((await server.call('sandbox_run_command', own)).structured).toMatchObject({
      ended_by: 'exit',
      signal: 'SIGSEGV',
      exit_code: 139,
      next: null,
    });
  });

  it('with the processes it left running, until they exit', async () => {
    const left = { cmd: 'bash', args: ['-c', 'setsid sleep 4321 > /dev/null 2>&1 & echo done'] };
    const { structured } = await server.call('sandbox_run_command', left);
    const { command_id } = structured;
    const rest = `Processes that it started are still running: command_kill command_id=${command_id} ends them`;
    expect(structured).toMatchObject({ status: 'finished', exit_code: 0, stdout: 'done\n', next: rest });
    expect((await server.call('sandbox_get_command', { command_id })).structured).toMatchObject({
      next: rest,
    });
    await server.call('command_kill', { command_id, signal: 'SIGKILL' });
    const after = await server.call('sandbox_get_command', { command_id });
    expect(after.structured).toMatchObject({ ended_by: 'exit', exit_code: 0, next: null });
    // Programs that leave no process behind are never reported as if they did.
    for (let round = 0; round < 100; round++) {
      const quick = await server.call('sandbox_run_command', { cmd: 'true' });
      expect(quick.structured['next']).toBeNull();
    }
  });

  it('for the stop of its sandbox', async () => {
    const sandbox_id = await createWithFixtures(server);
    const id = await start('./deaf.sh');
    await lines(id, 1);
    await server.call('sandbox_stop', { sandbox_id, blocking: true });
    const { structured } = await server.call('command_wait', { command_id: id });
    expect(structured).toMatchObject({
      ended_by: 'sandbox_stopped',
      signal: 'SIGKILL',
      stdout: 'ready\n',
      next: expect.stringContaining('Its sandbox ended (stopped by request): call sandbox_create'),
    });
  });

  it('for the deadline of its sandbox, to every waiting call', async () => {
    const short = await startServer({ args: ['--max-lifetime', '8s'] });
    // Several commands, since a supervisor may die while the rest of its sandbox is still ending.
    const waitFor = async (): Promise<void> => {
      const made = await short.call('sandbox_create', { timeout_ms: 6_000, resources: { vcpus: 1 } });
      const { sandbox_id } = made.structured;
      const request = { sandbox_id, cmd: 'bash', args: ['-c', 'echo ready; sleep 1000'] };
      const { isError, structured, text } = await short.call('sandbox_run_command', request);
      // On a busy machine the sandbox may be ending, or have ended, before the command starts.
      if (isError && /its timeout expired|is stopping|ended during the call/.test(text)) return waitFor();
      expect(structured, text).toMatchObject({
        status: 'finished',
        ended_by: 'sandbox_stopped',
        stdout: 'ready\n',
        next: expect.stringContaining('Its sandbox ended (its timeout expired): call sandbox_create'),
      });
    };
    try {
      await Promise.all(Array.from({ length: 8 }, waitFor));
    } finally {
      await short.close();
    }
  });

  it('for lack of memory, even to a later server and after the sandbox has ended', async (context) => {
    const home = await mkdtemp(join(tmpdir(), 's-'));
    await chmod(home, 0o711);
    onTestFinished(() => rm(home, { recursive: true, force: true }));
    const first = await startServer({ stateDir: join(home, 's') });
    try {
      const info = await first.call('session_info');
      if (/memory/i.test(JSON.stringify(Object(info.structured['engine']).not_enforced)))
        return context.skip('needs a memory limit, which this host does not give');
      const created = await first.call('sandbox_create', { resources: { vcpus: 1 } });
      lowerMemoryLimit(String(created.structured['sandbox_id']));
      const hog = 'const held = []; for (;;) held.push(Buffer.alloc(16 << 20, 1));';
      const run = await runToEnd(first, { cmd: 'node', args: ['-e', hog] });
      const killed = {
        ended_by: 'out_of_memory',
        signal: 'SIGKILL',
        exit_code: 137,
        next: expect.stringContaining('memory ran out'),
      };
      expect(run.structured).toMatchObject(killed);
      const within = { cmd: 'bash', args: ['-c', `node -e '${hog}'; exit 2`] };
      const survived = await runToEnd(first, within);
      const survivor = {
        ended_by: 'exit',
        exit_code: 2,
        next: expect.stringMatching(/^A process in its sandbox was killed because memory ran out/),
      };
      expect(survived.structured).toMatchObject(survivor);
      const after = await first.call('sandbox_run_command', { cmd: 'true' });
      expect(after.structured['next']).toBeNull();
      await first.call('sandbox_stop', { blocking: true });
      const second = await startServer({ stateDir: join(home, 's') });
      try {
        const { command_id } = run.structured;
        expect((await second.call('sandbox_get_command', { command_id })).structured).toMatchObject(killed);
        const part = { command_id: survived.structured['command_id'] };
        expect((await second.call('sandbox_get_command', part)).structured).toMatchObject(survivor);
      } finally {
        await second.close();
      }
    } finally {
      await first.close();
    }
  });
});
