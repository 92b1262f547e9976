/**
 * Files where the platform's sandboxes differ from one another: working directories, repositories, slow and
 * broken images.
 */
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import type { CreateSandbox, Engine, Sandbox } from '../../../src/engines/engine.ts';
import { contentChunks } from '../../../src/shared/async/content-chunks.ts';
import { createRequest, timeoutSignal } from '../../conformance/support/requests.ts';
import { run } from '../../conformance/support/run.ts';
import { startVercelApi, type VercelApi } from '../../fakes/vercel/index.ts';
import { HOST_ADDRESS, openSourceServer } from '../../support/source-server.ts';
import { type OpenedVercel, openVercelEngine } from './support/vercel-engines.ts';

describe('files in the cloud', () => {
  let api: VercelApi;
  let opened: OpenedVercel;
  let engine: Engine;

  beforeAll(async () => {
    api = await startVercelApi();
    opened = await openVercelEngine(api, { retryBaseMs: 1, pollMs: 20 });
    engine = opened.engine;
  });

  afterAll(async () => {
    await engine.close();
    const alive = await api.alive();
    await api.close();
    await opened.remove();
    expect(api.violations).toEqual([]);
    expect(alive).toEqual([]);
  });

  async function inside<T>(
    request: Partial<CreateSandbox>,
    work: (shared: Sandbox) => Promise<T>,
  ): Promise<T> {
    const shared = await engine.create(createRequest(request), timeoutSignal());
    try {
      return await work(shared);
    } finally {
      await engine.forget(shared.sandboxId, timeoutSignal());
    }
  }

  const shell = async (shared: Sandbox, script: string, cwd: string | null = null) =>
    (
      await run({ engine, other: engine, shared, create: () => Promise.reject() }, 'bash', ['-c', script], {
        cwd,
      })
    ).stdout;

  const file = (path: string, text = path) => ({ path, content: Buffer.from(text), mode: null });

  it('are written where commands run, whatever the working directory of the image', async () => {
    api.cwd = '/vercel';
    try {
      await inside({}, async (shared) => {
        const { sandboxId } = shared;
        expect(shared.cwd).toBe('/vercel');
        const { files } = engine;
        expect(await files.write(sandboxId, [file('a.txt')], null, timeoutSignal())).toEqual([
          { path: '/vercel/a.txt', sizeBytes: 5 },
        ]);
        expect(await files.mkDir(sandboxId, 'deep/er', null, timeoutSignal())).toEqual({
          path: '/vercel/deep/er',
        });
        await files.write(sandboxId, [file('b.txt')], 'deep', timeoutSignal());
        expect(await shell(shared, 'pwd; cat a.txt; cat b.txt', 'deep')).toBe('/vercel/deep\nb.txt');
        expect(await shell(shared, 'pwd; cat a.txt; ls deep')).toBe('/vercel\na.txtb.txt\ner\n');
        expect((await files.stat(sandboxId, 'a.txt', null, timeoutSignal()))?.path).toBe('/vercel/a.txt');
        const range = { offset: 0, limit: 10 };
        expect(String((await files.read(sandboxId, 'a.txt', null, range, timeoutSignal()))?.data)).toBe(
          'a.txt',
        );
        const tree: string[] = [];
        for await (const { path, content } of files.readTree(sandboxId, 'deep', null, timeoutSignal())) {
          tree.push(path);
          if (content !== null) for await (const _ of contentChunks(content));
        }
        expect(tree.sort()).toEqual(['', 'b.txt', 'er']);
      });
    } finally {
      api.cwd = '/vercel/sandbox';
    }
  });

  it('of a repository have a reported path, which can be a working directory', async (context) => {
    if (HOST_ADDRESS === null) return context.skip('this host has only a loopback address');
    const sources = await openSourceServer(HOST_ADDRESS);
    try {
      const request = {
        source: { type: 'git' as const, url: `${sources.url}/repo.git` },
        networkPolicy: { mode: 'allow-all' as const },
      };
      await inside(request, async (shared) => {
        expect(shared.sourcePath).toBe('/vercel/sandbox/repo');
        expect(await engine.get(shared.sandboxId, timeoutSignal())).toMatchObject({
          sourcePath: '/vercel/sandbox/repo',
        });
        expect(await shell(shared, 'cat file.txt', 'repo')).toBe('three\n');
      });
      // Older runtimes have it in the working directory itself.
      await inside({ ...request, runtime: 'node24' }, async (shared) => {
        expect(shared.sourcePath).toBeNull();
        expect(await shell(shared, 'cat file.txt')).toBe('three\n');
      });
    } finally {
      await sources.close();
    }
  });

  it('are written by the hundred, a bounded number per call', async () => {
    await inside({}, async (shared) => {
      const many = Array.from({ length: 101 }, (_, index) => file(`many/${index}.txt`));
      const before = api.calls.length;
      const written = await engine.files.write(shared.sandboxId, many, null, timeoutSignal());
      expect(written).toHaveLength(101);
      expect(api.calls.slice(before).filter(({ operation }) => operation === 'command.run')).toHaveLength(2);
      expect(await shell(shared, 'ls many | wc -l; cat many/100.txt; ls -A /tmp')).toBe('101\nmany/100.txt');
    });
  });

  /** A `cp` in the image that precedes the system's. */
  const brokenCp = async (shared: Sandbox, script: string) =>
    shell(shared, `mkdir -p bin; printf '%s\\n' '#!/bin/bash' '${script}' > bin/cp; chmod +x bin/cp`);
  const PATH = '/vercel/sandbox/bin:/usr/local/bin:/usr/bin:/bin';
  const LEFT = 'ls -A /tmp; ls -A target';

  it('are abandoned when writing makes no progress, and leave nothing', async () => {
    await inside({ env: { PATH } }, async (shared) => {
      // The third file never gets written.
      await brokenCp(shared, '[[ $4 == *-2 ]] && exec sleep 1000; exec /bin/cp "$@"');
      const options = { stateDir: opened.stateDir, placeSilentMs: 5_000 };
      const { engine: impatient } = await openVercelEngine(api, options);
      const files = ['one', 'two', 'three', 'four'].map((name) => file(`target/${name}`));
      const failure = await impatient.files
        .write(shared.sandboxId, files, null, timeoutSignal())
        .catch((error: unknown) => error);
      expect(failure).toMatchObject({
        code: 'timeout',
        message: expect.stringContaining('no progress for 5 s'),
      });
      await impatient.close();
      expect(await shell(shared, LEFT)).toBe('one\ntwo\n');
    });
  });

  it('report why they were not written, and leave nothing', async () => {
    await inside({ env: { PATH } }, async (shared) => {
      const shells = '[[ $(< /proc/$p/comm) == bash ]] && kill -9 $p; kill -9 $PPID';
      await brokenCp(shared, `read -r _ _ _ p _ < /proc/$PPID/stat; ${shells}`);
      const files = ['one', 'two'].map((name) => file(`target/${name}`));
      await expect(engine.files.write(shared.sandboxId, files, null, timeoutSignal())).rejects.toMatchObject({
        code: 'server',
        message: expect.stringContaining('"/vercel/sandbox/target/one": its script was killed by signal 9'),
        hint: expect.stringMatching(/./),
      });
      expect(await shell(shared, LEFT)).toBe('');
    });
  });
});
