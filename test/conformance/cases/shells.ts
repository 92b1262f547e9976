import { expect } from 'vitest';
import type { OpenShell, Shell } from '../../../src/engines/engine.ts';
import { describeCases } from '../support/contract-cases.ts';
import { timeoutSignal } from '../support/requests.ts';
import { run } from '../support/run.ts';
import type { Extent, Subject } from '../support/subject.ts';

/** The output so far, and a way to wait for more. */
class Reader {
  readonly shell: Shell;
  readonly #chunks: AsyncIterator<Buffer>;
  text = '';

  constructor(shell: Shell) {
    this.shell = shell;
    this.#chunks = shell.output[Symbol.asyncIterator]();
  }

  async until(part: string): Promise<string> {
    while (!this.text.includes(part)) {
      const chunk = await this.#chunks.next();
      if (chunk.done) throw new Error(`ended without ${JSON.stringify(part)}: ${JSON.stringify(this.text)}`);
      this.text += chunk.value.toString();
    }
    return this.text;
  }

  async toEnd(): Promise<string> {
    for (;;) {
      const chunk = await this.#chunks.next();
      if (chunk.done) return this.text;
      this.text += chunk.value.toString();
    }
  }
}

/** Terminals, if the engine supports them. */
export function shellCases(get: () => Subject, extent: Extent): void {
  describeCases('shells', extent, (it) => {
    const open = async (command: string[], more: Partial<OpenShell> = {}): Promise<Reader> => {
      const { engine, shared } = get();
      const { sandboxId } = shared;
      const plain = { sandboxId, env: {}, cwd: null, sudo: false, cols: 80, rows: 24 };
      const shell = await engine.shells?.open({ ...plain, command, ...more }, timeoutSignal());
      if (shell === undefined) throw new Error('this engine has no terminals');
      return new Reader(shell);
    };
    const here = (): boolean => get().engine.shells !== undefined;

    it('accept input, resize and report their end', async (context) => {
      if (!here()) return context.skip('this engine has no terminals');
      const reader = await open(['bash', '--norc', '--noprofile'], { env: { PS1: '> ' } });
      await reader.shell.write(Buffer.from('stty size; pwd; tty\n'));
      expect(await reader.until('/dev/pts/')).toContain(`24 80\r\n${get().shared.cwd}\r\n`);
      await reader.shell.resize(100, 30);
      await reader.shell.write(Buffer.from('stty size\n'));
      await reader.until('30 100');
      await reader.shell.write(Buffer.from('exit 3\n'));
      await reader.toEnd();
      expect(await reader.shell.exit).toEqual({ exitCode: 3, signal: null });
      // After the end both are ignored without an error.
      await reader.shell.write(Buffer.from('x'));
      await reader.shell.resize(80, 24);
      expect(await reader.shell.close()).toEqual({ exitCode: 3, signal: null });
    });

    it('support environment, directory and sudo', async (context) => {
      if (!here()) return context.skip('this engine has no terminals');
      const command = ['sh', '-c', 'echo "$FROM_SANDBOX $BOTH $PWD $(id -u) $TERM"'];
      const more = { env: { BOTH: 'shell' }, cwd: '/tmp', sudo: true };
      expect(await (await open(command, more)).toEnd()).toBe('yes shell /tmp 0 xterm-256color\r\n');
    });

    it('end all processes on close', async (context) => {
      if (!here()) return context.skip('this engine has no terminals');
      const marker = 'sleep 98765';
      const reader = await open(['bash', '-c', `trap "" HUP; (setsid ${marker} &); echo up; ${marker}`]);
      await reader.until('up');
      const end = reader.toEnd();
      expect((await reader.shell.close()).exitCode).toBeGreaterThan(128);
      await end;
      const { stdout } = await run(get(), 'bash', [
        '-c',
        'cat /proc/[0-9]*/cmdline 2> /dev/null | tr "\\0" " "',
      ]);
      expect(stdout).not.toContain(marker);
    });

    it('close without a reader of their output', async (context) => {
      if (!here()) return context.skip('this engine has no terminals');
      const { shell } = await open(['yes']);
      expect((await shell.close()).exitCode).toBeGreaterThan(128);
    });

    it('end with their sandbox', async (context) => {
      if (!here()) return context.skip('this engine has no terminals');
      const { engine, create } = get();
      const { sandboxId } = await create();
      const reader = await open(['bash', '-c', 'echo up; sleep 1000'], { sandboxId });
      await reader.until('up');
      await engine.stop(sandboxId, 'requested', timeoutSignal());
      await reader.toEnd();
      expect(await reader.shell.exit).toEqual({ exitCode: 137, signal: 'SIGKILL' });
      await expect(open(['true'], { sandboxId })).rejects.toMatchObject({ code: 'conflict' });
    });

    it('reject a missing directory, and report a missing program by 127', async (context) => {
      if (!here()) return context.skip('this engine has no terminals');
      await expect(open(['true'], { cwd: '/none' })).rejects.toMatchObject({ code: 'invalid_argument' });
      const reader = await open(['no-such-program']);
      expect(await reader.toEnd()).toContain('command not found');
      expect((await reader.shell.exit).exitCode).toBe(127);
    });
  });
}
