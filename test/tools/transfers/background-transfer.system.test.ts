import { createHash } from 'node:crypto';
import { mkdir, readdir, readFile, rm, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import type { RequestOptions } from '@modelcontextprotocol/sdk/shared/protocol.js';
import { afterAll, beforeAll, beforeEach, describe, expect, it } from 'vitest';
import { outputOf } from '../../support/answers.ts';
import type { Answer } from '../../support/server.ts';
import { type LocalServer, openLocalServer } from '../support/local-server.ts';

/** Longer than any wait that must end in time, shorter than a test. */
const SOFT_TIMEOUT_MS = 250;

let server: LocalServer;
beforeAll(async () => {
  server = await openLocalServer(SOFT_TIMEOUT_MS);
});
afterAll(() => server.close());

/** A create may exceed the soft timeout too. */
async function create(on: LocalServer, args: Record<string, unknown> = {}): Promise<Answer> {
  const made = await on.call('sandbox_create', args);
  if (made.structured['status'] !== 'pending') return made;
  return on.call('sandbox_wait_for_status', { status: 'running', timeout_ms: 50_000 });
}

const bash = (script: string) => outputOf(server, script);

function sha256(text: string): string {
  return createHash('sha256').update(text).digest('hex');
}

/** Repeats the same call until it is done, as its `next` says. */
async function untilDone(
  name: string,
  args: Record<string, unknown>,
  options: RequestOptions = {},
): Promise<Answer> {
  for (;;) {
    const answer = await server.call(name, args, options);
    if (answer.structured['status'] !== 'running') return answer;
  }
}

describe('a transfer that runs longer than the soft timeout', () => {
  beforeAll(async () => {
    await create(server);
    await mkdir(join(server.cwd, 'tree'));
    for (const name of ['a', 'b', 'c']) await writeFile(join(server.cwd, 'tree', name), name.repeat(1_000));
    await bash('mkdir -p out; for name in a b c; do echo $name > out/$name; done');
  });

  const up = { local_path: 'tree', remote_path: 'tree' };
  const down = { remote_path: 'out', local_path: 'out' };

  it('returns its progress, continues, and gives its result to a repeated call once', async () => {
    const { reached, release } = server.hold('tree');
    expect((await server.call('sandbox_upload_file', up)).structured['status']).toBe('running');
    await reached;
    const handed = () => server.call('sandbox_upload_file', up).then(({ structured }) => structured);
    // Prefetched data counts as soon as it is sent.
    await expect.poll(async () => (await handed())['bytes']).toBe(1_000);
    expect(await handed()).toMatchObject({
      local_path: join(server.cwd, 'tree'),
      remote_path: '/vercel/sandbox/tree',
      status: 'running',
      files: 0,
      bytes: 1_000,
      sha256: null,
      next: expect.stringMatching(/call sandbox_upload_file with the same arguments and sandbox_id=sbx_/),
    });
    expect(await bash('ls')).toBe('out\n');
    release();
    // Equivalent requests: neither starts a second transfer.
    const same = { local_path: './tree/', remote_path: '/vercel/sandbox/tree', exclude: [] };
    const done = await untilDone('sandbox_upload_file', same);
    expect(done.structured).toMatchObject({ status: 'done', files: 3, bytes: 3_000, next: null });
    await writeFile(join(server.cwd, 'tree', 'd'), 'd');
    const repeated = await untilDone('sandbox_upload_file', up);
    expect(repeated.structured).toMatchObject({ status: 'done', files: 4 });
  });

  it('keeps a result that is ready between two calls', async () => {
    await writeFile(join(server.cwd, 'one'), 'first');
    const one = { local_path: 'one', remote_path: 'one' };
    const { release } = server.hold('tree');
    expect((await server.call('sandbox_upload_file', one)).structured['status']).toBe('running');
    release();
    await expect.poll(() => bash('cat one || true')).toBe('first');
    await writeFile(join(server.cwd, 'one'), 'second');
    const fetched = await untilDone('sandbox_upload_file', one);
    expect(fetched.structured).toMatchObject({ status: 'done', sha256: sha256('first') });
    const repeated = await untilDone('sandbox_upload_file', one);
    expect(repeated.structured).toMatchObject({ status: 'done', sha256: sha256('second') });
  });

  it('reports its failure to a repeated call', async () => {
    const { reached, release } = server.hold('tree');
    const wish = { ...down, local_path: 'failing', overwrite: 'refuse' };
    const handed = await server.call('sandbox_download_file', wish);
    expect(handed.structured).toMatchObject({ status: 'running', sha256: null });
    await reached;
    await mkdir(join(server.cwd, 'failing'));
    await writeFile(join(server.cwd, 'failing', 'mine'), 'stays');
    release();
    let failed: Answer;
    do failed = await server.call('sandbox_download_file', wish);
    while (failed.structured['status'] === 'running');
    expect(failed).toMatchObject({ isError: true, text: expect.stringContaining('Error (conflict)') });
    expect(await readdir(join(server.cwd, 'failing'))).toEqual(['mine']);
  });

  it('shows its progress to each call that waits for it', async () => {
    const { reached, release } = server.hold('tree');
    const seen: string[] = [];
    const onprogress = ({ message }: { message?: string | undefined }): number => seen.push(message ?? '');
    const wish = { ...up, remote_path: 'shown' };
    const show = () => server.call('sandbox_upload_file', wish, { onprogress }).then(() => seen);
    await show();
    await reached;
    await expect.poll(show).toContain('0 files, 1,000 bytes');
    // A call that joins is shown the progress so far, although nothing changes while it waits.
    seen.length = 0;
    expect(await show()).toContain('0 files, 1,000 bytes');
    const second = untilDone('sandbox_upload_file', wish, { onprogress });
    release();
    await second;
    expect(seen.at(-1)).toBe('4 files, 3,001 bytes');
  });

  it('continues when a call that has joined it is cancelled', async () => {
    const { release } = server.hold('tree');
    const wish = { ...down, local_path: 'joined' };
    expect((await server.call('sandbox_download_file', wish)).structured['status']).toBe('running');
    const controller = new AbortController();
    const joined = server.call('sandbox_download_file', wish, { signal: controller.signal });
    controller.abort();
    await expect(joined).rejects.toThrow();
    release();
    expect((await untilDone('sandbox_download_file', wish)).structured).toMatchObject({ files: 3 });
    expect((await readdir(join(server.cwd, 'joined'))).sort()).toEqual(['a', 'b', 'c']);
    expect(await readFile(join(server.cwd, 'joined/c'), 'utf8')).toBe('c\n');
  });
});

describe('a transfer whose call is still waiting', () => {
  it('is undone when that call is cancelled', async () => {
    const patient = await openLocalServer(55_000);
    try {
      await create(patient);
      await mkdir(join(patient.cwd, 'in'));
      for (const name of ['in/a', 'in/b']) await writeFile(join(patient.cwd, name), name);
      const list = async (): Promise<unknown> => {
        const ls = { cmd: 'ls', args: ['-A', '.', 'out'] };
        return (await patient.call('sandbox_run_command', ls)).structured['stdout'];
      };
      const fill = { cmd: 'bash', args: ['-c', 'mkdir out; echo a > out/a; echo b > out/b'] };
      await patient.call('sandbox_run_command', fill);
      const before = await list();
      for (const [tool, wish] of [
        ['sandbox_upload_file', { local_path: 'in', remote_path: 'cancelled' }],
        ['sandbox_download_file', { remote_path: 'out', local_path: 'cancelled' }],
      ] as const) {
        const { reached, release } = patient.hold('tree');
        const controller = new AbortController();
        const call = patient.call(tool, wish, { signal: controller.signal });
        await reached;
        controller.abort();
        await expect(call).rejects.toThrow();
        release();
        await expect.poll(() => readdir(patient.cwd)).toEqual(['in']);
        await expect.poll(list).toBe(before);
        // The same call starts again.
        expect((await patient.call(tool, wish)).structured).toMatchObject({ status: 'done', files: 2 });
        await rm(join(patient.cwd, 'cancelled'), { recursive: true, force: true });
        await patient.call('sandbox_run_command', { cmd: 'rm', args: ['-rf', 'cancelled'] });
      }
    } finally {
      await patient.close();
    }
  });
});

describe('the end of a running transfer', () => {
  beforeEach(async () => {
    await create(server);
    await bash('mkdir out; echo a > out/a; echo b > out/b');
  });

  async function begun(
    name: string,
  ): Promise<{ up: Record<string, unknown>; down: Record<string, unknown> }> {
    await mkdir(join(server.cwd, name));
    for (const file of ['a', 'b']) await writeFile(join(server.cwd, name, file), file);
    const up = { local_path: name, remote_path: 'in' };
    const down = { remote_path: 'out', local_path: `${name}-out` };
    server.hold('tree');
    expect((await server.call('sandbox_upload_file', up)).structured['status']).toBe('running');
    expect((await server.call('sandbox_download_file', down)).structured['status']).toBe('running');
    return { up, down };
  }

  it('comes with a stop of the sandbox, which undoes it and says so', async () => {
    const { up, down } = await begun('stopped');
    const stopped = await server.call('sandbox_stop', { blocking: true });
    expect(stopped.structured).toMatchObject({ status: 'stopped', next: null });
    expect((await readdir(server.cwd)).filter((name) => name.includes('stopped-out'))).toEqual([]);
    for (const [tool, args] of [
      ['sandbox_upload_file', up],
      ['sandbox_download_file', down],
    ] as const) {
      const failed = await server.call(tool, args);
      expect(failed.text).toMatch(/Error \(conflict\): The transfer ended with sandbox/);
      expect((await server.call(tool, args)).text).toMatch(/Error \(conflict\): Sandbox .* is stopped/);
    }
  });

  it('does not come with a snapshot rejected for its expiry', async () => {
    const { down } = await begun('refused');
    for (const expiration_ms of [1, 3_600_000, 86_399_999, Number.MAX_SAFE_INTEGER]) {
      const refused = await server.call('sandbox_snapshot', { expiration_ms });
      expect(refused.text).toContain(
        `\`expiration_ms\` must be 0 (never) or at least 86400000, not ${expiration_ms}.`,
      );
    }
    expect((await server.call('sandbox_download_file', down)).structured['status']).toBe('running');
    await server.call('sandbox_stop', { blocking: true });
  });

  it('comes with a snapshot, which says so and contains nothing of the upload', async () => {
    const { up } = await begun('snapped');
    await server.call('sandbox_snapshot');
    await server.call('sandbox_wait_for_status', { status: 'stopped' });
    const failed = await server.call('sandbox_upload_file', up);
    expect(failed.text).toMatch(/Error \(conflict\): The transfer was stopped by a snapshot of sandbox/);
    expect(failed.text).toContain('snapshot_list');
    const listed = await server.call('snapshot_list', { limit: 1 });
    const snapshot_id = /snap_\w+/.exec(listed.text)?.[0];
    await create(server, { source: { type: 'snapshot', snapshot_id } });
    expect(await bash('ls -A')).toBe('out\n');
    await server.call('sandbox_stop', { blocking: true });
    await server.call('snapshot_delete', { snapshot_id });
  });

  it('comes with the end of the session, which undoes it', async () => {
    const other = await openLocalServer(SOFT_TIMEOUT_MS);
    try {
      await create(other);
      await other.call('sandbox_run_command', { cmd: 'bash', args: ['-c', 'mkdir out; touch out/a out/b'] });
      const { reached } = other.hold('tree');
      const wish = { remote_path: 'out', local_path: 'result' };
      expect((await other.call('sandbox_download_file', wish)).structured['status']).toBe('running');
      await reached;
      expect(await readdir(other.cwd)).toHaveLength(1);
      await other.session.end('shutdown');
      expect(await readdir(other.cwd)).toEqual([]);
    } finally {
      await other.close();
    }
  });
});

describe('stop and snapshot that run longer than the soft timeout', () => {
  it('a blocking stop returns stopping, and the call that waits', async () => {
    await create(server);
    const { release } = server.hold('stop');
    const handed = await server.call('sandbox_stop', { blocking: true, timeout_ms: 1 });
    expect(handed.structured['status']).toMatch(/^(stopping|stopped)$/);
    if (handed.structured['status'] === 'stopping')
      expect(handed.structured['next']).toMatch(
        /^sandbox_wait_for_status sandbox_id=sbx_\w+ status=stopped$/,
      );
    release();
    const waited = await server.call('sandbox_wait_for_status', { status: 'stopped' });
    expect(waited.structured).toMatchObject({ status: 'stopped' });
  });

  it('a snapshot returns where it is, continues, and is found', async () => {
    const created = await create(server);
    const sandbox_id = created.structured['sandbox_id'];
    await bash('echo kept > file');
    const { reached, release } = server.hold('snapshot');
    const handed = await server.call('sandbox_snapshot');
    expect(handed.structured).toMatchObject({
      status: 'creating',
      source_sandbox_id: sandbox_id,
      next: `sandbox_wait_for_status sandbox_id=${sandbox_id} status=stopped, then snapshot_list`,
    });
    await reached;
    release();
    const waited = await server.call('sandbox_wait_for_status', { status: 'stopped' });
    expect(waited.structured).toMatchObject({ status_reason: 'stopped by a snapshot' });
    const listed = await server.call('snapshot_list', { limit: 1 });
    const snapshot_id = /snap_\w+/.exec(listed.text)?.[0];
    const restored = await create(server, { source: { type: 'snapshot', snapshot_id } });
    expect(restored.isError).toBe(false);
    expect(await bash('cat file')).toBe('kept\n');
    await server.call('sandbox_stop', { blocking: true });
    await server.call('snapshot_delete', { snapshot_id });
  });
});
