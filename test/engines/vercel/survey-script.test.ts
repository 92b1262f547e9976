import { spawnSync } from 'node:child_process';
import { createHash } from 'node:crypto';
import { mkdirSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { gunzipSync } from 'node:zlib';
import { afterEach, beforeEach, expect, it } from 'vitest';
import { DIGEST_FILES, SURVEY } from '../../../src/engines/vercel/guest/file-scripts.ts';

let root: string;
let list: string;

beforeEach(() => {
  root = mkdtempSync(join(tmpdir(), 'survey-'));
  list = join(root, 'list.gz');
  mkdirSync(join(root, 'bin'));
  mkdirSync(join(root, 'tree/d'), { recursive: true });
  writeFileSync(join(root, 'tree/d/file'), 'x');
});
afterEach(() => rmSync(root, { recursive: true, force: true }));

/** @param find replaces the sandbox's `find` */
function survey(find?: string) {
  if (find !== undefined) writeFileSync(join(root, 'bin/find'), `#!/bin/bash\n${find}\n`, { mode: 0o755 });
  const env = { PATH: `${join(root, 'bin')}:${process.env['PATH']}` };
  return spawnSync('bash', ['--norc', '-c', SURVEY, 'bash', join(root, 'tree'), list], {
    env,
    encoding: 'utf8',
    stdio: ['ignore', 'pipe', 'pipe'],
  });
}

function records(): string[] {
  return gunzipSync(readFileSync(list))
    .toString()
    .split('\0')
    .filter((text) => text !== '');
}

it('lists a tree up to its end', () => {
  expect(survey()).toMatchObject({ status: 0, stderr: '' });
  expect(records().map((text) => [text[0], text.split(' ').at(-1)])).toEqual([
    ['d', ''],
    ['d', 'd'],
    ['f', 'd/file'],
    ['e', ''],
  ]);
});

it('takes what vanishes meanwhile for no failure', () => {
  const vanished = 'echo "find: \'x\': No such file or directory" >&2; exit 1';
  expect(survey(vanished)).toMatchObject({ status: 0, stderr: '' });
  expect(records()).toHaveLength(1);
});

it.each([
  ['echo "find: \'d\': Cannot allocate memory" >&2; exit 1', 'Cannot allocate memory'],
  ['echo "find: \'d\': Permission denied" >&2; exit 1', 'Permission denied'],
  ['kill -KILL $$', '137'],
  ['exit 2', 'ended with 2'],
])('fails, without an end in the list, after %s', (find, said) => {
  const { status, stderr } = survey(find);
  expect(status).toBe(47);
  expect(stderr).toContain(said);
  expect(records()).toEqual([]);
});

it('hashes files by their names, whatever these are, without those that cannot be read', () => {
  const names = ['-c', 'a b', 'line\nbreak', 'back\\slash'];
  for (const name of names) writeFileSync(join(root, 'tree', name), name);
  const paths = [...names, 'd', 'missing'].map((name) => `./${name}`);
  const args = ['--norc', '-c', DIGEST_FILES, 'bash', join(root, 'tree'), ...paths];
  const { status, stdout } = spawnSync('bash', args, { encoding: 'utf8' });
  expect(status).toBe(0);
  const hash = (text: string) => createHash('sha256').update(text).digest('hex');
  expect(stdout).toBe(names.map((name) => `${hash(name)}  ./${name}\0`).join(''));
});
