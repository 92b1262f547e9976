import {
  appendFileSync,
  chmodSync,
  copyFileSync,
  existsSync,
  mkdirSync,
  mkdtempSync,
  readdirSync,
  readFileSync,
  realpathSync,
  renameSync,
  rmSync,
  statSync,
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

describe('a workspace that is uploaded', () => {
  it('holds what the sandbox may see, with modes, times and links, and reports how far it is', async () => {
    chmodSync(join(project, 'a'), 0o750);
    utimesSync(join(project, 'a'), 1_700_000_000, 1_700_000_000);
    const lines: string[] = [];
    const wanted = request();
    const made = await world.engine.create(wanted, never, (line) => lines.push(line));
    const inside = world.inside(wanted.sandboxId);
    expect(readdirSync(inside, { recursive: true }).map(String).sort()).toEqual([
      '.git',
      '.git/config',
      '.sandboxignore',
      'a',
      'b',
      'gone',
      'link',
      'out',
      'src',
      'src/x',
    ]);
    const { mode, mtimeMs } = statSync(join(inside, 'a'));
    expect([mode & 0o777, mtimeMs]).toEqual([0o750, 1_700_000_000_000]);
    expect(lines[0]).toBe('Uploading the workspace: 0 of 10 entries, 0.0 of 0.0 MiB');
    const workspace = {
      localPath: project,
      path: '/vercel/sandbox',
      mode: 'copy-on-write',
      provision: 'upload',
    };
    expect(made.workspace).toEqual(workspace);
    expect(await changesOf(wanted.sandboxId)).toEqual([]);
  });

  it('lists and applies changes, and what was applied is none any more', async () => {
    const { sandboxId, at } = await make();
    appendFileSync(at('a'), 'more\n');
    chmodSync(at('b'), 0o755);
    rmSync(at('gone'));
    renameSync(at('src/x'), at('src/y'));
    mkdirSync(at('new'));
    writeFileSync(at('new/f'), 'new\n');
    writeFileSync(at('.env'), 'mine\n');
    writeFileSync(at('.sandboxignore'), '!.env\n');
    writeFileSync(at('.git/config'), 'evil\n');
    rmSync(at('link'));
    symlinkSync('b', at('link'));
    expect(await changesOf(sandboxId)).toEqual([
      ['.env', 'added', expect.stringContaining('hides')],
      ['.sandboxignore', 'modified', expect.stringContaining('determines')],
      ['a', 'modified', null],
      ['b', 'mode', null],
      ['gone', 'deleted', null],
      ['link', 'modified', null],
      ['new/f', 'added', null],
      ['src/y', 'renamed', null],
    ]);
    expect(await applyAll(sandboxId)).toEqual({
      applied: ['a', 'b', 'gone', 'link', 'new/f', 'src/y'],
      refused: [],
    });
    expect(readFileSync(join(project, 'a'), 'utf8')).toBe('a\nmore\n');
    expect(readFileSync(join(project, 'link'), 'utf8')).toBe('b\n');
    expect(readFileSync(join(project, '.git/config'), 'utf8')).toBe('.git/config\n');
    expect(existsSync(join(project, 'gone'))).toBe(false);
    expect((await changesOf(sandboxId)).map(([path]) => path)).toEqual(['.env', '.sandboxignore']);
    // Nothing that was brought out is left.
    expect(readdirSync(join(root, 'state/sandboxes', sandboxId, 'workspace')).sort()).toEqual([
      'applied.json',
      'manifest.jsonl',
      'record.json',
    ]);
  });

  it('can be changed again after an apply, and a deleted file come back', async () => {
    const { sandboxId, at } = await make();
    appendFileSync(at('a'), 'more\n');
    rmSync(at('gone'));
    await applyAll(sandboxId);
    appendFileSync(at('a'), 'again\n');
    writeFileSync(at('gone'), 'back\n');
    expect(await applyAll(sandboxId)).toEqual({ applied: ['a', 'gone'], refused: [] });
    expect(readFileSync(join(project, 'gone'), 'utf8')).toBe('back\n');
  });

  it('refuses what the host has changed since, and takes what it only touched', async () => {
    const { sandboxId, at } = await make();
    for (const name of ['a', 'b', 'gone', 'src/x']) appendFileSync(at(name), 'inside\n');
    writeFileSync(at('both'), 'inside\n');
    write('a', 'A\n');
    rmSync(join(project, 'gone'));
    write('both', 'host\n');
    // A copy has another inode number and other times.
    copyFileSync(join(project, 'b'), join(project, 'copy'));
    renameSync(join(project, 'copy'), join(project, 'b'));
    chmodSync(join(project, 'src/x'), 0o600);
    const changed = 'it was changed on the host since the sandbox started';
    expect(await changesOf(sandboxId)).toEqual([
      ['a', 'modified', changed],
      ['b', 'modified', null],
      ['both', 'modified', changed],
      ['gone', 'added', 'it was deleted on the host'],
      ['src/x', 'modified', changed],
    ]);
  });

  it('sees a change that kept size and time, and none where only the time differs', async () => {
    const { sandboxId, at } = await make();
    const { atime, mtime } = statSync(at('a'));
    writeFileSync(at('a'), 'A\n');
    utimesSync(at('a'), atime, mtime);
    utimesSync(at('b'), 1, 1);
    expect(await changesOf(sandboxId)).toEqual([['a', 'modified', null]]);
  });

  it('takes nothing that cannot be read for deleted, and a file in the place of a folder', async () => {
    const { sandboxId, at } = await make();
    world.unreadable.add('src');
    expect(await changesOf(sandboxId)).toEqual([]);
    world.unreadable.clear();
    rmSync(at('src'), { recursive: true });
    writeFileSync(at('src'), 'file\n');
    expect(await changesOf(sandboxId)).toEqual([
      ['src', 'added', null],
      ['src/x', 'deleted', null],
    ]);
  });

  it('has limits, which are checked before anything is created', async () => {
    const limits = (entries: number, bytes: number) => openFolderEngine(root, { entries, bytes });
    const few = limits(3, 1_000_000);
    await expect(few.engine.create(request(), never)).rejects.toMatchObject({
      code: 'limit_exceeded',
      message: `${project} has to be uploaded here, and has more than 3 files and folders.`,
      hint: expect.stringContaining('.sandboxignore'),
      details: { max: 3 },
    });
    const small = limits(100, 10);
    await expect(small.engine.create(request(), never)).rejects.toMatchObject({
      code: 'limit_exceeded',
      message: expect.stringMatching(/more than 10 bytes \(\d+ so far\)/),
    });
    expect([...few.memory.calls, ...small.memory.calls]).toEqual([]);
  });

  it('cannot be live, and is protected by root if it is read-only', async () => {
    await expect(world.engine.create(request('live'), never)).rejects.toMatchObject({
      code: 'unsupported',
      message: expect.stringContaining('there are no mounts'),
    });
    const wanted = request('read-only');
    await world.engine.create(wanted, never);
    expect(world.scripts.map(([script, ...args]) => [script?.includes('chmod -R g=u,a-w'), ...args])).toEqual(
      [[true, '/vercel/sandbox']],
    );
    await expect(world.engine.workspaces?.changes(wanted.sandboxId, never)).rejects.toMatchObject({
      code: 'conflict',
      message: 'The workspace is read-only: it keeps no changes.',
    });
  });

  it('is pending until it is there, and nothing is left of one that fails or is cancelled', async () => {
    const states: unknown[] = [];
    const wanted = request();
    world.onEntry = async () => {
      states.push((await world.engine.get(wanted.sandboxId, never)).status);
    };
    const uploading: string[] = [];
    await world.engine.create(wanted, never, undefined, ({ sandboxId }) => uploading.push(sandboxId));
    expect(uploading).toEqual([wanted.sandboxId]);
    expect(new Set(states)).toEqual(new Set(['pending']));
    expect(await world.engine.get(wanted.sandboxId, never)).toMatchObject({ status: 'running' });

    const failing = request();
    world.onEntry = () => {
      throw new Error('the connection broke');
    };
    await expect(world.engine.create(failing, never)).rejects.toThrow('the connection broke');
    const cancelled = request();
    const controller = new AbortController();
    world.onEntry = () => controller.abort();
    await expect(world.engine.create(cancelled, controller.signal)).rejects.toMatchObject({
      code: 'cancelled',
    });
    for (const { sandboxId } of [failing, cancelled])
      await expect(world.engine.get(sandboxId, never)).rejects.toMatchObject({ code: 'not_found' });
  });

  it('keeps the record of a sandbox that is stopped meanwhile, for whoever stopped it', async () => {
    const wanted = request();
    world.onEntry = async () => {
      await world.engine.stop(wanted.sandboxId, 'requested', never);
      throw new Error('the connection broke');
    };
    await expect(world.engine.create(wanted, never)).rejects.toMatchObject({ code: 'conflict' });
    expect(await world.engine.get(wanted.sandboxId, never)).toMatchObject({ stopCause: 'requested' });
  });
});
