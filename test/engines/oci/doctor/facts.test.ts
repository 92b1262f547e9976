import { mkdtempSync, rmSync, symlinkSync, writeFileSync } from 'node:fs';
import { release, tmpdir } from 'node:os';
import { join } from 'node:path';
import { describe, expect, it } from 'vitest';
import { parseOsRelease } from '../../../../src/engines/oci/doctor/distro.ts';
import { fileSystemOf, readHostFacts } from '../../../../src/engines/oci/doctor/host-facts.ts';
import { needs } from '../../../support/needs.ts';

describe('parseOsRelease', () => {
  it.each([
    ['ID=debian\nPRETTY_NAME="Debian GNU/Linux 12 (bookworm)"\n', 'debian', 'Debian GNU/Linux 12 (bookworm)'],
    ['PRETTY_NAME="Ubuntu 24.04.1 LTS"\nID=ubuntu\nID_LIKE=debian\n', 'debian', 'Ubuntu 24.04.1 LTS'],
    ['ID=linuxmint\nID_LIKE="ubuntu debian"\n', 'debian', 'linuxmint'],
    ['ID="rhel"\nID_LIKE="fedora"\n', 'fedora', 'rhel'],
    ['ID="ol"\nID_LIKE="fedora"\n', 'fedora', 'ol'],
    ["ID='arch'\n", 'arch', 'arch'],
    ['ID=alpine\n', 'alpine', 'alpine'],
    ['ID="opensuse-leap"\nID_LIKE="suse opensuse"\n', 'suse', 'opensuse-leap'],
    ['ID=nixos\n', 'other', 'nixos'],
    ['', 'other', 'Linux'],
  ])('parses %j', (text, family, name) => {
    expect(parseOsRelease(text)).toEqual({ family, name });
  });
});

describe('fileSystemOf', () => {
  const mounts = [
    '21 1 254:0 / / rw,relatime - ext4 /dev/vda rw',
    '30 21 0:40 / /home rw shared:5 - btrfs /dev/vdb rw',
    '31 30 0:41 / /home/al\\040ice rw - tmpfs tmpfs rw',
    '32 30 0:42 / /home/al\\040ice rw - overlay overlay rw',
  ].join('\n');

  it.each([
    ['/', 'ext4'],
    ['/homes', 'ext4'],
    ['/home', 'btrfs'],
    ['/home/bob/x', 'btrfs'],
    ['/home/al ice/x', 'overlay'],
  ])('finds the mount of %s', (path, type) => {
    expect(fileSystemOf(path, mounts)).toBe(type);
  });
});

describe('readHostFacts', needs('Linux', process.platform === 'linux'), () => {
  it('reads this machine, even before the state directory exists', async () => {
    const folder = mkdtempSync(join(tmpdir(), 'facts-'));
    try {
      const facts = await readHostFacts(join(folder, 'a/b/state'), join(folder, 'dist/agent-x64'));
      expect(facts).toMatchObject({
        kernel: release(),
        arch: process.arch,
        isRoot: process.geteuid?.() === 0,
        agent: { built: false, buildScript: null },
        // The mode that mkdtemp uses.
        stateDir: {
          notPassable: folder,
          existing: { path: folder, isDirectory: true, writable: true },
        },
      });
      expect(facts.stateDir.freeBytes).toBeGreaterThan(0);
      expect(facts.stateDir.fileSystem).not.toBe('unknown');
    } finally {
      rmSync(folder, { recursive: true });
    }
  });

  it('reports what is in the way of the state directory', async () => {
    const folder = mkdtempSync(join(tmpdir(), 'facts-'));
    const [file, link] = [join(folder, 'file'), join(folder, 'link')];
    writeFileSync(file, '');
    symlinkSync(join(folder, 'nowhere'), link);
    try {
      for (const [path, blocker] of [
        [file, file],
        [join(file, 'state'), file],
        [link, link],
      ] as const) {
        const { stateDir } = await readHostFacts(path, join(folder, 'dist/agent-x64'));
        expect(stateDir.existing).toMatchObject({ path: blocker, isDirectory: false });
      }
      const { stateDir } = await readHostFacts('/proc/state', join(folder, 'dist/agent-x64'));
      expect(stateDir).toMatchObject({ existing: { path: '/proc' }, fileSystem: 'proc' });
    } finally {
      rmSync(folder, { recursive: true });
    }
  });
});
