import {
  appendFileSync,
  chmodSync,
  existsSync,
  mkdirSync,
  mkdtempSync,
  readdirSync,
  readFileSync,
  realpathSync,
  renameSync,
  rmSync,
  symlinkSync,
  utimesSync,
  writeFileSync,
} from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import type { WorkspaceMode } from '../../../../src/engines/engine.ts';
import { createRequest } from '../../../conformance/support/requests.ts';
import { type FolderEngine, openFolderEngine } from './support/folder-engine.ts';

const never = new AbortController().signal;
let root: string;
let project: string;
let world: FolderEngine;

beforeEach(() => {
  root = realpathSync(mkdtempSync(join(tmpdir(), 'uploads-')));
  project = join(root, 'project');
  mkdirSync(join(project, 'src'), { recursive: true });
  for (const name of ['a', 'b', 'gone', '.env', 'private', 'src/x', 'src/.env.local', '.git/config'])
    write(name, `${name}\n`);
  write('.sandboxignore', 'private\n');
  symlinkSync('a', join(project, 'link'));
  symlinkSync('/etc/passwd', join(project, 'out'));
  world = openFolderEngine(root);
});
afterEach(() => rmSync(root, { recursive: true, force: true }));

function write(path: string, text: string): void {
  mkdirSync(join(project, path, '..'), { recursive: true });
  writeFileSync(join(project, path), text);
}

const request = (mode: WorkspaceMode = 'copy-on-write') =>
  createRequest({ workspace: { localPath: project, path: '/vercel/sandbox', mode } });

async function make(): Promise<{ sandboxId: string; at: (path: string) => string }> {
  const wanted = request();
  await world.engine.create(wanted, never);
  return {
    sandboxId: wanted.sandboxId,
    at: (path) => join(world.inside(wanted.sandboxId), path),
  };
}

/** Path, status and refusal of each change. */
async function changesOf(sandboxId: string) {
  const { changes } = (await world.engine.workspaces?.changes(sandboxId, never)) ?? { changes: [] };
  return changes.map(({ path, status, refused }) => [path, status, refused]);
}

async function applyAll(sandboxId: string) {
  const { workspaces } = world.engine;
  const { changes } = (await workspaces?.changes(sandboxId, never)) ?? { changes: [] };
  const wanted = changes.filter(({ refused }) => refused === null);
  const result = await workspaces?.apply(sandboxId, wanted, never);
  return {
    applied: result?.applied.map(({ path }) => path),
    refused: result?.refused.map(({ path, refused }) => [path, refused]),
  };
}

