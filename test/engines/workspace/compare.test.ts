import {
  mkdirSync,
  mkdtempSync,
  realpathSync,
  renameSync,
  rmSync,
  statSync,
  truncateSync,
  writeFileSync,
} from 'node:fs';
import { tmpdir } from 'node:os';
import { dirname, join } from 'node:path';
import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import { MountedFolder } from '../../../src/engines/oci/workspace/overlay-sides.ts';
import { compare } from '../../../src/engines/workspace/compare.ts';
import { openSides } from './support/open-sides.ts';

let root: string;
let sides: Awaited<ReturnType<typeof openSides>>;

beforeEach(async () => {
  root = realpathSync(mkdtempSync(join(tmpdir(), 'compare-')));
  sides = await openSides(root, join(root, 'agent'));
});
afterEach(async () => {
  await sides.close();
  rmSync(root, { recursive: true });
});

/** Makes a program that lists these entries of the upper layer, as the agent does. */
function list(entries: { path: string; kind: string; size: number }[]): void {
  const listing = entries.map(({ path, kind, size }) => `${kind} 644 ${size} 0 - ${path.length} ${path}`);
  writeFileSync(join(root, 'listing'), `${listing.join('')}e`);
  writeFileSync(join(root, 'agent'), `#!/bin/sh\nexec cat '${join(root, 'listing')}'\n`, { mode: 0o755 });
}

function write(side: 'folder' | 'upper', path: string, text: string): void {
  mkdirSync(dirname(join(root, side, path)), { recursive: true });
  writeFileSync(join(root, side, path), text);
}

describe('changes of a workspace', () => {
  it('refuse rules of what sandboxes see at any depth: each folder may be a workspace', async () => {
    const paths = ['.sandboxignore', 'packages/app/.sandboxignore', 'x/.SandboxIgnore', 'x.sandboxignore'];
    for (const path of paths) write('upper', path, '!.env\n');
    write('folder', 'gone/.sandboxignore', 'private\n');
    const added = paths.map((path) => ({ path, kind: 'f', size: 6 }));
    list([...added, { path: 'gone/.sandboxignore', kind: 'w', size: 0 }]);
    const { changes } = await compare(sides, new AbortController().signal);
    const refused = 'it determines what sandboxes see of its folder';
    expect(changes.map((change) => [change.path, change.refused])).toEqual([
      ['.sandboxignore', refused],
      ['gone/.sandboxignore', refused],
      ['packages/app/.sandboxignore', refused],
      ['x.sandboxignore', null],
      ['x/.SandboxIgnore', refused],
    ]);
  });

  it('refuse files of a folder that the host has put in the place of another', async () => {
    for (const folder of ['src', 'other', 'kept']) write('folder', `${folder}/deep/f`, folder);
    const times = ['other', 'other/deep', 'kept', 'kept/deep'].flatMap((path) => {
      const { ctimeNs, mtimeNs } = statSync(join(root, 'folder', path), { bigint: true });
      return [ctimeNs, mtimeNs];
    });
    const mountedNs = times.sort((a, b) => Number(a - b)).at(-1) ?? 0n;
    rmSync(join(root, 'folder/src'), { recursive: true });
    const ctimeOf = (path: string) => statSync(join(root, 'folder', path), { bigint: true }).ctimeNs;
    // The clock of a file system ticks every few milliseconds.
    do {
      renameSync(join(root, 'folder/other'), join(root, 'folder/src'));
      renameSync(join(root, 'folder/src'), join(root, 'folder/other'));
    } while (ctimeOf('other') <= mountedNs);
    renameSync(join(root, 'folder/other'), join(root, 'folder/src'));
    sides.seen = new MountedFolder(sides.folder, mountedNs);
    const files = ['src/deep/f', 'kept/deep/f'].map((path) => ({ path, kind: 'f', size: 6 }));
    for (const { path } of files) write('upper', path, 'inside');
    list(files);
    const { changes } = await compare(sides, new AbortController().signal);
    expect(changes.map(({ path, refused }) => [path, refused])).toEqual([
      ['kept/deep/f', null],
      ['src/deep/f', 'it was changed on the host since the sandbox started'],
    ]);
  });

  it('stop in the middle of a file when the call is cancelled', async () => {
    write('upper', 'sparse', '');
    truncateSync(join(root, 'upper/sparse'), 2 ** 42);
    const controller = new AbortController();
    const found = sides.sandbox.digest('sparse', 2 ** 42, controller.signal);
    controller.abort(new Error('cancelled'));
    await expect(found).rejects.toThrow('cancelled');
  });
});
