import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { mkdirSync, mkdtempSync, realpathSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import { leftovers, sandboxCgroups } from './leftovers.ts';
import { needs } from './needs.ts';

let scratch = '';
let cgroups = '';

beforeEach(() => {
  scratch = realpathSync(mkdtempSync(join(tmpdir(), 'left-')));
  cgroups = mkdtempSync(join(tmpdir(), 'cgroup-'));
});

afterEach(() => {
  rmSync(scratch, { recursive: true });
  rmSync(cgroups, { recursive: true });
});

function left(): string[] {
  return leftovers(scratch, new Set(sandboxCgroups(join(cgroups, 'before'))), cgroups);
}

describe('leftovers', needs('Linux', process.platform === 'linux'), () => {
  it('are empty when nothing was left', () => {
    expect(left()).toEqual([]);
  });

  it('include files, but not the caches of other programs', () => {
    writeFileSync(join(scratch, 'file'), '');
    mkdirSync(join(scratch, 'tsx-0'));
    expect(left()).toEqual([`temporary file ${join(scratch, 'file')}`]);
  });

  it.each<[string, () => [string[], object]]>([
    ['works below the folder', () => [[], { cwd: join(scratch, 'tsx-0') }]],
    ['names the folder', () => [[join(scratch, 'state')], {}]],
    ['has it in its environment', () => [[], { env: { STATE: join(scratch, 'state') } }]],
  ])('include a process that %s', async (_, options) => {
    mkdirSync(join(scratch, 'tsx-0'));
    const [args, more] = options();
    const waiting = [process.execPath, '-e', 'process.stdin.resume(); console.log()', ...args] as const;
    const child = spawn(waiting[0], waiting.slice(1), { stdio: ['pipe', 'pipe', 'inherit'], ...more });
    try {
      await once(child.stdout, 'data');
      expect(left()).toEqual([expect.stringContaining(`process ${child.pid}: `)]);
    } finally {
      child.kill('SIGKILL');
      await once(child, 'close');
    }
    expect(left()).toEqual([]);
  });

  it('include new empty cgroups of sandboxes', () => {
    const [mine, running] = [
      join(cgroups, 'pids/sandbox-mcp.sbx_a'),
      join(cgroups, 'pids/sandbox-mcp.sbx_b'),
    ];
    for (const path of [mine, running, join(cgroups, 'pids/other')]) mkdirSync(path, { recursive: true });
    writeFileSync(join(running, 'cgroup.procs'), '17\n');
    expect(left()).toEqual([`cgroup ${mine}`]);
    expect(leftovers(scratch, new Set([mine]), cgroups)).toEqual([]);
  });
});
