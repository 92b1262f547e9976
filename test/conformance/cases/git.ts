import { mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { expect } from 'vitest';
import { listenForGit } from '../../../src/server/http/git/git-listener.ts';
import { createLogger } from '../../../src/shared/log.ts';
import { git } from '../../support/host/git.ts';
import { describeCases } from '../support/contract-cases.ts';
import { timeoutSignal } from '../support/requests.ts';
import { run } from '../support/run.ts';
import type { Extent, Subject } from '../support/subject.ts';

const MAKE = `export GIT_AUTHOR_NAME=t GIT_AUTHOR_EMAIL=t@example.org GIT_COMMITTER_NAME=t GIT_COMMITTER_EMAIL=t@example.org
git init -q -b main fetched && cd fetched && head -c 2000000 /dev/urandom > large && git add large &&
git commit -qm 'from the sandbox'`;

/** Fetching from repositories in a sandbox, if the engine supports it. */
export function gitCases(get: () => Subject, extent: Extent): void {
  describeCases('git', extent, (it) => {
    it('of this machine fetches from the repository of a sandbox', async (context) => {
      const { engine, shared } = get();
      if (engine.git === undefined) return context.skip('nothing can be fetched from this engine');
      const made = await run(get(), 'bash', ['-c', MAKE]);
      expect(made).toMatchObject({ exitCode: 0 });
      const listener = await listenForGit(engine.git, createLogger('silent'));
      const url = listener.urlOf({ principal: 'local', sandboxId: shared.sandboxId });
      const host = await mkdtemp(join(tmpdir(), 'fetch-'));
      try {
        await git(host, 'init', '-q');
        await git(host, 'fetch', '-q', `${url}/fetched`, 'main:from-v2');
        await git(host, '-c', 'protocol.version=0', 'fetch', '-q', `${url}/fetched`, 'main:from-v0');
        expect(await git(host, 'log', '--format=%s', 'from-v2', 'from-v0')).toBe('from the sandbox\n');
        expect(await git(host, 'cat-file', '-s', 'from-v0:large')).toBe('2000000\n');
        await expect(git(host, 'fetch', `${url}/nothing`, 'main')).rejects.toThrow('no git repository at');
      } finally {
        listener.close();
        await rm(host, { recursive: true });
      }
    });

    it('fetches nothing from a sandbox that has ended', async (context) => {
      const { engine, create } = get();
      if (engine.git === undefined) return context.skip('nothing can be fetched from this engine');
      const { sandboxId } = await create();
      await engine.stop(sandboxId, 'requested', timeoutSignal());
      const wanted = { sandboxId, path: '', request: null, protocol: null };
      const chunks = engine.git.uploadPack(wanted, timeoutSignal())[Symbol.asyncIterator]();
      await expect(chunks.next()).rejects.toMatchObject({ code: 'conflict' });
    });
  });
}
