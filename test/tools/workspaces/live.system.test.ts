import { mkdir, readdir, readFile, stat, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { failsWith, outputOf } from '../../support/answers.ts';
import { needs } from '../../support/needs.ts';
import { type RunningServer, startServer } from '../../support/server.ts';

let server: RunningServer;
let folder: string;

const bash = (script: string) => outputOf(server, script);
const create = (workspace: Record<string, unknown>, volumePath?: string) =>
  server.call('sandbox_create', {
    workspace: { local_path: 'folder', ...workspace },
    ...(volumePath !== undefined && { volumes: [{ name: 'data', path: volumePath }] }),
  });

beforeAll(async () => {
  server = await startServer({ args: ['--allow-live'] });
  folder = join(server.cwd, 'folder');
  await mkdir(join(folder, 'cache'), { recursive: true });
  await writeFile(join(folder, 'a'), 'host\n');
});
afterAll(() => server.close());

describe('a live workspace', needs('root', process.getuid?.() === 0), () => {
  it('is the folder itself, both ways', async () => {
    const made = await create({ mode: 'live' });
    expect(made.isError, made.text).toBe(false);
    await bash('echo inside >> a; echo new > b');
    expect(await readFile(join(folder, 'a'), 'utf8')).toBe('host\ninside\n');
    expect((await stat(join(folder, 'b'))).uid).toBe((await stat(folder)).uid);
    await writeFile(join(folder, 'b'), 'from the host\n');
    expect(await bash('cat b; stat -c %U a')).toBe('from the host\nvercel-sandbox\n');
    failsWith(await server.call('sandbox_changes'), 'conflict', 'live');
    failsWith(await server.call('sandbox_apply_changes'), 'conflict', 'live');
  });

  it('gets no directory for a volume, and takes one that has its own', async () => {
    const before = await readdir(folder);
    for (const mode of ['live', 'read-only'])
      failsWith(
        await create({ mode }, '/vercel/sandbox/none'),
        'invalid_argument',
        'has no directory "none"',
      );
    expect(await readdir(folder)).toEqual(before);
    const made = await create({ mode: 'live' }, '/vercel/sandbox/cache');
    expect(made.isError, made.text).toBe(false);
    await bash('echo kept > cache/file');
    expect(await readdir(join(folder, 'cache'))).toEqual([]);
  });

  it('hides nothing, so that a folder with secrets is refused', async () => {
    await writeFile(join(folder, '.env'), 'SECRET=host\n');
    failsWith(await create({ mode: 'live' }), 'conflict', 'cannot hide files');
  });
});
