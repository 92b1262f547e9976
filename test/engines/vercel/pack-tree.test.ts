import { mkdtempSync, readdirSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { Readable } from 'node:stream';
import { afterEach, beforeEach, expect, it } from 'vitest';
import type { TreeEntry } from '../../../src/engines/engine.ts';
import { packTree } from '../../../src/engines/vercel/files/pack-tree.ts';
import { SandboxError } from '../../../src/shared/errors.ts';
import { tarEntries } from '../../../src/shared/fs/tar-entries.ts';
import { neverAborted } from '../../registry/support/registry.ts';

let folder = '';
beforeEach(() => {
  folder = mkdtempSync(join(tmpdir(), 'pack-tree-'));
});
afterEach(() => rmSync(folder, { recursive: true }));

const entry = (path: string, rest: Partial<TreeEntry>): TreeEntry => ({
  path,
  type: 'file',
  mode: 0o644,
  linkTarget: null,
  content: null,
  ...rest,
});

it('packs directories, links, and files of any name and size, and leaves no spooled file', async () => {
  const long = `${'directory/'.repeat(30)}ünïcode`;
  const large = Buffer.alloc(3_000_000, 'large');
  async function* tree(): AsyncGenerator<TreeEntry> {
    yield entry('', { type: 'directory', mode: 0o755 });
    yield entry('empty', { content: Readable.from([]) });
    yield entry(long, { mode: 0o4755, content: Readable.from([Buffer.from('a'), Buffer.from('b')]) });
    yield entry('link', { type: 'symlink', mode: 0o777, linkTarget: `../${long}` });
    yield entry('large', {
      content: Readable.from([large.subarray(0, 2_000_000), large.subarray(2_000_000)]),
    });
  }
  const counted = { files: 0, bytes: 0 };
  const archive = Readable.from(packTree(join(folder, 'spool'), tree(), counted, neverAborted));
  const found: unknown[] = [];
  const notATar = (reason: string) => new SandboxError('server', reason);
  for await (const member of tarEntries(archive, notATar)) {
    const parts: Buffer[] = [];
    for await (const part of member) parts.push(part);
    const content = Buffer.concat(parts);
    const { type, path, mode, linkpath } = member;
    found.push([type, path, mode, linkpath ?? '', content.equals(large) ? 'large' : content.toString()]);
  }
  expect(found).toEqual([
    ['Directory', 'root', 0o755, '', ''],
    ['File', 'root/empty', 0o644, '', ''],
    ['File', `root/${long}`, 0o4755, '', 'ab'],
    ['SymbolicLink', 'root/link', 0o777, `../${long}`, ''],
    ['File', 'root/large', 0o644, '', 'large'],
  ]);
  expect(counted).toEqual({ files: 3, bytes: 3_000_002 });
  expect(readdirSync(join(folder, 'spool'))).toEqual([]);
});

it('keeps the modification time of a file to the millisecond', async () => {
  const times = [1_234_567_890_123, 1_234_567_890_000, 0];
  const tree = Readable.from(
    times.map((mtimeMs) => entry(`${mtimeMs}`, { mtimeMs, content: Readable.from([]) })),
  );
  const archive = Readable.from(packTree(join(folder, 'spool'), tree, { files: 0, bytes: 0 }, neverAborted));
  const found: (number | undefined)[] = [];
  for await (const member of tarEntries(archive, (reason) => new SandboxError('server', reason))) {
    found.push(member.mtime?.getTime());
    member.resume();
  }
  expect(found).toEqual(times);
});
