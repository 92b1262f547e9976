import { execFile } from 'node:child_process';
import { mkdir, mkdtemp, readdir, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { promisify } from 'node:util';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';

const run = promisify(execFile);
const own = ['./driver.c', './stand-ins.c', './confine.c', './shell.c'].map((name) =>
  fileURLToPath(new URL(name, import.meta.url)),
);
const agent = fileURLToPath(new URL('../../../src/engines/oci/agent/', import.meta.url));
// The driver stands in for these: what they do must not happen for real.
const replaced = /^(main|init|accept|drop|run|launch|supervise|tree-kill|shell|terminal|host-.*)\.c$/;

let folder: string;
beforeAll(async () => {
  folder = await mkdtemp(join(tmpdir(), 'agent-fuzz-'));
  const names = (await readdir(agent)).filter((name) => name.endsWith('.c') && !replaced.test(name));
  const flags = ['-std=gnu11', '-g', '-O1', '-Wall', '-Wextra', '-Werror', '-fno-omit-frame-pointer'];
  const sanitizers = ['-fsanitize=address,undefined', '-fno-sanitize-recover=all'];
  const sources = [...own, ...names.map((name) => join(agent, name))];
  await run('cc', [...flags, ...sanitizers, '-o', join(folder, 'driver'), ...sources]);
});
afterAll(() => rm(folder, { recursive: true, force: true }));

describe('mutated frames', () => {
  it('raise no sanitizer report', async () => {
    const root = join(folder, 'root');
    await mkdir(root);
    // Leaks are not looked for: a child of the agent that has failed ends.
    const options = {
      env: { ASAN_OPTIONS: 'detect_leaks=0:abort_on_error=1', UBSAN_OPTIONS: 'print_stacktrace=1' },
    };
    const { stdout, stderr } = await run(join(folder, 'driver'), [root, '1', '200000', '20'], options);
    expect(stderr).toBe('');
    const [iterations = 0, commands = 0, kills = 0, sizes = 0] = stdout.trim().split(' ').map(Number);
    // It has to have reached what it is meant to test.
    expect(iterations).toBeGreaterThan(5000);
    expect(commands).toBeGreaterThan(100);
    expect(kills).toBeGreaterThan(100);
    expect(sizes).toBeGreaterThan(100);
  });
});
