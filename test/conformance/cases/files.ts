import { Readable } from 'node:stream';
import { buffer } from 'node:stream/consumers';
import { expect } from 'vitest';
import type { TreeEntry } from '../../../src/engines/engine.ts';
import { contentChunks } from '../../../src/shared/async/content-chunks.ts';
import { describeCases } from '../support/contract-cases.ts';
import { timeoutSignal } from '../support/requests.ts';
import { run } from '../support/run.ts';
import type { Extent, Subject } from '../support/subject.ts';

const ALL = { offset: 0, limit: 1_000_000 };

function file(path: string, content: string, mode = 0o644): TreeEntry {
  return { path, type: 'file', mode, linkTarget: null, content: Readable.from([Buffer.from(content)]) };
}

function directory(path: string, mode = 0o755): TreeEntry {
  return { path, type: 'directory', mode, linkTarget: null, content: null };
}

async function* stream(entries: TreeEntry[], failure?: Error): AsyncGenerator<TreeEntry> {
  yield* entries;
  if (failure) throw failure;
}

/** mk_dir, stat, read, write, trees. */
export function fileCases(get: () => Subject, extent: Extent): void {
  describeCases('files', extent, (it) => {
    const read = async (path: string) => {
      const { engine, shared } = get();
      return (
        (await engine.files.read(shared.sandboxId, path, null, ALL, timeoutSignal()))?.data.toString() ?? null
      );
    };
    const write = async (
      path: string,
      content: string,
      mode: number | null = null,
      cwd: string | null = null,
    ) => {
      const { engine, shared } = get();
      return engine.files.write(
        shared.sandboxId,
        [{ path, content: Buffer.from(content), mode }],
        cwd,
        timeoutSignal(),
      );
    };
    const sh = (script: string) => run(get(), 'sh', ['-c', script]);

    it('writes a file with its parents and mode, owned by the sandbox’s user', async () => {
      expect(await write('deep/er/tool.sh', '#!/bin/sh\necho ran\n', 0o755)).toEqual([
        { path: `${get().shared.cwd}/deep/er/tool.sh`, sizeBytes: 19 },
      ]);
      expect((await sh('./deep/er/tool.sh; stat -c %a deep/er/tool.sh')).stdout).toBe('ran\n755\n');
      expect((await sh('[ -O deep/er/tool.sh ] && echo mine')).stdout).toBe('mine\n');
    });

    it('keeps the mode of a replaced file, and uses 0644 for a new one', async () => {
      await write('modes', 'one', 0o700);
      await write('modes', 'two');
      await write('fresh', 'three');
      expect((await sh('stat -c %a modes fresh; cat modes')).stdout).toBe('700\n644\ntwo');
    });

    it('reads a range, and returns null for a missing file', async () => {
      const { engine, shared } = get();
      await write('range', '0123456789');
      const part = await engine.files.read(
        shared.sandboxId,
        'range',
        null,
        { offset: 3, limit: 4 },
        timeoutSignal(),
      );
      expect(part).toMatchObject({ path: `${shared.cwd}/range`, sizeBytes: 10, data: Buffer.from('3456') });
      expect(await read('no/such/file')).toBeNull();
      expect(await engine.files.stat(shared.sandboxId, 'no-such', null, timeoutSignal())).toBeNull();
    });

    it('resolves relative paths from cwd, and a relative cwd from that of the sandbox', async () => {
      await write('name', 'in cwd', null, 'some/where');
      expect(await read(`${get().shared.cwd}/some/where/name`)).toBe('in cwd');
    });

    it('rejects a directory or a fifo instead of a file, without blocking', async () => {
      const { engine, shared } = get();
      await sh('mkdir -p a-directory; mkfifo a-fifo');
      for (const path of ['a-directory', 'a-fifo', '/dev/zero']) {
        const reading = engine.files.read(shared.sandboxId, path, null, ALL, timeoutSignal());
        await expect(reading, path).rejects.toMatchObject({ code: 'invalid_argument' });
      }
      await expect(write('a-directory', 'x')).rejects.toMatchObject({ code: 'invalid_argument' });
    });

    it('acts as the sandbox’s user, and rejects what that user may not write', async (context) => {
      const { isolation } = await get().engine.limits(timeoutSignal());
      if (isolation.includes('single id')) return context.skip('root is the only user here');
      await expect(write('/etc/passwd', 'x'.repeat(5_000_000))).rejects.toMatchObject({ code: 'permission' });
    });

    it('reports a directory that does not accept new files as such, not as missing', async () => {
      await expect(write('/proc/no-such', 'x')).rejects.toMatchObject({ code: 'invalid_argument' });
    });

    it('follows links inside the sandbox only', async () => {
      const { engine, shared } = get();
      await sh('ln -s /etc/hostname to-hostname; ln -s target to-target');
      expect(await read('to-hostname')).toBe('sandbox\n');
      await write('to-target', 'through the link');
      expect(await read('target')).toBe('through the link');
      expect((await sh('readlink to-target')).stdout).toBe('target\n');
      const outside = await engine.files.read(
        shared.sandboxId,
        '/../../../etc/hostname',
        null,
        ALL,
        timeoutSignal(),
      );
      expect(outside?.data.toString()).toBe('sandbox\n');
    });

    it('creates directories with parents, and accepts an existing one', async () => {
      const { engine, shared } = get();
      for (let times = 0; times < 2; times++) {
        const made = await engine.files.mkDir(shared.sandboxId, 'made/by/us', null, timeoutSignal());
        expect(made).toEqual({ path: `${shared.cwd}/made/by/us` });
      }
      await write('made/file', 'x');
      await expect(
        engine.files.mkDir(shared.sandboxId, 'made/file', null, timeoutSignal()),
      ).rejects.toMatchObject({
        code: expect.stringMatching(/invalid_argument|conflict/),
      });
    });

    it('writes and reads a tree, with links and modes', async () => {
      const { engine, shared } = get();
      const link: TreeEntry = {
        path: 'sub/link',
        type: 'symlink',
        mode: 0o777,
        linkTarget: '../a.txt',
        content: null,
      };
      const entries = [
        directory(''),
        file('a.txt', 'alpha'),
        directory('sub'),
        file('sub/run', 'beta', 0o755),
        link,
      ];
      const sent = await engine.files.writeTree(
        shared.sandboxId,
        'tree',
        null,
        stream(entries),
        timeoutSignal(),
      );
      expect(sent).toMatchObject({ path: `${get().shared.cwd}/tree`, files: 2, bytes: 9 });
      const back = new Map<string, string>();
      for await (const entry of engine.files.readTree(shared.sandboxId, 'tree', null, timeoutSignal())) {
        const content =
          entry.content === null ? entry.linkTarget : (await buffer(contentChunks(entry.content))).toString();
        back.set(entry.path, `${entry.type} ${(entry.mode & 0o111) !== 0} ${content}`);
      }
      expect(Object.fromEntries(back)).toEqual({
        '': 'directory true null',
        'a.txt': 'file false alpha',
        sub: 'directory true null',
        'sub/run': 'file true beta',
        'sub/link': 'symlink true ../a.txt',
      });
    });

    it('keeps the times of files and directories, and reports what it leaves out of a tree', async () => {
      const { engine, shared } = get();
      const mtimeMs = 1_234_567_890_123;
      const entries = [
        ...[directory(''), { ...directory('folder', 0o555), mtimeMs }, file('folder/inner', 'beta')],
        { ...file('old', 'alpha'), mtimeMs },
      ];
      await engine.files.writeTree(shared.sandboxId, 'times', null, stream(entries), timeoutSignal());
      const { stdout } = await sh('cd times; stat -c %.3Y old folder; mkfifo pipe; mkdir -m 0 shut');
      expect(stdout).toBe('1234567890.123\n1234567890.123\n');
      const skipped: string[] = [];
      const seen: Record<string, number | undefined> = {};
      for await (const entry of engine.files.readTree(
        shared.sandboxId,
        'times',
        null,
        timeoutSignal(),
        (path, reason) => skipped.push(`${path} (${reason})`),
      )) {
        if (entry.content !== null) await buffer(contentChunks(entry.content));
        seen[entry.path] = entry.mtimeMs;
      }
      expect(seen).toMatchObject({ old: mtimeMs, folder: mtimeMs });
      expect(skipped.sort()).toEqual(['pipe (fifo)', 'shut (permission denied)']);
      await sh('rmdir times/shut; chmod 755 times/folder');
    });

    it('leaves nothing of a tree that was cut short', async () => {
      const { engine, shared } = get();
      const entries = stream([directory(''), file('half', 'x')], new Error('the source broke'));
      await expect(
        engine.files.writeTree(shared.sandboxId, 'cut', null, entries, timeoutSignal()),
      ).rejects.toThrow('the source broke');
      await expect
        .poll(async () => (await sh('ls -A | grep -v "^[a-z]" ; ls -d cut*; true')).stdout)
        .toBe('');
    });

    it('reports not_found for a missing tree', async () => {
      const { engine, shared } = get();
      const reading = async () => {
        for await (const _ of engine.files.readTree(shared.sandboxId, 'no-tree', null, timeoutSignal()));
      };
      await expect(reading()).rejects.toMatchObject({ code: 'not_found' });
    });
  });
}
