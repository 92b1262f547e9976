import { execFileSync } from 'node:child_process';
import { chmodSync, mkdtempSync, readFileSync, rmSync, statSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import type { WorkspaceChange, WorkspaceEntry } from '../../../src/engines/engine.ts';
import { gitPatch } from '../../../tools/workspaces/git-patch.ts';

let folder: string;

beforeEach(() => {
  folder = mkdtempSync(join(tmpdir(), 'patch-'));
  execFileSync('git', ['init', '-q', folder]);
});
afterEach(() => rmSync(folder, { recursive: true }));

const entry = (content: Buffer, mode = 0o644): WorkspaceEntry => ({
  type: 'file',
  mode,
  sizeBytes: content.length,
  modifiedAt: 0,
});

function modified(path: string, before: Buffer, after: Buffer): WorkspaceChange {
  return {
    path,
    status: 'modified',
    from: null,
    before: entry(before),
    after: entry(after, 0o755),
    refused: null,
  };
}

/** Applies the patch of a change as a user does. Returns what the file then has. */
function applied(path: string, before: Buffer, after: Buffer): Buffer {
  writeFileSync(join(folder, path), before);
  chmodSync(join(folder, path), 0o644);
  const patch = gitPatch(modified(path, before, after), { before, after }, true);
  execFileSync('git', ['-C', folder, 'apply', '-'], { input: patch, stdio: ['pipe', 'pipe', 'pipe'] });
  expect(statSync(join(folder, path)).mode & 0o111).toBe(0o111);
  return readFileSync(join(folder, path));
}

const numbers = (count: number, step: number) =>
  Array.from({ length: count }, (_, at) => `${at * step}\n`).join('');

describe('a patch', () => {
  it.each<[string, string | Buffer, string | Buffer]>([
    ['plain', 'one\ntwo\nthree\n', 'one\n2\nthree\n'],
    ['no line end', 'one\ntwo', 'one\ntwo\nthree'],
    ['a lost line end', 'one\ntwo\n', 'one\ntwo'],
    ['CR LF', 'one\r\ntwo\r\n', 'one\r\nzwei\r\n'],
    ['mixed ends', 'one\r\ntwo\nthree\r', 'one\ntwo\r\nthree\r'],
    ['emptied', 'one\n', ''],
    ['filled', '', 'one\n'],
    ['name "quoted" ä\n', 'one\n', 'two\n'],
    ['form feed', 'a\f\u2028b\n', 'a\f\u2028c\n'],
    // Nothing in common, and too much to compare.
    ['replaced', numbers(20_000, 2), `${numbers(20_000, 3)}x`],
    ['binary', Buffer.from([0, 1, 2, 255]), Buffer.from([0, 255])],
    ['latin1', Buffer.from('caf\xe9\n', 'latin1'), Buffer.from('th\xe9\n', 'latin1')],
    ['binary from text', 'text\n', Buffer.alloc(200, 7)],
    ['large binary', Buffer.alloc(100_000, 'ab\0'), Buffer.alloc(70_000, '\0cd')],
  ])('of %s is what git applies', (name, before, after) => {
    const [old, next] = [Buffer.from(before), Buffer.from(after)];
    expect(applied(name, old, next).equals(next)).toBe(true);
  });

  it('names a binary file with its sizes where its content is not wanted', () => {
    const [before, after] = [Buffer.from('a\0'), Buffer.alloc(70_000)];
    const diff = gitPatch(modified('image', before, after), { before, after }, false);
    expect(diff).toContain('Binary files differ: 2 bytes before, 70000 bytes after\n');
    expect(diff.length).toBeLessThan(300);
  });

  it('shows text in another encoding where nothing has to be exact', () => {
    const [before, after] = ['caf\xe9 1\n', 'caf\xe9 2\n'].map((text) => Buffer.from(text, 'latin1'));
    if (before === undefined || after === undefined) throw new Error('two texts');
    const diff = gitPatch(modified('latin1', before, after), { before, after }, false);
    expect(diff).toContain('-caf\ufffd 1\n+caf\ufffd 2\n');
    const other = Buffer.from('caf\xe8 1\n', 'latin1');
    const same = gitPatch(modified('latin1', before, other), { before, after: other }, false);
    expect(same).toContain('Binary files differ: 7 bytes before, 7 bytes after\n');
  });

  it('renames a file, and says so alone', () => {
    writeFileSync(join(folder, 'old'), 'same\n');
    const content = Buffer.from('same\n');
    const change: WorkspaceChange = {
      path: 'new',
      status: 'renamed',
      from: 'old',
      before: entry(content),
      after: entry(content),
      refused: null,
    };
    const patch = gitPatch(change, { before: content, after: content }, true);
    expect(patch).not.toContain('@@');
    execFileSync('git', ['-C', folder, 'apply', '-'], { input: patch });
    expect(readFileSync(join(folder, 'new'), 'utf8')).toBe('same\n');
  });
});
