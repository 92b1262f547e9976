import { mkdtemp, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import { enforcedLimits, unifiedCgroup } from '../../../../src/engines/oci/host/cgroups.ts';

describe('the cgroup chosen by systemd', () => {
  it('is read from the unified line', () => {
    const scope = '/user.slice/user-1000.slice/user@1000.service/user.slice/sandbox-mcp-sbx_a.scope';
    expect(unifiedCgroup(`0::${scope}\n`)).toEqual([`/sys/fs/cgroup${scope}`]);
    expect(unifiedCgroup(`4:memory:/elsewhere\n0::${scope}\n`)).toEqual([`/sys/fs/cgroup${scope}`]);
  });

  it('is null for a process in the root, on version 1 only, or outside the visible tree', () => {
    expect(unifiedCgroup('0::/\n')).toEqual([]);
    expect(unifiedCgroup('4:memory:/x\n')).toEqual([]);
    expect(unifiedCgroup('0::/../../other.scope\n')).toEqual([]);
  });
});

describe('limits in force', () => {
  let directory = '';
  beforeEach(async () => {
    directory = await mkdtemp(join(tmpdir(), 'cgroup-'));
  });
  afterEach(() => rm(directory, { recursive: true }));

  it('are distinguished from the values for no limit, in both versions', async () => {
    await writeFile(join(directory, 'memory.max'), 'max\n');
    await writeFile(join(directory, 'cpu.max'), 'max 100000\n');
    await writeFile(join(directory, 'memory.limit_in_bytes'), '9223372036854771712\n');
    await writeFile(join(directory, 'cpu.cfs_quota_us'), '-1\n');
    expect(enforcedLimits([directory])).toEqual({ memory: false, cpu: false, pids: false });
    await writeFile(join(directory, 'memory.max'), '2147483648\n');
    await writeFile(join(directory, 'cpu.cfs_quota_us'), '200000\n');
    await writeFile(join(directory, 'pids.max'), '512\n');
    expect(enforcedLimits([directory])).toEqual({ memory: true, cpu: true, pids: true });
  });
});
