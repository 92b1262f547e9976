import { chmodSync, mkdtempSync, readdirSync, rmSync, statSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import { SandboxError } from '../../../src/shared/errors.ts';
import { makeDirectory, stateDirectoryError } from '../../../src/shared/fs/state-directory.ts';
import { needs } from '../../support/needs.ts';

let folder = '';

beforeEach(() => {
  folder = mkdtempSync(join(tmpdir(), 'state-'));
});

afterEach(() => {
  rmSync(folder, { recursive: true });
});

function modeOf(...names: string[]): number {
  return statSync(join(folder, ...names)).mode & 0o7777;
}

function systemError(code: string, paths: { path?: string; dest?: string } = {}): Error {
  return Object.assign(new Error(code), { code, ...paths });
}

describe('makeDirectory', () => {
  it('creates missing parents with the mode, and leaves existing ones unchanged', async () => {
    chmodSync(folder, 0o750);
    // Mode bits that any usual umask clears.
    await makeDirectory(join(folder, 'a/b'), 0o733);
    await makeDirectory(join(folder, 'a'), 0o700);
    expect([modeOf(), modeOf('a'), modeOf('a/b')]).toEqual([0o750, 0o733, 0o733]);
  });

  it('accepts a directory created concurrently', async () => {
    const path = join(folder, 'a/b/c');
    await Promise.all(Array.from({ length: 8 }, () => makeDirectory(path, 0o700)));
    expect(readdirSync(join(folder, 'a/b'))).toEqual(['c']);
  });

  it('rejects a file in its place or above it', async () => {
    writeFileSync(join(folder, 'file'), '');
    await expect(makeDirectory(join(folder, 'file'), 0o700)).rejects.toMatchObject({ code: 'EEXIST' });
    await expect(makeDirectory(join(folder, 'file/below'), 0o700)).rejects.toMatchObject({ code: 'ENOTDIR' });
  });

  it(
    'fails when the file system cannot create directories',
    needs('Linux', process.platform === 'linux'),
    async () => {
      await expect(makeDirectory('/proc/nothing/here', 0o700)).rejects.toMatchObject({ code: 'ENOENT' });
    },
  );
});

describe('stateDirectoryError', () => {
  it.each([
    ['EACCES', 'this user has no permission to write there'],
    ['EPERM', 'this user has no permission to write there'],
    ['EROFS', 'its file system is read-only'],
    ['EEXIST', 'part of its path is a file'],
    ['ENOTDIR', 'part of its path is a file'],
    ['ENOSPC', 'its disk is full'],
    ['ENAMETOOLONG', 'its path is too long'],
  ])('explains %s without a path', (code, problem) => {
    const cause = systemError(code, { path: join(folder, 'records') });
    const error = stateDirectoryError(cause, folder);
    expect(error).toBeInstanceOf(SandboxError);
    expect(error).toMatchObject({
      code: 'unavailable',
      message: `The state directory cannot be used: ${problem}.`,
      hint: expect.stringMatching(/--state-dir.*sandbox-mcp doctor/),
      cause,
    });
  });

  it('handles errors that name no path, a parent, or one of two paths', () => {
    for (const paths of [
      {},
      { path: '/' },
      { path: tmpdir() },
      { path: '/etc/x', dest: join(folder, 'x') },
    ]) {
      expect(stateDirectoryError(systemError('ENOSPC', paths), folder)).toBeInstanceOf(SandboxError);
    }
  });

  it('leaves every other error unchanged', () => {
    for (const error of [
      systemError('EACCES', { path: '/etc/subuid' }),
      systemError('EACCES', { path: `${join(folder, 'state')}-of-others` }),
      systemError('EIO', { path: folder }),
      new Error('a defect'),
      'a value that is not an error',
    ]) {
      expect(stateDirectoryError(error, join(folder, 'state'))).toBe(error);
    }
  });
});
