/** What the user is asked before it is done, in both eras. */
import { join } from 'node:path';
import { describe, expect, it } from 'vitest';
import { MemorySnapshots } from '../fakes/memory-snapshots.ts';
import { openWorld, temporaryFolder } from '../registry/support/registry.ts';
import { type HttpServer, type HttpServerOptions, startHttp } from './http/support/http-server.ts';
import { connectNewest } from './http/support/newest-client.ts';

const ERAS = ['legacy', 'pin'] as const;
type Era = (typeof ERAS)[number];

async function start(options: HttpServerOptions = {}): Promise<HttpServer> {
  const world = openWorld();
  world.engine.snapshots = new MemorySnapshots(world.engine, () => world.clock.now());
  world.engine.sources = { types: ['snapshot'] };
  return startHttp({ world, ...options });
}

/** A client whose user answers in turn, and the questions they were asked. */
async function connect(server: HttpServer, mode: Era, ...answers: ('accept' | 'decline' | 'cancel')[]) {
  const questions: string[] = [];
  const answer = (question: string) => {
    questions.push(question);
    return answers.shift() ?? 'cancel';
  };
  return { ...(await connectNewest(server, { mode, answer })), questions };
}

describe.each(ERAS)('in the era %s, the user is asked before', (era) => {
  it('a snapshot is deleted that others stand on', async () => {
    const { call, questions } = await connect(await start(), era, 'decline', 'cancel', 'accept');
    const { sandbox_id: origin } = await call('sandbox_create');
    const { snapshot_id } = await call('sandbox_snapshot', { sandbox_id: origin });
    const source = { type: 'snapshot', snapshot_id };
    const { sandbox_id } = await call('sandbox_create', { source });
    const { snapshot_id: next } = await call('sandbox_snapshot', { sandbox_id });
    const { sandbox_id: copy } = await call('sandbox_create', { source });
    const { snapshot_id: alone } = await call('sandbox_snapshot', { sandbox_id: copy });
    expect((await call('snapshot_delete', { snapshot_id: alone })).text).toContain('deleted');
    expect(questions).toEqual([]);
    expect((await call('snapshot_delete', { snapshot_id })).text).toMatch(
      /permission.*declined; nothing was done/,
    );
    expect((await call('snapshot_delete', { snapshot_id })).text).toMatch(/permission.*did not answer/);
    expect(await call('snapshot_get', { snapshot_id })).toMatchObject({ snapshot_id });
    expect((await call('snapshot_delete', { snapshot_id })).text).toContain('deleted');
    const question = `Delete snapshot ${String(snapshot_id)}? It is the source of ${String(next)}.`;
    expect(questions).toEqual([question, question, question]);
  });

  it('the changes of a workspace are applied', async () => {
    const folder = temporaryFolder();
    const world = openWorld();
    const entry = { type: 'file' as const, mode: 0o644, sizeBytes: 1, modifiedAt: 0 };
    const change = { path: 'a\nb', status: 'modified' as const, from: null, before: entry, after: entry };
    const changes = [
      { ...change, refused: null },
      { ...change, path: 'c', refused: 'it was changed on the host' },
    ];
    const applied: string[][] = [];
    const calls: string[] = [];
    world.engine.workspaces = {
      changes: async () => {
        calls.push('changes');
        return { localPath: join(folder, 'local'), path: '/vercel/sandbox', changes, ignored: 0, skipped: 0 };
      },
      read: async () => null,
      finishApply: async () => {
        calls.push('finishApply');
      },
      apply: async (_sandboxId, agreed) => {
        applied.push(agreed.map(({ path }) => path));
        return { applied: changes.slice(0, 1), refused: [] };
      },
    };
    const server = await startHttp({ world, flags: { 'allow-dir': folder } });
    const { call, questions } = await connect(server, era, 'decline', 'accept');
    await call('sandbox_create');
    expect(await call('sandbox_apply_changes', { dry_run: true })).toMatchObject({
      applied: [{ path: 'a\nb' }],
    });
    expect(calls).toEqual(['changes']);
    calls.pop();
    // A patch has what an apply would write.
    const { diff } = await call('sandbox_changes', { format: 'patch' });
    expect(diff).toBe('diff --git "a/a\\012b" "b/a\\012b"\n');
    const refusing = await call('sandbox_apply_changes', { paths: ['c', '.git'] });
    expect(refusing).toMatchObject({
      counts: { applied: 0, refused: 2 },
      refused: [
        { path: 'c', refused: 'it was changed on the host' },
        { path: '.git', status: null },
      ],
    });
    // Not that nothing has changed in there.
    expect(refusing.text).toContain('nothing there can be applied: not .git (fetch commits from git_url)');
    // What was interrupted is finished before the list that the user agrees to.
    expect(calls).toEqual(['changes', 'finishApply', 'changes']);
    expect(questions).toEqual([]);
    expect((await call('sandbox_apply_changes')).text).toContain('nothing was done');
    expect(applied).toEqual([]);
    expect(await call('sandbox_apply_changes')).toMatchObject({ refused: [{ path: 'c' }] });
    expect(applied).toEqual([['a\nb']]);
    const question = `Write 1 changed file to ${join(folder, 'local')}? modified "a\\nb" (1 byte).`;
    expect(questions).toEqual([question, question]);
  });

  it('changes are applied, for all of them and not for others', async () => {
    const folder = temporaryFolder();
    const world = openWorld();
    const entry = { type: 'file' as const, mode: 0o644, sizeBytes: 1, modifiedAt: 0 };
    const added = (path: string) => ({
      path,
      status: 'added' as const,
      from: null,
      before: null,
      after: entry,
      refused: null,
    });
    const many = Array.from({ length: 211 }, (_, index) => added(`!${index}`));
    const lists = [
      [...many, added('notes'), added('package.json')],
      [...many, added('package.json'), added('x')],
    ];
    const applied: string[][] = [];
    world.engine.workspaces = {
      changes: async () => {
        const changes = (lists.length > 1 ? lists.shift() : lists[0]) ?? [];
        return { localPath: join(folder, 'local'), path: '/vercel/sandbox', changes, ignored: 0, skipped: 0 };
      },
      read: async () => null,
      finishApply: async () => {},
      apply: async (_sandboxId, agreed) => {
        applied.push(agreed.map(({ path }) => path));
        return { applied: [...agreed], refused: [] };
      },
    };
    const server = await startHttp({ world, flags: { 'allow-dir': folder } });
    const { call, questions } = await connect(server, era, 'accept');
    await call('sandbox_create');
    const answer = await call('sandbox_apply_changes');
    // What programs of the host may run cannot be pushed out of sight.
    expect(questions[0]).toContain('? added "package.json" (1 byte), added "!0" (1 byte)');
    // In the newer era the call is made again, and lists again: the user agreed to something else.
    if (era === 'pin') {
      expect(questions).toHaveLength(2);
      expect(answer.text).toContain('nothing was done');
      expect(applied).toEqual([]);
    } else {
      expect(applied).toEqual([[...many.map(({ path }) => path), 'notes', 'package.json']]);
      // A model need not read all of them.
      expect(answer).toMatchObject({
        counts: { applied: 213, refused: 0 },
        executes_on_host: ['package.json'],
      });
      expect(answer['applied']).toHaveLength(200);
    }
  });

  it('a sandbox of another session is stopped', async () => {
    const server = await start();
    const owner = await connect(server, era);
    const { sandbox_id } = await owner.call('sandbox_create', {}, 'one');
    const { sandbox_id: own } = await owner.call('sandbox_create', {}, 'one');
    const other = await connect(server, era, 'decline', 'accept');
    expect((await other.call('sandbox_stop', { sandbox_id }, 'two')).text).toContain('nothing was done');
    expect(await owner.call('sandbox_get', { sandbox_id }, 'one')).toMatchObject({ status: 'running' });
    const stopped = await other.call('sandbox_stop', { sandbox_id, blocking: true }, 'two');
    expect(stopped).toMatchObject({ status: 'stopped' });
    expect(other.questions[0]).toMatch(/^Stop sandbox sbx_\w+\? Another session/);
    await owner.call('sandbox_stop', { sandbox_id: own }, 'one');
    expect(owner.questions).toEqual([]);
  });

  it('a sandbox of another session is stopped for a snapshot', async () => {
    const server = await start();
    const owner = await connect(server, era);
    const { sandbox_id } = await owner.call('sandbox_create', {}, 'one');
    const other = await connect(server, era, 'decline', 'accept');
    const refused = await other.call('sandbox_snapshot', { sandbox_id }, 'two');
    expect(refused.text).toContain('nothing was done');
    expect(await owner.call('sandbox_get', { sandbox_id }, 'one')).toMatchObject({ status: 'running' });
    const taken = await other.call('sandbox_snapshot', { sandbox_id }, 'two');
    expect(taken).toMatchObject({ sandbox_status: 'stopped' });
    expect(other.questions[0]).toMatch(/^Stop sandbox sbx_\w+ for a snapshot\? Another session/);
    const { sandbox_id: own } = await owner.call('sandbox_create', {}, 'one');
    await owner.call('sandbox_snapshot', { sandbox_id: own }, 'one');
    expect(owner.questions).toEqual([]);
  });

  it('a sandbox of a conversation is stopped outside of it', async () => {
    const server = await start();
    const owner = await connect(server, era);
    const { sandbox_id } = await owner.call('sandbox_create', {}, 'one');
    const { call, questions } = await connect(server, era, 'decline');
    const { sandbox_id: own } = await call('sandbox_create');
    expect((await call('sandbox_stop', { sandbox_id })).text).toContain('nothing was done');
    expect(questions).toHaveLength(1);
    expect(await call('sandbox_stop', { sandbox_id: own, blocking: true })).toMatchObject({
      status: 'stopped',
    });
    expect(questions).toHaveLength(1);
  });

  it('the first cloud sandbox of a session is created', async () => {
    const { call, questions } = await connect(
      await start({ flags: { engine: 'vercel' } }),
      era,
      'decline',
      'accept',
    );
    expect((await call('sandbox_create')).text).toContain('nothing was done');
    expect(await call('sandbox_list')).toMatchObject({ sandboxes: [] });
    expect(await call('sandbox_create')).toHaveProperty('sandbox_id');
    expect(await call('sandbox_create')).toHaveProperty('sandbox_id');
    expect(questions).toHaveLength(2);
  });

  it('nothing where the client cannot ask', async () => {
    const server = await start({ flags: { engine: 'vercel' } });
    const [one, two] = await Promise.all([1, 2].map(() => connectNewest(server, { mode: era })));
    const created = await one?.call('sandbox_create', {}, 'one');
    const given = { sandbox_id: created?.['sandbox_id'], blocking: true };
    const stopped = await two?.call('sandbox_stop', given, 'two');
    expect(stopped).toMatchObject({ status: 'stopped' });
  });
});
