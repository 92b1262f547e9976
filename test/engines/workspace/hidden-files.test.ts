import { mkdtempSync, readFileSync, rmSync, symlinkSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import { hiddenRules, nameEnds, readHiddenRules } from '../../../src/engines/workspace/hidden-files.ts';
import { HostDirectory } from '../../../src/shared/fs/host-directory.ts';

const PAGE = join(import.meta.dirname, '../../../docs/workspaces.md');
let folder: string;

beforeEach(() => {
  folder = mkdtempSync(join(tmpdir(), 'hidden-'));
});
afterEach(() => rmSync(folder, { recursive: true }));

async function rulesOf(): Promise<string> {
  const directory = await HostDirectory.open(folder);
  try {
    return await readHiddenRules(directory);
  } finally {
    await directory.close();
  }
}

describe('the hidden files of a workspace', () => {
  it('are by default those that the docs list', async () => {
    const [, listed] = /```gitignore\n([^`]+)\n```/.exec(readFileSync(PAGE, 'utf8')) ?? [];
    expect(await rulesOf()).toBe(listed);
  });

  it.each([
    ['.env', true],
    ['.ENV.local', true],
    ['a/b/.env', true],
    ['.ssh/config', true],
    ['deploy/server.pem', true],
    ['.config/gcloud/token', true],
    ['.config/other', false],
    ['keys/id_ed25519_sk', true],
    ['client_secret_1.apps.example.json', true],
    ['environment.ts', false],
    ['src/keys.ts', false],
    ['.env.example', false],
    ['private/x', true],
    ['private/shown', true],
  ])('%s: %s', async (path, hidden) => {
    writeFileSync(join(folder, '.sandboxignore'), '!.env.example\nprivate/\n!private/shown\n');
    expect(hiddenRules(await rulesOf()).hides(path, false)).toBe(hidden);
  });

  it.each([
    ['.env*', '.env', ''],
    ['id_rsa', 'id_rsa', ''],
    ['*.PEM', '', '.pem'],
    ['a/b/', 'b', ''],
    ['service-account*.json', 'service-account', '.json'],
    ['x[0-9]y', 'x', 'y'],
    ['x[0-9', 'x', '0-9'],
    ['\\#a', '', '#a'],
    ['a\\ ', 'a', ''],
    [' a \r', ' a', ''],
    ['*.key\t', '', '.key\t'],
    ['**', '', ''],
  ])('have names of %s that begin and end with %j, %j', (rule, begin, end) => {
    expect(nameEnds(rule)).toEqual({ begin, end });
  });

  it('take rules from a regular file alone', async () => {
    symlinkSync('/etc/passwd', join(folder, '.sandboxignore'));
    await expect(rulesOf()).rejects.toThrow('.sandboxignore is not a regular file of at most 64 KiB');
    rmSync(join(folder, '.sandboxignore'));
    writeFileSync(join(folder, '.sandboxignore'), 'x\n'.repeat(40_000));
    await expect(rulesOf()).rejects.toThrow('.sandboxignore is not a regular file of at most 64 KiB');
  });

  it('include the first rule of a file with a byte order mark, and CR LF', async () => {
    writeFileSync(join(folder, '.sandboxignore'), '\ufeffprivate\r\nalso\r\n');
    const rules = hiddenRules(await rulesOf());
    expect(['private', 'also', 'other'].map((path) => rules.hides(path, false))).toEqual([true, true, false]);
  });

  it('are never shown because a rule cannot be read', async () => {
    for (const encoding of ['utf16le', 'latin1'] as const) {
      writeFileSync(join(folder, '.sandboxignore'), Buffer.from('schlüssel\n', encoding));
      await expect(rulesOf()).rejects.toThrow('.sandboxignore is not UTF-8 text');
    }
    writeFileSync(join(folder, '.sandboxignore'), `# ${'-'.repeat(300)}\nprivate\n${'x'.repeat(257)}\n`);
    await expect(rulesOf()).rejects.toThrow('more than 256 bytes in line 3');
  });
});
