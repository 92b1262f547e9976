import { execFile } from 'node:child_process';
import { mkdir, mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join, relative } from 'node:path';
import { fileURLToPath } from 'node:url';
import { promisify } from 'node:util';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { agentFiles, SOURCE_FLAGS } from '../../../agent/build.mjs';

const run = promisify(execFile);
const own = ['./driver.c', './frames.c', './stand-ins.c', './confine.c', './shell.c'].map((name) =>
  fileURLToPath(new URL(name, import.meta.url)),
);
const agent = fileURLToPath(new URL('../../../agent/', import.meta.url));
// The driver replaces these, since their effects must not really happen.
const replaced =
  /^(main\.c|host\/.*|(init\/(init|event-loop)|process\/(drop-privileges|exec-child|kill-tree)|command\/(run|start-kill|supervisor)|shell\/(shell|pty))\.c)$/;

let folder: string;
beforeAll(async () => {
  folder = await mkdtemp(join(tmpdir(), 'agent-fuzz-'));
  const names = (await agentFiles())
    .map((path) => relative(agent, path))
    .filter((name) => name.endsWith('.c') && !replaced.test(name));
  const flags = [...SOURCE_FLAGS, '-g', '-O1', '-Wall', '-Wextra', '-fno-omit-frame-pointer'];
  const sanitizers = ['-fsanitize=address,undefined', '-fno-sanitize-recover=all'];
  const sources = [...own, ...names.map((name) => join(agent, name))];
  await run('cc', [...flags, ...sanitizers, '-o', join(folder, 'driver'), ...sources]);
});
afterAll(async () => {
  // The frames change modes below it.
  await run('chmod', ['-R', 'u+rwX', folder]);
  await rm(folder, { recursive: true, force: true });
});

describe('mutated frames', () => {
  it('raise no sanitizer report', async () => {
    const root = join(folder, 'root');
    await mkdir(root);
    // Leak detection is off: a child of the agent exits after a failure anyway.
    const options = {
      env: { ASAN_OPTIONS: 'detect_leaks=0:abort_on_error=1', UBSAN_OPTIONS: 'print_stacktrace=1' },
    };
    const { stdout, stderr } = await run(join(folder, 'driver'), [root, '1', '6000', '20'], options);
    expect(stderr).toBe('');
    const [iterations = 0, commands = 0, kills = 0, sizes = 0] = stdout.trim().split(' ').map(Number);
    // It must have reached the code under test.
    expect(iterations).toBeGreaterThan(5000);
    expect(commands).toBeGreaterThan(100);
    expect(kills).toBeGreaterThan(100);
    expect(sizes).toBeGreaterThan(100);
  });
});
