import { spawnSync } from 'node:child_process';
import { gzipSync } from 'node:zlib';
import { afterAll, beforeAll, expect } from 'vitest';
import type { CreateSandbox, NetworkPolicy, SandboxSource } from '../../../src/engines/engine.ts';
import { HOST_ADDRESS, openSourceServer, type SourceServer } from '../../support/source-server.ts';
import { tarOf, tgzOf } from '../../support/tarball.ts';
import { describeCases } from '../support/contract-cases.ts';
import { createRequest, timeoutSignal } from '../support/requests.ts';
import { run, start } from '../support/run.ts';
import type { Extent, Subject } from '../support/subject.ts';

const ALL: NetworkPolicy = { mode: 'allow-all' };
const PACKAGE = [
  { path: 'pkg/', type: 'Directory' as const },
  { path: 'pkg/read.me', content: 'hello\n' },
  { path: 'pkg/bin/tool', content: '#!/bin/sh\necho tool\n', mode: 0o755 },
  { path: 'pkg/link', type: 'SymbolicLink' as const, linkpath: 'bin/tool' },
];

function packed(program: string, bytes: Buffer): Buffer {
  const { stdout, status, error } = spawnSync(program, ['-c'], { input: bytes });
  if (status !== 0) throw new Error(`${program} cannot pack here`, { cause: error });
  return stdout;
}

