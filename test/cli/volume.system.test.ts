/** Named volumes: they outlive sandboxes, are shared, bounded, and removed by `sandbox-mcp volume`. */
import { mkdir, mkdtemp, readdir, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { createRegistry } from '../../src/registry/registry.ts';
import { systemClock } from '../../src/shared/clock.ts';
import { createLogger } from '../../src/shared/log.ts';
import { timeoutSignal } from '../conformance/support/requests.ts';
import { run } from '../conformance/support/run.ts';
import { openImagePlace } from '../images/support/image-place.ts';
import { defaultConfig, plainRequest } from '../registry/support/requests.ts';
import { runVerb } from '../support/run-verb.ts';
import { type RunningServer, startServer } from '../support/server.ts';

const LIMITS = ['--volume-mb', '64', '--max-volumes', '2'];

let server: RunningServer;
let outside = '';

beforeAll(async () => {
  server = await startServer({ args: LIMITS });
  outside = await mkdtemp(join(tmpdir(), 'outside-'));
});

afterAll(async () => {
  await server.close();
  await rm(outside, { recursive: true, force: true });
});

async function create(more: Record<string, unknown>): Promise<string> {
  const { structured, text } = await server.call('sandbox_create', more);
  expect(structured, text).toMatchObject({ status: 'running' });
  return String(structured['sandbox_id']);
}

async function sh(script: string, sandboxId: string): Promise<unknown> {
  const command = { cmd: 'sh', args: ['-c', script], sandbox_id: sandboxId };
  const { structured } = await server.call('sandbox_run_command', command);
  return structured['stdout'] ?? structured['output'];
}

const volume = (...args: string[]) => runVerb(['volume', ...args, '--state-dir', server.stateDir]);
const stop = (sandboxId: string) => server.call('sandbox_stop', { sandbox_id: sandboxId, blocking: true });

describe('a named volume', () => {
  it('keeps files after a stop and a snapshot, and is shared, also for reading alone', async () => {
    expect(await volume('list')).toEqual({ code: 0, out: 'No volumes.\n', err: '' });
    const cache = { name: 'cache', path: '/vercel/sandbox/cache' };
    const first = await create({ volumes: [cache] });
    expect(await sh('echo one > cache/file && stat -c %U:%a cache && id -un', first)).toMatch(
      /^(\S+):755\n\1\n$/,
    );

    const second = await create({ volumes: [{ ...cache, path: '/data/deep' }] });
    expect(await sh('cat /data/deep/file; echo two >> /data/deep/file; echo $?', second)).toBe('one\n0\n');
    const reader = await create({ volumes: [{ ...cache, path: '/srv/cache', read_only: true }] });
    expect(await sh('cat /srv/cache/file; { echo x > /srv/cache/new; } 2>&1', reader)).toMatch(
      /^one\ntwo\n.*Read-only file system/s,
    );
    expect(await sh('ls cache', first)).toBe('file\n');

    expect((await volume('list')).out).toMatch(
      /^VOLUME +PRINCIPAL +SIZE +AGE +IN USE BY\ncache +local +0\.0 MB /,
    );
    const listed: unknown = JSON.parse((await volume('list', '--json')).out);
    expect(listed).toMatchObject([{ principal: 'local', name: 'cache' }]);
    for (const sandboxId of [first, second, reader]) expect(JSON.stringify(listed)).toContain(sandboxId);
    const refused = await volume('remove', 'cache');
    expect(refused.code).toBe(1);
    expect(refused.err).toContain('Volume "cache" is in use by ');
    expect((await volume('prune')).out).toBe('No unused volumes.\n');

    const { structured } = await server.call('sandbox_snapshot', { sandbox_id: first, name: 'template' });
    await stop(second);
    await stop(reader);
    expect(structured['next']).toContain('sandbox_create runtime=template restores it.');
    const source = { type: 'snapshot', snapshot_id: structured['snapshot_id'] };
    const restored = await create({ source });
    expect(await sh('ls -A cache', restored)).toBe('');
    await stop(restored);
    const last = await create({ runtime: 'template', volumes: [cache] });
    expect(await sh('cat cache/file', last)).toBe('one\ntwo\n');
    await stop(last);
  });

  it('is removed without following the links in it', async () => {
    await mkdir(join(outside, 'folder'));
    await writeFile(join(outside, 'folder/file'), 'kept');
    const untrusted = await create({ volumes: [{ name: 'cache', path: '/data' }] });
    await sh(`ln -s ${outside}/folder /data/link; ln -s / /data/root; chmod 0 /data; true`, untrusted);
    await stop(untrusted);
    expect((await volume('list')).out).toMatch(/\ncache +local .* -\n$/);
    expect(await volume('remove', 'cache')).toEqual({ code: 0, out: 'removed  cache\n', err: '' });
    expect(await readdir(join(outside, 'folder'))).toEqual(['file']);
    expect(await readdir(join(server.stateDir, 'volumes'))).toEqual([]);
    expect((await volume('remove', 'cache')).err).toContain('There is no volume named "cache".');
  });

  it('ends a sandbox that fills it beyond its limit, and their number is limited', async () => {
    const volumes = [
      { name: 'full', path: '/data' },
      { name: 'other', path: '/other' },
    ];
    const full = await create({ volumes });
    const third = await server.call('sandbox_create', { volumes: [{ name: 'third', path: '/data' }] });
    expect(third.text).toContain('There are 2 volumes; "third" would be one too many.');
    await server.call('sandbox_run_command', {
      cmd: 'sh',
      args: ['-c', 'head -c 80000000 /dev/zero > /data/zeros; sleep 600'],
      sandbox_id: full,
    });
    const { structured } = await server.call('sandbox_get', { sandbox_id: full });
    expect(structured).toMatchObject({ status: 'aborted' });
    expect(JSON.stringify(structured)).toContain('The files of volume full took ');
    expect((await volume('prune')).out).toMatch(
      /^removed {2}full {2}7\d\.\d MB\nremoved {2}other {2}0\.0 MB\n$/,
    );
  });

  it('of one principal is not that of another, who has limits of its own', async () => {
    const place = await openImagePlace({ volumeLimits: { mb: null, count: 1 } });
    const { engine, stateDir } = place;
    const sandboxes = createRegistry({
      ...{ engine, stateDir, config: defaultConfig },
      ...{ clock: systemClock, log: createLogger('silent') },
    });
    const script = async (principal: string, words: string) => {
      const volumes = [{ name: 'cache', path: '/data', readOnly: false }];
      const session = sandboxes.openSession(principal);
      const { sandboxId } = await session.create({ ...plainRequest, volumes }, timeoutSignal());
      const shared = await engine.get(sandboxId, timeoutSignal());
      const subject = { engine, other: engine, shared, create: () => Promise.reject(new Error('one')) };
      return (await run(subject, 'sh', ['-c', words])).stdout;
    };
    try {
      expect(await script('alice', 'echo hers > /data/file; cat /data/file')).toBe('hers\n');
      expect(await script('bob', 'ls -A /data; echo his > /data/file')).toBe('');
      expect(await script('alice', 'cat /data/file')).toBe('hers\n');
      const listed = await runVerb(['volume', 'list', '--json', '--state-dir', stateDir]);
      const owners = ['alice', 'bob'].map((principal) => ({ principal, name: 'cache' }));
      expect(JSON.parse(listed.out)).toMatchObject(owners);
    } finally {
      await sandboxes.close('shutdown');
      await place.close();
    }
  });

  it.each([
    ['/usr', 'Volume "v" cannot be mounted at /usr.'],
    ['/proc/x', 'Volume "v" cannot be mounted at /proc/x.'],
    ['/run/sandbox-mcp', 'Volume "v" cannot be mounted at /run/sandbox-mcp.'],
    ['/.agent/x', 'Volume "v" cannot be mounted at /.agent/x.'],
    ['/data/../etc', 'an absolute path without . and ..'],
    ['data', 'an absolute path without . and ..'],
  ])('is not mounted at %s', async (path, problem) => {
    const { isError, text } = await server.call('sandbox_create', { volumes: [{ name: 'v', path }] });
    expect(isError).toBe(true);
    expect(text).toContain(problem);
    expect(await readdir(join(server.stateDir, 'volumes'))).toEqual([]);
  });

  it('is refused under two names in one place', async () => {
    const volumes = [
      { name: 'a', path: '/data' },
      { name: 'b', path: '/data/b' },
    ];
    const { text } = await server.call('sandbox_create', { volumes });
    expect(text).toContain('The volumes a at /data and b at /data/b collide.');
  });
});
