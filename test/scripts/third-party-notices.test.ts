import { mkdirSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import { buildJavaScript } from '../../scripts/build-javascript.mjs';
import { thirdPartyNotices } from '../../scripts/third-party-notices.mjs';

const ROOT = join(import.meta.dirname, '../..');

let root = '';

beforeEach(() => {
  root = mkdtempSync(join(tmpdir(), 'notices-'));
});

afterEach(() => {
  rmSync(root, { recursive: true });
});

function addPackage(folder: string, name: string, files: Record<string, string>): void {
  const path = join(root, folder);
  mkdirSync(path, { recursive: true });
  writeFileSync(join(path, 'package.json'), JSON.stringify({ name, version: '1.2.3', license: 'MIT' }));
  for (const [file, text] of Object.entries(files)) writeFileSync(join(path, file), text);
}

describe('thirdPartyNotices', () => {
  it('quotes the license and notice of each package once, nested and scoped ones included', async () => {
    addPackage('node_modules/b', 'b', { LICENSE: 'license of b\r\n', 'NOTICE.txt': 'notice of b' });
    addPackage('node_modules/b/node_modules/@a/c', '@a/c', { 'LICENCE.md': 'license of c' });
    const text = await thirdPartyNotices(root, [
      'src/main.ts',
      'node_modules/b/index.js',
      'node_modules/b/lib/more.js',
      'node_modules/b/node_modules/@a/c/index.js',
    ]);
    const sections = text.split(`\n${'-'.repeat(80)}\n\n`).slice(1);
    expect(sections).toEqual([
      '@a/c 1.2.3\nLicense: MIT\n\nlicense of c\n',
      'b 1.2.3\nLicense: MIT\n\nlicense of b\n\nnotice of b\n',
    ]);
  });

  it('rejects a package without a license to quote', async () => {
    addPackage('node_modules/bare', 'bare', {});
    await expect(thirdPartyNotices(root, ['node_modules/bare/index.js'])).rejects.toThrow(
      'the package bare has no license file',
    );
  });

  it('matches THIRD-PARTY-NOTICES.txt', async () => {
    const committed = readFileSync(join(ROOT, 'THIRD-PARTY-NOTICES.txt'), 'utf8');
    // `npm run docs` brings it up to date.
    expect(committed).toBe(await thirdPartyNotices(ROOT, await buildJavaScript()));
  });
});

describe('package.json', () => {
  it('makes npm install nothing beside this package, since everything is bundled', () => {
    const manifest = JSON.parse(readFileSync(join(ROOT, 'package.json'), 'utf8'));
    expect(manifest).not.toHaveProperty('dependencies');
    expect(manifest).not.toHaveProperty('optionalDependencies');
  });
});
