/** The slow machine of `npm run test:slow`: its resources, and its cleanup. */
import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { existsSync, readdirSync, readFileSync } from 'node:fs';
import { join } from 'node:path';
import { expect, it, onTestFinished } from 'vitest';
import { needs } from '../support/needs.ts';

const ROOT = join(import.meta.dirname, '../..');
const V1_CPU = '/sys/fs/cgroup/cpu';
const isRoot = process.getuid?.() === 0;
const usable = isRoot && existsSync('/usr/bin/stress') && existsSync(join(V1_CPU, 'cpu.cfs_quota_us'));

/** All processes below this one, by number and command line. */
function descendants(of: number): Map<number, string> {
  const processes = readdirSync('/proc').flatMap((name) => {
    try {
      const stat = readFileSync(`/proc/${Number(name)}/stat`, 'utf8');
      const [state, parent] = stat.slice(stat.lastIndexOf(')') + 2).split(' ');
      if (state === 'Z') return [];
      const command = readFileSync(`/proc/${name}/cmdline`, 'utf8').replaceAll('\0', ' ');
      return [{ pid: Number(name), parent: Number(parent), command }];
    } catch {
      // No process, or one that has ended meanwhile.
      return [];
    }
  });
  const found = new Map<number, string>();
  const open = [of];
  for (let at = open.pop(); at !== undefined; at = open.pop()) {
    for (const { pid, parent, command } of processes) {
      if (parent !== at) continue;
      found.set(pid, command);
      open.push(pid);
    }
  }
  return found;
}

const title = 'gives the tests half a core under load, and ends all processes when it is killed';
it(title, needs('root, stress and cgroups of version 1', usable), async () => {
  const args = ['scripts/test-slow.mjs', 'test/shared/duration.test.ts'];
  const child = spawn(process.execPath, args, { cwd: ROOT, stdio: 'ignore' });
  onTestFinished(() => {
    child.kill('SIGTERM');
  });
  const exited = once(child, 'exit');
  const cgroup = join(V1_CPU, `slow-tests-${child.pid}`);
  const below = () => descendants(child.pid ?? 0);
  const hogs = () => [...below().values()].filter((command) => command.startsWith('stress --quiet'));
  await expect.poll(() => hogs().length).toBeGreaterThan(1);
  await expect.poll(() => readFileSync(join(cgroup, 'cgroup.procs'), 'utf8')).not.toBe('');
  const limit = ['quota', 'period'].map((name) =>
    Number(readFileSync(join(cgroup, `cpu.cfs_${name}_us`), 'utf8')),
  );
  expect(limit).toEqual([50_000, 100_000]);
  const confined = readFileSync(join(cgroup, 'cgroup.procs'), 'utf8').trim().split('\n').map(Number);
  const started = below();
  expect(confined.filter((pid) => started.get(pid)?.startsWith('stress'))).toEqual([]);

  child.kill('SIGKILL');
  await exited;
  await expect
    .poll(() => [...started].filter(([pid, command]) => isStill(pid, command)).map(([, command]) => command))
    .toEqual([]);
  // The cgroup of a run that was killed is removed by the next one.
  const next = spawn(process.execPath, ['scripts/test-slow.mjs', 'no-such-test'], {
    cwd: ROOT,
    stdio: 'ignore',
  });
  await once(next, 'exit');
  expect(
    readdirSync(V1_CPU).filter((name) => cgroup.endsWith(name) || name.endsWith(`-${next.pid}`)),
  ).toEqual([]);
});

function isStill(pid: number, command: string): boolean {
  try {
    return readFileSync(`/proc/${pid}/cmdline`, 'utf8').replaceAll('\0', ' ') === command;
  } catch {
    return false;
  }
}
