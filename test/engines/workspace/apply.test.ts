import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { existsSync } from 'node:fs';
import { mkdir, mkdtemp, readdir, readFile, readlink, rm, stat, symlink, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { dirname, join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { isDeepStrictEqual } from 'node:util';
import { build } from 'esbuild';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { applyChanges } from '../../../src/engines/workspace/apply.ts';
import {
  finishJournals,
  newJournal,
  recoverJournals,
  writeJournal,
} from '../../../src/engines/workspace/journal.ts';
import { stampOf } from '../../../src/engines/workspace/stamp.ts';
import { CHANGES } from './support/changes.ts';
import { openSides } from './support/open-sides.ts';

const PROCESS = fileURLToPath(new URL('./support/apply-process.ts', import.meta.url));
const STEPS = 54;
/** In memory, because every apply waits for the disk. */
const MEMORY = '/dev/shm';
let root: string;

beforeAll(async () => {
  root = await mkdtemp(join(existsSync(MEMORY) ? MEMORY : tmpdir(), 'apply-'));
  await build({
    entryPoints: [PROCESS],
    outfile: join(root, 'apply.mjs'),
    bundle: true,
    platform: 'node',
    format: 'esm',
    minify: true,
  });
});
afterAll(() => rm(root, { recursive: true, force: true }));

async function makeHome(name: string): Promise<string> {
  const home = join(root, name);
  for (const { path, before, after, from } of CHANGES) {
    const [folder, upper] = [join(home, 'folder', path), join(home, 'upper', path)];
    await mkdir(dirname(upper), { recursive: true });
    await mkdir(join(home, 'folder'), { recursive: true });
    if (before !== null && from === null) {
      await mkdir(dirname(folder), { recursive: true });
      await writeFile(folder, 'old\n');
    }
    if (from !== null) await writeFile(join(home, 'folder', from), 'new\n');
    if (after?.type === 'symlink') await symlink('m0', upper);
    else if (after !== null) await writeFile(upper, 'new\n');
  }
  return home;
}

const stampOfFile = async (path: string) => stampOf(await stat(path, { bigint: true }));

/** Every file of the folder with its content. */
async function contents(home: string): Promise<string[]> {
  const folder = join(home, 'folder');
  const entries = await readdir(folder, { recursive: true, withFileTypes: true });
  const lines = entries.map(async (entry) => {
    const path = join(entry.parentPath, entry.name);
    if (entry.isDirectory()) return `${path.slice(folder.length)}/`;
    const content = entry.isSymbolicLink() ? await readlink(path) : await readFile(path, 'utf8');
    return `${path.slice(folder.length)} ${content}`;
  });
  return (await Promise.all(lines)).sort();
}

/** Ends with SIGKILL when the apply in each `at-N` has come to step N. Returns what it printed before. */
async function applyUntilKilled(count: number): Promise<{ signal: unknown; output: string }> {
  const child = spawn(process.execPath, [join(root, 'apply.mjs'), root, String(count)], {
    stdio: ['ignore', 'pipe', 'inherit'],
  });
  let output = '';
  child.stdout.on('data', (chunk: Buffer) => {
    output += chunk.toString();
  });
  const [, signal] = await once(child, 'close');
  return { signal, output };
}

/** Returns the number of its steps. */
async function applyWhole(home: string): Promise<number> {
  const sides = await openSides(home);
  let steps = 0;
  try {
    await applyChanges(sides, CHANGES, new AbortController().signal, () => {
      steps += 1;
    });
  } finally {
    await sides.close();
  }
  return steps;
}

describe('an apply that is killed', () => {
  it('leaves all or none, at each of its steps', async () => {
    const whole = await makeHome('whole');
    const none = await contents(whole);
    expect(await applyWhole(whole)).toBe(STEPS);
    const all = await contents(whole);
    expect(all).not.toEqual(none);
    const steps = Array.from({ length: STEPS }, (_, step) => step);
    for (const step of steps) await makeHome(`at-${step}`);
    expect(await applyUntilKilled(STEPS)).toEqual({ signal: 'SIGKILL', output: '' });
    let committed = 0;
    for (const step of steps) {
      const home = join(root, `at-${step}`);
      await recoverJournals(join(home, 'journals'));
      const after = await contents(home);
      if (isDeepStrictEqual(after, all)) committed += 1;
      else expect(after, `killed at step ${step}`).toEqual(none);
    }
    // The commit is one step, about in the middle.
    expect(committed).toBeGreaterThan(20);
    expect(committed).toBeLessThan(STEPS - 20);
  });

  it('is finished by the next one if it failed after its commit', async () => {
    const home = await makeHome('failed');
    const localPath = join(home, 'folder');
    const journals = join(home, 'journals');
    const { dev, ino } = await stat(localPath);
    const expected = await stampOfFile(join(localPath, 'old/d0'));
    const steps = [{ path: 'old/d0', staged: null, expected, from: null }];
    const journal = newJournal(localPath, `${dev}:${ino}`, { directories: [], steps });
    await writeJournal(journals, 'sbx_222222222222-1', { ...journal, committed: true });
    // Its owner, this process, is alive.
    expect(await recoverJournals(journals)).toEqual([]);
    await finishJournals(journals, { folder: `${dev}:${ino}`, localPath });
    await expect(stat(join(localPath, 'old/d0'))).rejects.toThrow('ENOENT');
    expect((await readdir(journals)).filter((file) => file.endsWith('.json'))).toEqual([]);
  });
});