/** Sources, if the engine can fetch them and this host has an address to serve them. */
export function sourceCases(get: () => Subject, extent: Extent): void {
  describeCases('sources', extent, (it) => {
    let server: SourceServer | null = null;
    let unable: string | null = null;
    /** Vercel's own service fetches sources: with its own messages, and without progress. */
    let isFetchedByService = false;

    beforeAll(async () => {
      const { engine } = get();
      const { networkModes } = await engine.limits(timeoutSignal());
      isFetchedByService = engine.name === 'vercel';
      if (!engine.sources?.types.includes('git')) unable = 'this engine fetches no sources';
      else if (!networkModes.includes('allow-all')) unable = 'sandboxes have no outbound network here';
      else if (get().remote) unable = 'the cloud cannot reach a server of this machine';
      else if (HOST_ADDRESS === null) unable = 'this host has only a loopback address';
      else server = await openSourceServer(HOST_ADDRESS);
    });
    afterAll(() => server?.close());

    /** The server, or a skip that says why there is none. */
    function serverFor(context: { skip: (note: string) => never }): SourceServer {
      return server ?? context.skip(unable ?? 'no server');
    }

    async function fails(source: SandboxSource, more: Partial<CreateSandbox> = {}) {
      const request = createRequest({ source, networkPolicy: ALL, ...more });
      try {
        const failure = await startCreate(request, timeoutSignal()).failure;
        const left = get().engine.get(request.sandboxId, timeoutSignal());
        await expect(left).rejects.toMatchObject({ code: 'not_found' });
        return failure;
      } finally {
        await get().engine.forget(request.sandboxId, timeoutSignal());
      }
    }

    /** Starts a create that should fail; `failure` is null if it succeeds. */
    function startCreate(request: CreateSandbox, signal: AbortSignal) {
      const failure = get()
        .engine.create(request, signal)
        .then(
          () => null,
          (error: unknown) => error,
        );
      /** Resolves with the event; throws if the create ends before. */
      const until = async (event: Promise<void>): Promise<void> => {
        const early = failure.then((cause) => {
          throw new Error('the creation ended before its source was requested', { cause });
        });
        await Promise.race([event, early]);
      };
      return { failure, until };
    }

    const revisions: [
      string,
      (commits: readonly string[]) => Partial<Extract<SandboxSource, { type: 'git' }>>,
      string,
      string,
    ][] = [
      ['the default branch', () => ({}), 'three', '3 main'],
      ['a shallow history', () => ({ depth: 1 }), 'three', '1 main'],
      ['a branch', () => ({ revision: 'old' }), 'one', '1 old'],
      ['a branch by its full name', () => ({ revision: 'refs/heads/old', depth: 1 }), 'one', '1 old'],
      ['a tag', () => ({ revision: 'v1', depth: 1 }), 'one', '1 HEAD'],
      ['a commit', ([, second]) => ({ revision: second, depth: 1 }), 'two', '1 HEAD'],
      ['a commit by its first digits', ([, second]) => ({ revision: second?.slice(0, 8) }), 'two', '2 HEAD'],
    ];
    it.for(revisions)('fetch a git repository: %s', async ([, part, text, state], context) => {
      const { url, commits } = serverFor(context);
      const source = { type: 'git' as const, url: `${url}/repo.git`, ...part(commits) };
      const { sandboxId, status, sourcePath } = await get().create({ source, networkPolicy: ALL });
      expect(status).toBe('running');
      const script =
        'cat file.txt; echo $(git rev-list --count HEAD) $(git rev-parse --abbrev-ref HEAD); git status --short; ls -A ~';
      const inRepository = { sandboxId, cwd: sourcePath };
      expect((await run(get(), 'bash', ['-c', script], inRepository)).stdout).toBe(`${text}\n${state}\n`);
      // The processes that fetched it are no longer listed.
      expect(await get().engine.commands.list(sandboxId, timeoutSignal())).toHaveLength(1);
    });

    it('report the progress of a fetch', async (context) => {
      const { url } = serverFor(context);
      const request = createRequest({ source: { type: 'git', url: `${url}/repo.git` }, networkPolicy: ALL });
      const lines: string[] = [];
      await get().engine.create(request, timeoutSignal(), (line) => lines.push(line));
      await get().engine.forget(request.sandboxId, timeoutSignal());
      expect(lines[0]).toBe(`Fetching ${url}/repo.git`);
      expect(lines.some((line) => line.startsWith('git: '))).toBe(!isFetchedByService);
    });

    const formats: [string, (tar: Buffer) => Buffer][] = [
      ['plain', (tar) => tar],
      ['gzip', (tar) => gzipSync(tar)],
      ['xz', (tar) => packed('xz', tar)],
      ['zstd', (tar) => packed('zstd', tar)],
    ];
    it.for(formats)(
      'fetch a tarball, %s, and strip its single top-level folder',
      async ([name, pack], context) => {
        const { url, serve } = serverFor(context);
        if (isFetchedByService) return context.skip('Vercel’s own service decides how archives are unpacked');
        serve(`/${name}`, pack(tarOf(PACKAGE)));
        const source = { type: 'tarball' as const, url: `${url}/${name}` };
        const { sandboxId } = await get().create({ source, networkPolicy: ALL });
        const script = 'ls -A . ~; cat read.me; ./link; stat -c "%a %Y" bin/tool';
        expect((await run(get(), 'bash', ['-c', script], { sandboxId })).stdout).toBe(
          '.:\nbin\nlink\nread.me\n\n/home/vercel-sandbox:\nhello\ntool\n755 1700000000\n',
        );
      },
    );

    it('fetch a tarball with every unpacker', async (context) => {
      const { url, serve } = serverFor(context);
      serve(
        '/flat',
        tgzOf(PACKAGE.map(({ path, ...entry }) => ({ path: path.replace('pkg/', './'), ...entry }))),
      );
      const source = { type: 'tarball' as const, url: `${url}/flat` };
      const { sandboxId } = await get().create({ source, networkPolicy: ALL });
      const { stdout } = await run(get(), 'bash', ['-c', 'cat read.me; ./link'], { sandboxId });
      expect(stdout).toBe('hello\ntool\n');
    });

    it('are fetched under the sandbox’s own policy', async (context) => {
      const { url, seen } = serverFor(context);
      const before = seen.length;
      const git = { type: 'git' as const, url: `${url}/repo.git` };
      for (const networkPolicy of [
        { mode: 'deny-all' as const },
        { mode: 'custom' as const, allow: ['example.com'] },
      ]) {
        expect(await fails(git, { networkPolicy })).toMatchObject({ code: 'permission' });
        expect(await fails({ type: 'tarball', url: `${url}/x` }, { networkPolicy })).toMatchObject({
          code: 'permission',
        });
      }
      expect(seen.length).toBe(before);
    });

    it.for<[string, Extract<SandboxSource, { url: string }>['type'], string, string, RegExp]>([
      ['a missing repository', 'git', '/none.git', 'not_found', /git said:/],
      ['a repository that requires a password', 'git', '/private.git', 'auth', /username and a password/],
      ['a redirect to a file', 'git', '/to-file', 'permission', /other than http or https/],
      ['a redirect to the sandbox itself', 'git', '/to-loopback', 'unavailable', /git said:/],
      ['a missing tarball', 'tarball', '/none', 'not_found', /404/],
      ['a redirect to a file', 'tarball', '/to-file', 'unavailable', /rotocol/],
      ['a web page', 'tarball', '/page', 'invalid_argument', /web page/],
      ['a truncated tarball', 'tarball', '/half', 'invalid_argument', /not a tarball|cannot be used|damaged/],
    ])('that fail leave nothing and report why: %s (%s)', async ([, type, path, code, words], context) => {
      const { url, on, serve } = serverFor(context);
      for (const [from, to] of [
        ['/to-file', 'file:///etc/passwd'],
        ['/to-loopback', 'http://127.0.0.1:1/x'],
      ] as const) {
        for (const suffix of ['', '/info/refs']) {
          on(
            `${from}${suffix}`,
            (_request, response) => void response.writeHead(302, { location: `${to}${suffix}` }).end(),
          );
        }
      }
      serve('/page', Buffer.from('<!DOCTYPE html><title>Sign in</title>'));
      const whole = tgzOf(PACKAGE);
      serve('/half', whole.subarray(0, whole.length / 2));
      expect(await fails({ type, url: `${url}${path}` })).toMatchObject({
        code,
        message: expect.stringMatching(isFetchedByService ? /Vercel said:/ : words),
      });
    });

    it('keep the sandbox pending until they are fetched, and end when it is stopped', async (context) => {
      const { engine, other } = get();
      const { url, on, next } = serverFor(context);
      on('/hang', () => undefined);
      const request = createRequest({ source: { type: 'tarball', url: `${url}/hang` }, networkPolicy: ALL });
      const { sandboxId } = request;
      const reached = next('/hang');
      const { failure, until } = startCreate(request, timeoutSignal());
      await until(reached);
      for (const each of [engine, other]) {
        expect(await each.get(sandboxId, timeoutSignal())).toMatchObject({ sandboxId, status: 'pending' });
      }
      await expect(start(get(), 'true', [], { sandboxId })).rejects.toMatchObject({ code: 'conflict' });
      await expect(engine.files.stat(sandboxId, '.', null, timeoutSignal())).rejects.toMatchObject({
        code: 'conflict',
      });
      expect(await engine.stop(sandboxId, 'requested', timeoutSignal())).toMatchObject({ status: 'stopped' });
      expect(await failure).toMatchObject({ code: 'conflict' });
      expect(await engine.get(sandboxId, timeoutSignal())).toMatchObject({
        status: 'stopped',
        stopCause: 'requested',
      });
      await engine.forget(sandboxId, timeoutSignal());
    });

    it('are abandoned when the call is cancelled', async (context) => {
      const { url, on, next } = serverFor(context);
      on('/hang', () => undefined);
      const caller = new AbortController();
      const request = createRequest({ source: { type: 'git', url: `${url}/hang` }, networkPolicy: ALL });
      on('/hang/info/refs', () => undefined);
      const reached = next('/hang/info/refs');
      const { failure, until } = startCreate(request, caller.signal);
      await until(reached);
      caller.abort();
      expect(await failure).toMatchObject({ code: 'cancelled' });
      await expect(get().engine.get(request.sandboxId, timeoutSignal())).rejects.toMatchObject({
        code: 'not_found',
      });
    });

    it("are limited by the sandbox's timeout", async (context) => {
      const { url, on } = serverFor(context);
      on('/hang', () => undefined);
      const source = { type: 'tarball' as const, url: `${url}/hang` };
      expect(await fails(source, { timeoutMs: 4_000 })).toMatchObject({
        code: 'timeout',
        message: expect.stringContaining('4000 ms'),
      });
    });
  });
}
