import { mkdir, readdir, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { Readable } from 'node:stream';
import { buffer } from 'node:stream/consumers';
import { describe, expect, it } from 'vitest';
import type { TreeEntry } from '../../../src/engines/engine.ts';
import { contentChunks } from '../../../src/shared/async/content-chunks.ts';
import { type Download, download, upload } from '../../../tools/transfers/file-transfer.ts';
import { neverAborted } from '../../registry/support/registry.ts';
import { temporaryFolder } from '../support/temporary-folder.ts';

const TREES: Readonly<Record<string, () => TreeEntry[]>> = {
  file: () => [file('')],
  tree: () => [{ path: '', type: 'directory', mode: 0o755, linkTarget: null, content: null }, file('name')],
};

function file(path: string): TreeEntry {
  const content = Readable.from([Buffer.from('text')]);
  return { path, type: 'file', mode: 0o644, linkTarget: null, content };
}

const sandbox: Parameters<typeof download>[0] = {
  requireRunning: () => Promise.resolve(),
  files: {
    stat: (path) =>
      Promise.resolve({ path, type: path === 'file' ? 'file' : 'directory', sizeBytes: 4, mode: 0o644 }),
    readTree: (path) => Readable.from(TREES[path]?.() ?? []),
  },
};

function startDownload(home: string, remotePath: string, localPath: string, more: Partial<Download> = {}) {
  const request: Download = {
    localPath,
    remotePath,
    cwd: null,
    createParents: false,
    overwrite: 'merge',
    ...more,
  };
  const bounds = { allowDirs: [home], stateDir: join(home, 'state') };
  const note = () => Promise.resolve();
  return download(sandbox, request, bounds, neverAborted, () => {}, note);
}

async function downloaded(...args: Parameters<typeof startDownload>) {
  const [home] = args;
  await startDownload(...args);
  return (await readdir(home, { recursive: true })).sort();
}

describe('the target of a download', () => {
  it.for([
    ['file', 'new', ['new', 'there']],
    ['file', 'there', ['there', 'there/file']],
    ['file', 'there/', ['there', 'there/file']],
    ['file', '.', ['file', 'there']],
    ['tree', 'new', ['new', 'new/name', 'there']],
    ['tree', 'there', ['there', 'there/name']],
    ['tree', 'there/', ['there', 'there/tree', 'there/tree/name']],
    ['tree', './', ['there', 'tree', 'tree/name']],
  ] as const)('%s to %s', async ([remotePath, localPath, expected]) => {
    const home = await temporaryFolder();
    await mkdir(join(home, 'there'));
    expect(await downloaded(home, remotePath, localPath)).toEqual(expected);
  });

  it.for([
    ['file', '.vscode/tasks.json', ['tasks.json']],
    ['tree', 'project/.git/hooks', ['name']],
    ['tree', 'project/hooks', []],
  ] as const)(
    'decides what programs of the host may run: %s to %s',
    async ([remotePath, localPath, expected]) => {
      const home = join(await temporaryFolder(), '.claude');
      await mkdir(home);
      const { executesOnHost } = await startDownload(home, remotePath, localPath, { createParents: true });
      expect(executesOnHost).toEqual(expected);
    },
  );

  it('creates the directory that a trailing slash names if parents are to be created', async () => {
    const home = await temporaryFolder();
    await expect(downloaded(home, 'file', 'a/b/')).rejects.toMatchObject({ code: 'not_found' });
    expect(await downloaded(home, 'file', 'a/b/', { createParents: true })).toEqual(['a', 'a/b', 'a/b/file']);
  });

  it('is not the allowed folder itself', async () => {
    const home = await temporaryFolder();
    await expect(downloaded(home, 'tree', '.')).rejects.toMatchObject({ code: 'permission' });
    expect(await readdir(home)).toEqual([]);
  });
});

describe('the target of an upload', () => {
  it.for([
    ['source', 'new', 'new'],
    ['source', 'folder', 'folder/source'],
    ['source', 'new/', 'new/source'],
    ['sources', 'folder', 'folder'],
    ['sources', 'folder/', 'folder/sources'],
  ] as const)('%s to %s', async ([localPath, remotePath, expected]) => {
    const home = await temporaryFolder();
    await writeFile(join(home, 'source'), 'text');
    await mkdir(join(home, 'sources'));
    const handle: Parameters<typeof upload>[0] = {
      requireRunning: () => Promise.resolve(),
      files: {
        stat: (path) =>
          Promise.resolve(path === 'folder' ? { path, type: 'directory', sizeBytes: 0, mode: 0o755 } : null),
        async writeTree(path, _cwd, entries) {
          let bytes = 0;
          for await (const { content } of entries)
            if (content !== null) bytes += (await buffer(contentChunks(content))).length;
          return { path, files: 1, bytes };
        },
      },
    };
    const request = { localPath, remotePath, cwd: null, mode: null, exclude: [] };
    const bounds = { allowDirs: [home], stateDir: join(home, 'state') };
    const { remotePath: target } = await upload(handle, request, bounds, neverAborted, () => {});
    expect(target).toBe(expected);
  });
});
