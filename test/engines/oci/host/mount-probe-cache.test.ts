import { chmodSync, existsSync, mkdirSync, mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import {
  MountProbeCache,
  type ProbedMounts,
} from '../../../../src/engines/oci/host/probe/mount-probe-cache.ts';

let root = '';
beforeEach(() => {
  root = mkdtempSync(join(tmpdir(), 'mounts-'));
});
afterEach(() => rmSync(root, { recursive: true }));

function cacheOf(altered: Partial<ProbedMounts> = {}, directory: string | null = join(root, 'run')) {
  const stateDir = join(root, 'one');
  mkdirSync(stateDir, { recursive: true });
  return new MountProbeCache(
    {
      stateDir,
      directories: ['/usr'],
      agent: join(stateDir, 'bin/agent-0123'),
      diskIds: { uidMappings: [{ containerID: 0, hostID: 100_000, size: 65_536 }] },
      separateIds: true,
      ...altered,
    },
    directory,
  );
}

describe('that root’s mounts work', () => {
  it('is kept, also for another state directory of the same file system', async () => {
    expect(cacheOf().has()).toBe(false);
    await cacheOf().add();
    expect(cacheOf().has()).toBe(true);
    const stateDir = join(root, 'two');
    mkdirSync(stateDir);
    expect(cacheOf({ stateDir, agent: join(stateDir, 'bin/agent-0123') }).has()).toBe(true);
  });

  it.each<[string, Partial<ProbedMounts>]>([
    ['another file system', { stateDir: '/proc' }],
    ['other system directories', { directories: ['/usr', '/lib32'] }],
    ['a system directory of another file system', { directories: ['/proc'] }],
    ['another agent', { agent: '/elsewhere/bin/agent-4567' }],
    ['sandboxes with the ids of the disk', { separateIds: false }],
    ['another number of ids', { diskIds: { uidMappings: [{ containerID: 0, hostID: 0, size: 1 }] } }],
  ])('does not hold for %s', async (_, altered) => {
    await cacheOf().add();
    expect(cacheOf(altered).has()).toBe(false);
  });

  it('is not believed where others can write', async () => {
    await cacheOf().add();
    chmodSync(join(root, 'run'), 0o777);
    expect(cacheOf().has()).toBe(false);
  });

  it('is not kept where there is no directory for it', async () => {
    await cacheOf({}, null).add();
    await cacheOf({}, '/proc/not/there').add();
    expect(cacheOf({}, null).has()).toBe(false);
    expect(existsSync(join(root, 'run'))).toBe(false);
  });
});
