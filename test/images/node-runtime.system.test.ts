/** Node releases as runtimes, from a local registry, and from the real one if it can be reached. */
import { mkdir, readdir, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import { createRequest, timeoutSignal } from '../conformance/support/requests.ts';
import { runVerb } from '../support/run-verb.ts';
import { startServer } from '../support/server.ts';
import { type FakeRegistry, startFakeRegistry } from './support/fake-registry.ts';
import { type ImagePlace, openImagePlace } from './support/image-place.ts';

describe('a Node release as a runtime', () => {
  let registry: FakeRegistry;
  let place: ImagePlace;

  beforeEach(async () => {
    registry = await startFakeRegistry();
    place = await openImagePlace({ npm: { registry: registry.address, caFile: null, files: [] } });
    await place.images.list(timeoutSignal());
  });

  afterEach(async () => {
    await place.close();
    await registry.close();
  });

  const create = (runtime: string, signal = timeoutSignal()) =>
    place.engine.create(createRequest({ runtime }), signal);

  it('is the newest of its major version, first in PATH, with its matching npm', async () => {
    const said = await place.script(
      'node22',
      'command -v node; node -v; npm; npx; cat /vercel/runtimes/node22/lib/node_modules/npm/package.json; echo; ls /vercel/runtimes/node22',
      false,
    );
    expect(said.split('\n')).toEqual([
      '/vercel/runtimes/node22/bin/node',
      'v22.11.0',
      'node ran /vercel/runtimes/node22/bin/npm',
      'node ran /vercel/runtimes/node22/bin/npx',
      expect.stringContaining('10.9.0'),
      'bin',
      'lib',
    ]);
    expect(await place.images.list(timeoutSignal())).toMatchObject([
      { name: 'node22', kind: 'node', version: '22.11.0', usedBy: [] },
    ]);
    // Agents wrap every line in a login shell.
    const shells = ['bash -c', 'bash -lc', 'bash -lic', 'sh -c', 'sh -lc'];
    const lines = shells.map((shell) => `${shell} 'node -v' 2> /dev/null`);
    for (const sudo of [false, true])
      expect(await place.script('node24', lines.join('; '), sudo)).toBe(
        shells.map(() => 'v24.0.0').join('\n'),
      );
  });

  it('is fetched once by two concurrent servers, and is read-only to sandboxes', async () => {
    const other = place.another();
    const made = await Promise.all([
      create('node22'),
      create('node22'),
      other.create(createRequest({ runtime: 'node22' }), timeoutSignal()),
    ]);
    expect(registry.requested.filter((path) => path.endsWith('.tgz'))).toHaveLength(2);
    expect(await place.left()).toEqual(['node22']);
    for (const { sandboxId, runtime } of made) {
      expect(runtime).toBe('node22');
      await place.engine.forget(sandboxId, timeoutSignal());
    }
    await place.script(
      'node22',
      'rm -rf /vercel/runtimes/node22 && ! command -v npx || test -e /usr/bin/npx',
    );
    expect(await place.script('node22', 'node -v')).toBe('v22.11.0');
    expect(registry.requested.filter((path) => path.endsWith('.tgz'))).toHaveLength(2);
  });

  it('is requested again after a transient registry error', async () => {
    let refused = 0;
    registry.intercept = (path, response) => {
      if (!path.endsWith('/npm') || refused > 0) return false;
      refused += 1;
      response.statusCode = 503;
      response.end();
      return true;
    };
    expect(await place.script('node22', 'node -v')).toBe('v22.11.0');
    expect(refused).toBe(1);
  });

  it('is rejected with the available versions, and leaves nothing', async () => {
    const available = { hint: expect.stringMatching(/Here already: host, /) };
    await expect(create('node99')).rejects.toMatchObject({
      code: 'invalid_argument',
      message: expect.stringContaining('Node 99'),
      ...available,
    });
    registry.lies = true;
    await expect(create('node22')).rejects.toMatchObject({
      code: 'unavailable',
      message: expect.stringContaining('digest'),
      ...available,
    });
    registry.lies = false;
    registry.intercept = (path, response) => {
      if (path.endsWith('.tgz')) response.destroy();
      return path.endsWith('.tgz');
    };
    await expect(create('node22')).rejects.toMatchObject({ code: 'unavailable', ...available });
    await expect(create('cobol1959')).rejects.toMatchObject({ code: 'invalid_argument', ...available });
    expect(await place.left()).toEqual([]);
  });

  it('leaves nothing when its fetch is cancelled, and other waiters continue', async () => {
    let held = () => {};
    const requested = new Promise<void>((resolve) => {
      held = resolve;
    });
    registry.intercept = (path) => {
      if (!path.endsWith('.tgz') || registry.requested.filter((one) => one.endsWith('.tgz')).length > 1)
        return false;
      // Never answered: the caller has to time out.
      held();
      return true;
    };
    const cancel = new AbortController();
    const first = create('node22', cancel.signal);
    await requested;
    const impatient = new AbortController();
    const second = create('node22', impatient.signal);
    const third = create('node22');
    impatient.abort();
    await expect(second).rejects.toMatchObject({ code: 'cancelled' });
    cancel.abort();
    await expect(first).rejects.toMatchObject({ code: 'cancelled' });
    const { sandboxId } = await third;
    await place.engine.forget(sandboxId, timeoutSignal());
    expect(await place.left()).toEqual(['node22']);
  });

  it('is kept while something depends on it', async () => {
    const { sandboxId } = await create('node22');
    await expect(place.images.remove('node22', timeoutSignal())).rejects.toMatchObject({
      code: 'conflict',
      message: expect.stringContaining(sandboxId),
    });
    await place.engine.forget(sandboxId, timeoutSignal());
    await place.images.remove('node22', timeoutSignal());
    expect(await place.left()).toEqual([]);
  });
});

describe('through the server', () => {
  it('finds the registry in npm’s configuration, and lists installed releases when it is unreachable', async () => {
    const registry = await startFakeRegistry();
    const home = await openImagePlace();
    try {
      const folder = join(home.stateDir, '..', 'home');
      await mkdir(folder);
      await writeFile(join(folder, '.npmrc'), `; mine\nregistry = ${registry.address}\n`);
      const reached = await startServer({ env: { HOME: folder } });
      const made = await reached.call('sandbox_create', { runtime: 'node24' });
      expect(made.structured).toMatchObject({ runtime: 'node24', status: 'running' });
      const version = await reached.call('sandbox_run_command', { cmd: 'node', args: ['-v'] });
      expect(version.structured['stdout']).toBe('v24.0.0\n');
      await reached.close();

      await registry.close();
      // The variable overrides the file; nothing listens there.
      const offline = await startServer({
        env: { HOME: '/nonexistent', npm_config_registry: registry.address },
      });
      const refused = await offline.call('sandbox_create', { runtime: 'node22' });
      expect(refused.isError).toBe(true);
      expect(refused.text).toMatch(/Error \(unavailable\): .*npm registry \(ECONNREFUSED\)/);
      expect(refused.text).toContain('Here already: host');
      expect(await readdir(join(offline.stateDir, 'images'))).toEqual([]);
      await offline.close();
    } finally {
      await home.close();
    }
  });

  it('runs a real release with its npm', async (context) => {
    const home = process.env['HOME'] ?? '/root';
    const server = await startServer({ env: { HOME: home } });
    try {
      const made = await server.call('sandbox_create', { runtime: 'node22' });
      if (made.isError && made.text.includes('npm registry')) {
        return context.skip(`the npm registry cannot be reached: ${made.text.split('\n')[0]}`);
      }
      expect(made.text).toContain('running');
      const said = await server.call('sandbox_run_command', {
        cmd: 'bash',
        args: ['-lc', 'node -v && npm -v && node -p "process.arch"'],
      });
      expect(said.structured['stdout']).toMatch(
        new RegExp(`^v22\\.\\d+\\.\\d+\\n\\d+\\.\\d+\\.\\d+\\n${process.arch}\\n`),
      );
      const listed = await runVerb(['image', 'list', '--state-dir', server.stateDir]);
      expect(listed.out).toMatch(/^node22 +node 22\.\d+\.\d+ .* sbx_/m);
    } finally {
      await server.close();
    }
  });
});
