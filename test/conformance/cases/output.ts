import { createHash } from 'node:crypto';
import { readFile } from 'node:fs/promises';
import { join } from 'node:path';
import { expect } from 'vitest';
import { describeCases } from '../support/contract-cases.ts';
import { timeoutSignal } from '../support/requests.ts';
import { outputOf, run, start } from '../support/run.ts';
import type { Extent, Subject } from '../support/subject.ts';

const MIB = 1_048_576;

/** Captured output: offsets, pages, dropped bytes. */
export function outputCases(get: () => Subject, extent: Extent): void {
  describeCases('output', extent, (it) => {
    it('reads pages by offset that add up to the whole', async () => {
      const { engine } = get();
      const { commandId, stdoutBytes } = await run(get(), 'seq', ['1', '20000']);
      const hash = createHash('sha256');
      let offset = 0;
      while (offset < stdoutBytes) {
        const page = await engine.commands.readOutput(
          commandId,
          { stream: 'stdout', offset, limit: 7_919 },
          timeoutSignal(),
        );
        for (const { data } of page.chunks) hash.update(data);
        expect(page.droppedBytes).toBe(0);
        offset = page.nextOffset;
      }
      const whole = Array.from({ length: 20_000 }, (_, n) => `${n + 1}\n`).join('');
      expect(hash.digest('hex')).toBe(createHash('sha256').update(whole).digest('hex'));
    });

    it('counts a negative offset from the end', async () => {
      const { engine } = get();
      const { commandId } = await run(get(), 'seq', ['1', '1000']);
      const tail = await engine.commands.readOutput(
        commandId,
        { stream: 'both', offset: -5, limit: 100 },
        timeoutSignal(),
      );
      expect(Buffer.concat(tail.chunks.map(({ data }) => data)).toString()).toBe('1000\n');
      expect(tail.nextOffset).toBe(tail.totalBytes);
    });

    it('tags each run of bytes with its stream', async () => {
      const { engine } = get();
      const program = await readFile(join(import.meta.dirname, '../../fixtures/take-turns.py'), 'utf8');
      const { commandId } = await run(get(), 'python3', ['-c', program, '2']);
      const slice = await engine.commands.readOutput(
        commandId,
        { stream: 'both', offset: 0, limit: 100 },
        timeoutSignal(),
      );
      expect(slice.chunks.map(({ stream, data }) => [stream, data.toString()])).toEqual([
        ['stdout', 'out 1\n'],
        ['stderr', 'err 1\n'],
        ['stdout', 'out 2\n'],
        ['stderr', 'err 2\n'],
      ]);
    });

    it('keeps head and tail of a flood and reports exactly how much is missing', async () => {
      const { engine } = get();
      // Half as much again as is kept.
      const bytes = 48 * MIB;
      const { commandId, stdoutBytes } = await run(get(), 'sh', [
        '-c',
        `yes | head -c ${bytes}; echo the end`,
      ]);
      expect(stdoutBytes).toBe(bytes + 8);
      const read = (offset: number, limit: number) =>
        engine.commands.readOutput(commandId, { stream: 'stdout', offset, limit }, timeoutSignal());
      let kept = 0;
      let dropped = 0;
      for (let offset = 0; offset < stdoutBytes; ) {
        const page = await read(offset, 4 * MIB);
        kept += page.chunks.reduce((sum, { data }) => sum + data.length, 0);
        dropped += page.droppedBytes;
        offset = page.nextOffset;
      }
      expect(dropped).toBeGreaterThan(0);
      expect(kept + dropped).toBe(stdoutBytes);
      // All of it: two bytes per line, and the last line.
      const lines = { stream: 'stdout', start: 0, end: stdoutBytes } as const;
      const counted = await engine.commands.countLines(commandId, lines, timeoutSignal());
      expect(counted).toBe(bytes / 2 + 1);
      const tail = await read(-8, 100);
      expect(Buffer.concat(tail.chunks.map(({ data }) => data)).toString()).toBe('the end\n');
    });

    it('still captures what a finished command left running', async () => {
      const { engine } = get();
      const script = 'echo early; (while [ ! -e go ]; do sleep 0.02; done; echo late) &';
      const { commandId } = await run(get(), 'sh', ['-c', script]);
      await run(get(), 'touch', ['go']);
      await expect.poll(() => outputOf({ engine }, commandId)).toBe('early\nlate\n');
      await run(get(), 'rm', ['go']);
    });

    it('counts what a finished command left running in every view', async () => {
      const { engine } = get();
      const script = 'echo early; (while [ ! -e go2 ]; do sleep 0.02; done; echo late) &';
      const { commandId, sandboxId } = await run(get(), 'sh', ['-c', script]);
      await run(get(), 'touch', ['go2']);
      const got = () => engine.commands.get(commandId, timeoutSignal());
      await expect.poll(async () => (await got()).stdoutBytes).toBe('early\nlate\n'.length);
      const waited = await engine.commands.wait(commandId, timeoutSignal());
      const slice = await engine.commands.readOutput(
        commandId,
        { stream: 'both', offset: 0, limit: 100 },
        timeoutSignal(),
      );
      const listed = await engine.commands.list(sandboxId, timeoutSignal());
      const inList = listed.find((command) => command.commandId === commandId);
      expect([waited.stdoutBytes, slice.totalBytes, inList?.stdoutBytes]).toEqual([11, 11, 11]);
      await run(get(), 'rm', ['go2']);
    });

    it('wakes a waiter as soon as there is output', async () => {
      const { engine } = get();
      const { commandId } = await start(get(), 'sh', ['-c', 'sleep 0.1; echo news; sleep 300']);
      const command = await engine.commands.waitForOutput(commandId, 0, timeoutSignal());
      expect(command).toMatchObject({ status: 'running', stdoutBytes: 5 });
      await engine.commands.kill(commandId, 'SIGKILL', 'killed', timeoutSignal());
    });
  });
}
