/** Sparse files, as GNU tar writes them, in archives and in layers of a registry: their holes take no disk. */
import { spawnSync } from 'node:child_process';
import { lstat, mkdir, mkdtemp, open, readFile, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, afterEach, beforeAll, describe, expect, it } from 'vitest';
import { timeoutSignal } from '../conformance/support/requests.ts';
import { ARCHITECTURE, ociLayout } from '../support/archives.ts';
import { needs } from '../support/needs.ts';
import { startMemoryRegistry } from './registry/support/memory-registry.ts';
import { type ImagePlace, openImagePlace } from './support/image-place.ts';

const FORMS = {
  'of GNU tar': ['--format=gnu'],
  'with records of version 0.0': ['--format=posix', '--sparse-version=0.0'],
  'with records of version 0.1': ['--format=posix', '--sparse-version=0.1'],
  'with records of version 1.0': ['--format=posix', '--sparse-version=1.0'],
};
const MIB = 1_048_576;
const HOLES = 40 * MIB;
/** What is written between the holes. */
const PIECES = [0, 3 * MIB + 7, 20 * MIB];
/** In a place whose files are copied instead of linked, too. */
const PATHS = ['usr/sparse', 'etc/sparse'];
const isGnu = spawnSync('tar', ['--version']).stdout?.toString().startsWith('tar (GNU tar)') === true;

describe('sparse files', needs('GNU tar', isGnu), () => {
  let place: ImagePlace;
  let folder = '';
  let expected = Buffer.alloc(0);

  beforeAll(async () => {
    place = await openImagePlace();
    await place.images.list(timeoutSignal());
    folder = await mkdtemp(join(tmpdir(), 'sparse-'));
    for (const path of PATHS) {
      await mkdir(join(folder, 'root', path, '..'), { recursive: true });
      const file = await open(join(folder, 'root', path), 'w');
      for (const at of PIECES) await file.write(Buffer.alloc(5_000, 'x'), 0, 5_000, at);
      await file.truncate(HOLES);
      await file.close();
    }
    await writeFile(join(folder, 'root/usr/zeros'), Buffer.alloc(10 * MIB));
    expected = await readFile(join(folder, 'root', 'usr/sparse'));
  });

  afterEach(async () => {
    for (const { name } of await place.images.list(timeoutSignal()))
      await place.images.remove(name, timeoutSignal());
  });

  afterAll(async () => {
    await place?.close();
    await rm(folder, { recursive: true, force: true });
  });

  /** Zeros that are not sparse on the disk come as data. */
  function archive(options: readonly string[]): Buffer {
    const words = [
      '-cf',
      '-',
      '--hole-detection=seek',
      '-S',
      ...options,
      '-C',
      join(folder, 'root'),
      ...['usr/sparse', 'usr/zeros', 'etc'],
    ];
    const { stdout, stderr, status } = spawnSync('tar', words, { maxBuffer: 1e9 });
    if (status !== 0) throw new Error(String(stderr));
    return stdout;
  }

  async function check(name: string): Promise<void> {
    for (const path of PATHS) {
      const file = join(place.tree(name), path);
      expect((await readFile(file)).equals(expected), path).toBe(true);
      expect((await lstat(file)).blocks * 512, path).toBeLessThan(MIB);
    }
    const zeros = await lstat(join(place.tree(name), 'usr/zeros'));
    expect(zeros.size).toBe(10 * MIB);
    expect(zeros.blocks * 512).toBeLessThan(MIB);
  }

  describe.each(Object.entries(FORMS))('%s', (_, options) => {
    it('are imported', async () => {
      const bytes = archive(options);
      expect(bytes.length).toBeLessThan(12 * MIB);
      await place.import(bytes, { maxBytes: 128 * MIB });
      await check('image');
    });

    it('are pulled', async () => {
      const plain = archive(options);
      const layers = [{ plain, stored: plain }];
      const registry = await startMemoryRegistry(ociLayout([{ architecture: ARCHITECTURE, layers }]));
      try {
        const reference = `${registry.host}/team/app:latest`;
        const { name } = await place.images.pull({ reference, maxBytes: 128 * MIB }, timeoutSignal());
        await check(name);
      } finally {
        await registry.close();
      }
    });

    it('count as large as they are', async () => {
      const plain = archive(options);
      const limit = { code: 'limit_exceeded', message: expect.stringContaining(String(64 * MIB)) };
      await expect(place.import(plain, { maxBytes: 64 * MIB })).rejects.toMatchObject(limit);
      const layers = [{ plain, stored: plain }];
      const registry = await startMemoryRegistry(ociLayout([{ architecture: ARCHITECTURE, layers }]));
      try {
        const reference = `${registry.host}/team/app:latest`;
        const pulling = place.images.pull({ reference, maxBytes: 64 * MIB }, timeoutSignal());
        await expect(pulling).rejects.toMatchObject(limit);
        expect(await place.left()).toEqual([]);
      } finally {
        await registry.close();
      }
    });
  });
});
