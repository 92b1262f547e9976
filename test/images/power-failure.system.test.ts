/** What is left of an image after a power failure: the disk, without what the kernel had not written to it. */
import { execFile, spawn } from 'node:child_process';
import { once } from 'node:events';
import { copyFile, mkdir, mkdtemp, rm, truncate, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { text } from 'node:stream/consumers';
import { promisify } from 'node:util';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { Unpacker } from '../../src/images/unpacker.ts';
import { AGENT_PATH } from '../engines/oci/support/oci-engines.ts';
import { needs } from '../support/needs.ts';

const run = promisify(execFile);
const isRoot = process.getuid?.() === 0;

describe('after a power failure', needs('root, to mount a file system', isRoot), () => {
  let home = '';
  let lack: string | null = null;
  const disk = () => join(home, 'disk');
  const mounted = () => join(home, 'mounted');

  beforeAll(async () => {
    home = await mkdtemp(join(tmpdir(), 'power-'));
    await mkdir(mounted());
    await writeFile(disk(), '');
    await truncate(disk(), 16 * 1_048_576);
    try {
      await run('mkfs.ext4', ['-q', '-F', disk()]);
      await run('mount', ['-o', 'loop', disk(), mounted()]);
    } catch (error) {
      lack = `needs loop devices and mkfs.ext4: ${String(error)}`;
    }
  });

  afterAll(async () => {
    if (lack === null) await run('umount', [mounted()]);
    await rm(home, { recursive: true, force: true });
  });

  it('all files are there of a tree that was complete', async (context) => {
    if (lack !== null) return context.skip(lack);
    const tree = join(mounted(), 'tree');
    await mkdir(tree);
    const child = spawn(AGENT_PATH, ['unpack', tree], { stdio: ['pipe', 'pipe', 'pipe'] });
    const [output, errors] = [text(child.stdout), text(child.stderr)];
    const ended = once(child, 'close').then(async () => ({
      ...{ exitCode: child.exitCode, output: await output, errors: await errors },
    }));
    const unpacker = new Unpacker({ stdin: child.stdin, ended, kill: () => void child.kill('SIGKILL') });
    const names = Array.from({ length: 50 }, (_, n) => `usr/file${n}`);
    try {
      for (const name of names) await unpacker.file(name, `content of ${name};`);
      expect(await unpacker.finish()).toBe(0);
    } finally {
      await unpacker.close();
    }
    const after = join(home, 'after');
    await copyFile(disk(), after);
    // As the next mount would, it completes what the journal has. It exits with 1 if it changed something.
    await run('e2fsck', ['-fy', after]).catch(() => {});
    const request = names.map((name) => `cat /tree/${name}`).join('\n');
    await writeFile(join(home, 'request'), request);
    const { stdout } = await run('debugfs', ['-f', join(home, 'request'), after]);
    expect(names.filter((name) => !stdout.includes(`content of ${name};`))).toEqual([]);
  });
});
