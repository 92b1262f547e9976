import { expect } from 'vitest';
import { newCommandId } from '../../../src/shared/ids.ts';
import { describeCases } from '../support/contract-cases.ts';
import { timeoutSignal } from '../support/requests.ts';
import { outputOf, run, start, untilOutput } from '../support/run.ts';
import type { Extent, Subject } from '../support/subject.ts';

/** A process tree whose grandchild has left its process group, session and parent. */
const ESCAPED_TREE = 'setsid sh -c "(sleep 300 & echo $! ) &"; echo ready; sleep 300';

/** Run, look up, wait, kill. */
export function commandCases(get: () => Subject, extent: Extent): void {
  describeCases('commands', extent, (it) => {
    it('reports exit code, streams and duration', async () => {
      const command = await run(get(), 'sh', ['-c', 'echo out; echo err >&2; exit 3']);
      expect(command).toMatchObject({ status: 'finished', exitCode: 3, signal: null, endedBy: 'exit' });
      expect(command).toMatchObject({ stdout: 'out\n', stderr: 'err\n', stdoutBytes: 4, stderrBytes: 4 });
      expect(command.durationMs).toBeGreaterThanOrEqual(0);
    });

    it('passes arguments as they are, without a shell', async () => {
      const args = ['a b', '$HOME', '`id`', '"', "'", '', '*', 'ünï', '\n'];
      const { stdout } = await run(get(), 'node', ['-p', 'JSON.stringify(process.argv.slice(1))', ...args]);
      expect(JSON.parse(stdout)).toEqual(args);
    });

    it('gives a program standard input, and nothing without', async () => {
      const stdin = `first é\n${'x'.repeat(200_000)}\n"$HOME"`;
      expect((await run(get(), 'cat', [], { stdin })).stdout).toBe(stdin);
      expect((await run(get(), 'cat', [], { stdin: '' })).stdout).toBe('');
      expect((await run(get(), 'sh', ['-c', 'cat; id -u'], { stdin: 'root\n', sudo: true })).stdout).toBe(
        'root\n0\n',
      );
      expect((await run(get(), 'cat', [])).stdout).toBe('');
      expect(await run(get(), 'no-such-program', [], { stdin: 'x' })).toMatchObject({ exitCode: 127 });
    });

    it('exits with 127 for a missing program and 126 for one that cannot be executed', async () => {
      const missing = await run(get(), 'no-such-program', []);
      expect(missing).toMatchObject({ exitCode: 127, stderr: 'no-such-program: command not found\n' });
      const { engine, shared } = get();
      const file = { path: 'plain', content: Buffer.from('x'), mode: 0o644 };
      await engine.files.write(shared.sandboxId, [file], null, timeoutSignal());
      expect(await run(get(), `${shared.cwd}/plain`, [])).toMatchObject({ exitCode: 126 });
    });

    it('rejects a missing working directory and creates no command', async () => {
      const { engine, shared } = get();
      const commandId = newCommandId(shared.sandboxId);
      await expect(start(get(), 'true', [], { commandId, cwd: 'no/such' })).rejects.toMatchObject({
        code: 'invalid_argument',
        message: expect.stringContaining(`${shared.cwd}/no/such`),
      });
      await expect(engine.commands.get(commandId, timeoutSignal())).rejects.toMatchObject({
        code: 'not_found',
      });
    });

    it('runs in cwd, by default that of the sandbox', async () => {
      expect((await run(get(), 'pwd', [])).stdout).toBe(`${get().shared.cwd}\n`);
      expect((await run(get(), 'pwd', [], { cwd: '/tmp' })).stdout).toBe('/tmp\n');
    });

    it('merges environments, with the command’s own taking precedence', async () => {
      const env = { FROM_COMMAND: 'yes', BOTH: 'command' };
      const { stdout } = await run(get(), 'sh', ['-c', 'echo $FROM_SANDBOX $FROM_COMMAND $BOTH'], { env });
      expect(stdout).toBe('yes yes command\n');
    });

    it('runs as an ordinary user, and as root with sudo', async () => {
      const uid = async (sudo: boolean) => (await run(get(), 'id', ['-u'], { sudo })).stdout.trim();
      expect(await uid(true)).toBe('0');
      const { isolation } = await get().engine.limits(timeoutSignal());
      if (!isolation.includes('single id')) expect(await uid(false)).toBe('1000');
    });

    it('gives an empty standard input', async () => {
      expect(await run(get(), 'cat', [])).toMatchObject({ exitCode: 0, stdout: '' });
    });

    it('never runs an id twice', async () => {
      const commandId = newCommandId(get().shared.sandboxId);
      await run(get(), 'sh', ['-c', 'echo once >> ran-twice'], { commandId });
      await expect(start(get(), 'sh', ['-c', 'echo once >> ran-twice'], { commandId })).rejects.toMatchObject(
        {
          code: 'conflict',
        },
      );
      expect((await run(get(), 'cat', ['ran-twice'])).stdout).toBe('once\n');
    });

    it('can be found, awaited and killed by another process', async () => {
      const { other } = get();
      const { commandId } = await start(get(), 'sh', ['-c', 'echo here; sleep 300']);
      await untilOutput(get(), commandId, 'here');
      expect(await other.commands.get(commandId, timeoutSignal())).toMatchObject({
        status: 'running',
        stdoutBytes: 5,
      });
      const waiting = other.commands.wait(commandId, timeoutSignal());
      await other.commands.kill(commandId, 'SIGTERM', 'killed', timeoutSignal());
      expect(await waiting).toMatchObject({ exitCode: 143, signal: 'SIGTERM', endedBy: 'killed' });
      expect(await outputOf({ engine: other }, commandId)).toBe('here\n');
    });

    it('kills every descendant, wherever it moved', async () => {
      const { engine } = get();
      const { commandId } = await start(get(), 'bash', ['-c', ESCAPED_TREE]);
      await untilOutput(get(), commandId, 'ready');
      const killed = await engine.commands.kill(commandId, 'SIGKILL', 'cancelled', timeoutSignal());
      expect(killed).toMatchObject({
        status: 'finished',
        exitCode: 137,
        signal: 'SIGKILL',
        endedBy: 'cancelled',
      });
      const [pid] = /^\d+$/m.exec(await outputOf(get(), commandId)) ?? [];
      expect(await run(get(), 'kill', ['-0', pid ?? 'no pid was printed'])).toMatchObject({ exitCode: 1 });
    });

    it('kills what a finished command left running, and accepts a second kill', async () => {
      const { engine } = get();
      const { commandId } = await start(get(), 'sh', ['-c', 'sleep 300 & echo $!']);
      expect(await engine.commands.wait(commandId, timeoutSignal())).toMatchObject({ exitCode: 0 });
      const pid = (await outputOf(get(), commandId)).trim();
      expect(await run(get(), 'kill', ['-0', pid])).toMatchObject({ exitCode: 0 });
      for (let times = 0; times < 2; times++) {
        const killed = await engine.commands.kill(commandId, 'SIGKILL', 'killed', timeoutSignal());
        expect(killed).toMatchObject({ exitCode: 0, endedBy: 'exit' });
      }
      expect(await run(get(), 'kill', ['-0', pid])).toMatchObject({ exitCode: 1 });
    });

    it('ends at its own timeout, and says so', async () => {
      const command = await run(get(), 'sleep', ['300'], { timeoutMs: 200 });
      expect(command).toMatchObject({ exitCode: 143, signal: 'SIGTERM', endedBy: 'timeout' });
    });

    it('ends only the wait on abort', async () => {
      const { engine } = get();
      const { commandId } = await start(get(), 'sleep', ['300']);
      await expect(engine.commands.wait(commandId, AbortSignal.timeout(50))).rejects.toMatchObject({
        code: 'cancelled',
      });
      expect(await engine.commands.get(commandId, timeoutSignal())).toMatchObject({ status: 'running' });
      await engine.commands.kill(commandId, 'SIGKILL', 'killed', timeoutSignal());
    });

    it('reports the end of a command that ended with its sandbox, and keeps its log', async () => {
      const { engine, create } = get();
      const sandbox = await create();
      const { commandId } = await start(get(), 'sh', ['-c', 'echo kept; sleep 300'], sandbox);
      await untilOutput(get(), commandId, 'kept');
      await engine.stop(sandbox.sandboxId, 'session_end', timeoutSignal());
      const ended = await engine.commands.get(commandId, timeoutSignal());
      expect(ended).toMatchObject({
        status: 'finished',
        exitCode: 137,
        signal: 'SIGKILL',
        endedBy: 'session_end',
      });
      expect(await outputOf(get(), commandId)).toBe('kept\n');
    });

    it('runs fifty at once', async () => {
      const subject = get();
      const commands = await Promise.all(
        Array.from({ length: 50 }, (_, n) => run(subject, 'echo', [String(n)])),
      );
      expect(commands.map(({ stdout }) => stdout)).toEqual(Array.from({ length: 50 }, (_, n) => `${n}\n`));
    });

    it('lists the commands of a sandbox, oldest first, and rejects unknown ids', async () => {
      const { engine, create } = get();
      const sandbox = await create();
      const first = await run(get(), 'true', [], sandbox);
      const second = await run(get(), 'false', [], sandbox);
      const listed = await engine.commands.list(sandbox.sandboxId, timeoutSignal());
      expect(listed.map(({ commandId }) => commandId)).toEqual([first.commandId, second.commandId]);
      for (const id of [newCommandId(sandbox.sandboxId), 'cmd_../../x', '']) {
        await expect(engine.commands.get(id, timeoutSignal())).rejects.toMatchObject({ code: 'not_found' });
        await expect(engine.commands.kill(id, 'SIGTERM', 'killed', timeoutSignal())).rejects.toMatchObject({
          code: 'not_found',
        });
      }
    });
  });
}