describe('an uploaded workspace that is not as expected', () => {
  it('leaves out the volumes below it, in both directions', async () => {
    write('node_modules/host', 'host\n');
    const volumeMounts = [
      { owner: 'me', name: 'deps', path: '/vercel/sandbox/node_modules', readOnly: false },
    ];
    const wanted = { ...request(), volumeMounts };
    await world.engine.create(wanted, never);
    const volume = join(world.inside(wanted.sandboxId), 'node_modules');
    expect(existsSync(volume)).toBe(false);
    mkdirSync(volume);
    writeFileSync(join(volume, 'inside'), 'inside\n');
    expect(await changesOf(wanted.sandboxId)).toEqual([]);
  });

  it('gives the user the directories around a volume, which its mount has created as root', async () => {
    const volumeMounts = [
      { owner: 'me', name: 'deps', path: '/vercel/sandbox/packages/app/node_modules', readOnly: false },
    ];
    await world.engine.create({ ...request(), volumeMounts }, never);
    const cwd = '/vercel/sandbox';
    expect(world.scripts.map(([, ...args]) => args)).toEqual([
      [cwd, cwd, `${cwd}/packages`, `${cwd}/packages/app`],
    ]);
  });

  it('lists a file that the sandbox cannot read, refuses it and applies the others', async () => {
    const { sandboxId, at } = await make();
    for (const name of ['a', 'b']) writeFileSync(at(name), 'B\n');
    writeFileSync(at('gone'), 'GONE\n');
    writeFileSync(at('.gitignore'), 'x\n');
    for (const name of ['a', 'gone', '.gitignore']) world.unreadable.add(name);
    expect((await changesOf(sandboxId)).map(([path]) => path)).toEqual(['.gitignore', 'a', 'b', 'gone']);
    const refusal = expect.stringContaining('cannot read it');
    expect(await applyAll(sandboxId)).toEqual({
      applied: ['b'],
      refused: [
        ['.gitignore', refusal],
        ['a', refusal],
        ['gone', refusal],
      ],
    });
  });

  it('is where relative paths of repositories start', async () => {
    const wanted = createRequest({
      workspace: { localPath: project, path: '/vercel/sandbox/app', mode: 'copy-on-write' },
    });
    await world.engine.create(wanted, never);
    const plain = createRequest();
    await world.engine.create(plain, never);
    for (const { sandboxId } of [wanted, plain])
      for (const path of ['', 'sub', '/abs']) {
        const request = { sandboxId, path, request: null, protocol: null };
        for await (const _ of world.engine.git?.uploadPack(request, never) ?? []);
      }
    const uploaded = ['/vercel/sandbox/app', '/vercel/sandbox/app/sub', '/abs'];
    expect(world.repositories).toEqual([...uploaded, '', 'sub', '/abs']);
  });

  it('reads a touched file once, and the list of what was uploaded for the first call only', async () => {
    const { sandboxId, at } = await make();
    utimesSync(at('a'), 1, 1);
    expect(await changesOf(sandboxId)).toEqual([]);
    rmSync(join(root, 'state/sandboxes', sandboxId, 'workspace/manifest.jsonl'));
    expect(await changesOf(sandboxId)).toEqual([]);
    expect(world.reads).toEqual(['/vercel/sandbox/a']);
  });

  it('hashes touched and renamed files in one call where each would take one over the network', async () => {
    world = openFolderEngine(root, undefined, true);
    const { sandboxId, at } = await make();
    for (const name of ['a', 'b', 'gone']) utimesSync(at(name), 1, 1);
    world.unreadable.add('gone');
    renameSync(at('src/x'), at('src/y'));
    const expected = [
      ['gone', 'modified', null],
      ['src/y', 'renamed', null],
    ];
    expect(await changesOf(sandboxId)).toEqual(expected);
    expect(world.digested).toEqual([4]);
    expect(world.reads).not.toContain('/vercel/sandbox/a');
    world.unreadable.clear();
    utimesSync(at('b'), 2, 2);
    expect(await changesOf(sandboxId)).toEqual(expected.slice(1));
    expect(world.digested).toEqual([4, 2]);
  });

  it.each([
    ['src/y', 'renamed'],
    ['a', 'mode'],
  ])('applies no other content of %s where the sandbox says that it is %s only', async (path, status) => {
    world = openFolderEngine(root, undefined, true);
    const { sandboxId, at } = await make();
    if (status === 'renamed') renameSync(at('src/x'), at(path));
    else chmodSync(at(path), 0o755);
    const known = readFileSync(at(path), 'utf8');
    world.claims.set(path, known);
    writeFileSync(at(path), known.toUpperCase());
    expect(await changesOf(sandboxId)).toEqual([[path, status, null]]);
    await expect(applyAll(sandboxId)).rejects.toMatchObject({ code: 'conflict', details: { path } });
    expect(readFileSync(join(project, 'src/x'), 'utf8')).toBe('src/x\n');
    expect(readFileSync(join(project, 'a'), 'utf8')).toBe('a\n');
    expect(readdirSync(join(project, 'src')).sort()).toEqual(['.env.local', 'x']);
  });

  it('removes what a killed server has brought out', async () => {
    const { sandboxId, at } = await make();
    const directory = join(root, 'state/sandboxes', sandboxId, 'workspace');
    mkdirSync(join(directory, 'fetched-left'));
    writeFileSync(at('a'), 'A and more\n');
    await applyAll(sandboxId);
    expect(readdirSync(directory).sort()).toEqual(['applied.json', 'manifest.jsonl', 'record.json']);
  });

  it('is not said to be lost when its sandbox has stopped: it may be resumed', async () => {
    const { sandboxId } = await make();
    await world.engine.stop(sandboxId, 'requested', never);
    await expect(world.engine.workspaces?.changes(sandboxId, never)).rejects.toMatchObject({
      code: 'conflict',
      message: `Sandbox ${sandboxId} is stopped.`,
      hint: expect.stringContaining('sandbox_get'),
    });
  });

  it('reports how many entries are left out, and counts what has grown since it was listed', async () => {
    writeFileSync(Buffer.concat([Buffer.from(`${project}/bad`), Buffer.from([0xff])]), '');
    const lines: string[] = [];
    await world.engine.create(request(), never, (line) => lines.push(line));
    expect(lines.at(-1)).toMatch(/^The workspace lacks 1 entries/);
    const small = openFolderEngine(root, { entries: 100, bytes: 1_000 });
    small.onEntry = () => appendFileSync(join(project, 'src/x'), 'x'.repeat(1_000));
    await expect(small.engine.create(request(), never)).rejects.toMatchObject({
      code: 'limit_exceeded',
      details: { limit: 'workspace_upload_bytes' },
    });
  });
});
