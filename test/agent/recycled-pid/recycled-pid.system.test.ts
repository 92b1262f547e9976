import { execFile } from 'node:child_process';
import { mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { promisify } from 'node:util';
import { afterAll, beforeAll, expect, it } from 'vitest';
import { SOURCE_FLAGS } from '../../../agent/build.mjs';
import { TIMEOUT_FACTOR } from '../../support/timeout-factor.ts';

const run = promisify(execFile);
const agent = fileURLToPath(new URL('../../../agent/process/', import.meta.url));

let folder: string;
beforeAll(async () => {
  folder = await mkdtemp(join(tmpdir(), 'recycled-pid-'));
  const sources = ['agent.c', 'kill-tree.c', 'pidfd.c'].map((name) => join(agent, name));
  const driver = fileURLToPath(new URL('./driver.c', import.meta.url));
  const wrapped = '-Wl,--wrap=syscall,--wrap=kill';
  await run('cc', [
    ...SOURCE_FLAGS,
    '-O1',
    '-Wall',
    wrapped,
    '-o',
    join(folder, 'driver'),
    driver,
    ...sources,
  ]);
});
afterAll(() => rm(folder, { recursive: true, force: true }));

it.each([
  ['between reading /proc and opening the process', 'open'],
  ['between opening the process and signalling it', 'signal'],
])('never kills the process that received a recycled pid %s', async (_, moment) => {
  const { stdout } = await run(join(folder, 'driver'), [moment], { timeout: 30_000 * TIMEOUT_FACTOR });
  expect(stdout).toBe('0\nalive\n');
});
