import {
  mkdtempSync,
  readdirSync,
  readFileSync,
  rmSync,
  statSync,
  symlinkSync,
  writeFileSync,
} from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, beforeEach, describe, expect, it } from 'vitest';
import { isAbandonedTemporary, writeFileAtomic } from '../../../src/shared/fs/atomic-file.ts';
import { currentProcess } from '../../../src/shared/process-identity.ts';

const root = mkdtempSync(join(tmpdir(), 'sandbox-mcp-atomic-'));
let folder = root;
beforeEach(() => {
  folder = mkdtempSync(join(root, 'case-'));
});
afterAll(() => rmSync(root, { recursive: true, force: true }));

describe('writeFileAtomic', () => {
  it('writes the whole content with the given mode, and leaves nothing else', async () => {
    await writeFileAtomic(join(folder, 'plain'), 'text ünd mehr');
    await writeFileAtomic(join(folder, 'open'), 'x', 0o644);
    expect(readFileSync(join(folder, 'plain'), 'utf8')).toBe('text ünd mehr');
    expect(statSync(join(folder, 'plain')).mode & 0o777).toBe(0o600);
    expect(statSync(join(folder, 'open')).mode & 0o777).toBe(0o644);
    expect(readdirSync(folder).sort()).toEqual(['open', 'plain']);
  });

  it('replaces a symbolic link instead of writing through it', async () => {
    writeFileSync(join(folder, 'target'), 'untouched');
    symlinkSync('target', join(folder, 'link'));
    await writeFileAtomic(join(folder, 'link'), 'new');
    expect(readFileSync(join(folder, 'target'), 'utf8')).toBe('untouched');
    expect(readFileSync(join(folder, 'link'), 'utf8')).toBe('new');
  });

  it('leaves the content of one of many concurrent writers', async () => {
    const texts = Array.from({ length: 20 }, (_, index) => String(index).repeat(10_000));
    await Promise.all(texts.map((text) => writeFileAtomic(join(folder, 'file'), text)));
    expect(texts).toContain(readFileSync(join(folder, 'file'), 'utf8'));
    expect(readdirSync(folder)).toEqual(['file']);
  });

  it('keeps the old file and removes its own when it fails', async () => {
    await expect(writeFileAtomic(join(folder, 'missing', 'file'), 'x')).rejects.toMatchObject({
      code: 'ENOENT',
    });
    await expect(writeFileAtomic(folder, 'x')).rejects.toBeInstanceOf(Error);
    expect(readdirSync(folder)).toEqual([]);
    expect(readdirSync(root).filter((name) => name.endsWith('.tmp'))).toEqual([]);
  });
});

describe('isAbandonedTemporary', () => {
  const { pid, startTime } = currentProcess();

  it('distinguishes a dead writer from a living one', () => {
    expect(isAbandonedTemporary(`a.json.${pid}-${startTime}-0123456789ab.tmp`)).toBe(false);
    expect(isAbandonedTemporary(`a.json.${pid}-999${startTime}-0123456789ab.tmp`)).toBe(true);
  });

  it.each(['a.json', 'a.tmp', 'a.json.1-2.tmp', `a.json.${pid}-x-0123456789ab.tmp`])(
    'is false for %s',
    (name) => {
      expect(isAbandonedTemporary(name)).toBe(false);
    },
  );
});
