/** Images that have layers in common, from registries in memory. */
import { randomBytes } from 'node:crypto';
import { linkSync } from 'node:fs';
import { lstat, mkdir, readdir, readFile, rm, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { gzipSync } from 'node:zlib';
import { afterAll, afterEach, beforeAll, describe, expect, it } from 'vitest';
import { systemErrorCode } from '../../src/shared/errors.ts';
import { timeoutSignal } from '../conformance/support/requests.ts';
import { ARCHITECTURE, directory, type Entry, hardlink, ociLayout, tarOf } from '../support/archives.ts';
import { needs } from '../support/needs.ts';
import { type MemoryRegistry, startMemoryRegistry } from './registry/support/memory-registry.ts';
import { type ImagePlace, openImagePlace } from './support/image-place.ts';
import { listTree } from './support/tree-listing.ts';

const isRoot = process.getuid?.() === 0;
const LAYER_BYTES = 1_500_000;

function layer(entries: Entry[]) {
  const plain = tarOf([directory('usr', { mode: 0o755 }), ...entries]);
  return { plain, stored: gzipSync(plain, { level: 1 }) };
}

const random = (path: string, more: Partial<Entry> = {}): Entry => ({
  path,
  content: randomBytes(LAYER_BYTES),
  ...more,
});

/** Five layers; the last deletes and replaces files of those below. */
const SHARED = [
  layer([random('usr/first', { mode: 0o4755, uid: 7, gid: 8, mtime: 77 })]),
  layer([random('usr/second'), hardlink('usr/second-link', 'usr/second')]),
  layer([
    random('usr/third'),
    { path: 'etc/passwd', content: 'someone:x:1234:1234::/:/bin/sh\n' },
    { path: 'etc/cron.d/job', content: '@daily root true\n', mode: 0o640, uid: 7, gid: 8, mtime: 77 },
  ]),
  layer([random('usr/fourth'), hardlink('usr/link-below', 'usr/first')]),
  layer([random('usr/fifth'), { path: 'usr/.wh.third' }]),
];
const ONE = layer([random('usr/own'), { path: 'usr/.wh.second-link' }]);
const TWO = layer([
  { path: 'usr/.wh.first' },
  random('usr/second', { mode: 0o600 }),
  directory('usr/fourth'),
  random('usr/own'),
]);

describe('images that share layers', () => {
  let place: ImagePlace;
  let registries: MemoryRegistry[] = [];
  const [one, two] = [0, 1];
  const referenceOf = (which: number) => `${registries[which]?.host}/team/app:latest`;
  const pull = (which: number) =>
    place.images.pull({ reference: referenceOf(which), maxBytes: 1e8 }, timeoutSignal());
  const remove = (which: number) => place.images.remove(referenceOf(which), timeoutSignal());
  const images = () => join(place.stateDir, 'images');
  const layersStored = () => readdir(join(images(), '.layers')).catch(() => []);

  beforeAll(async () => {
    registries = await Promise.all(
      [ONE, TWO].map((own) =>
        startMemoryRegistry(ociLayout([{ architecture: ARCHITECTURE, layers: [...SHARED, own] }])),
      ),
    );
    place = await openImagePlace();
    await place.images.list(timeoutSignal());
  });

  afterEach(async () => {
    for (const { references } of await place.images.list(timeoutSignal()))
      for (const reference of references) await place.images.remove(reference, timeoutSignal());
  });

  afterAll(async () => {
    await place?.close();
    for (const registry of registries) await registry.close();
  });

  it('take the disk of their union, and download each layer once', async () => {
    const first = await pull(one);
    const alone = await diskUsage(images());
    const requested = registries[1]?.requests ?? [];
    requested.length = 0;
    const second = await pull(two);
    // Of the second image, the two files that only its own layer has.
    const added = (await diskUsage(images())) - alone;
    expect(added).toBeGreaterThan(2 * LAYER_BYTES);
    expect(added).toBeLessThan(2.2 * LAYER_BYTES);
    // Its configuration and its own layer.
    expect(requested.filter((line) => line.includes('/blobs/'))).toHaveLength(2);
    expect(await layersStored()).toHaveLength(7);
    expect(second.sizeBytes).toBeGreaterThan(first.sizeBytes);
  });

  it('are each what their own layers say', async () => {
    const before = await treeOf(await pull(one));
    expect(before.map((line) => line.split(' ')[0])).toEqual([
      'fifth',
      'first',
      'fourth',
      'link-below',
      'own',
      'second',
    ]);
    // Only root's sandboxes have ids that follow each other on the host.
    expect(before[1]).toMatch(
      isRoot ? /^first 4755 7:8 77 1500000 bytes/ : /^first 4755 \S+ 77 1500000 bytes/,
    );
    expect(before[3]).toMatch(/ = first$/);
    const passwd = await readFile(join(place.tree((await pull(one)).name), 'etc/passwd'), 'utf8');
    expect(passwd).toContain('someone:x:1234');
    const after = await treeOf(await pull(two));
    expect(after.map((line) => line.split(' ').slice(0, 2).join(' '))).toEqual([
      'fifth 644',
      'fourth 755',
      'link-below 4755',
      'own 644',
      'second 600',
      'second-link 644',
    ]);
    // Nothing of it changed the files that the first has too.
    expect(await treeOf(await pull(one))).toEqual(before);
  });

  it('keep their layers until the last of them is removed', async () => {
    await pull(one);
    const kept = await treeOf(await pull(two));
    await remove(one);
    expect(await layersStored()).toHaveLength(6);
    expect(await treeOf(await pull(two))).toEqual(kept);
    await remove(two);
    expect((await readdir(images())).filter((name) => !name.includes('lock'))).toEqual([]);
  });

  it('download a layer again that is damaged, if they are pulled anew', async () => {
    await pull(one);
    for (const name of await layersStored())
      await writeFile(join(images(), '.layers', name, 'layer.json'), '{"format":0}');
    expect(await treeOf(await pull(two))).toHaveLength(6);
    for (const name of await layersStored())
      await writeFile(join(images(), '.layers', name, 'entries.gz'), 'nonsense');
    await remove(one);
    await expect(pull(one)).rejects.toMatchObject({
      code: 'server',
      message: expect.stringContaining('damaged'),
      hint: expect.stringContaining('image remove'),
    });
    await remove(two);
    expect(await treeOf(await pull(one))).toHaveLength(6);
  });

  const asRoot = needs('root, which can read what the users of an image own', isRoot);
  it('share no files of which programs such as cron require that they have one link', asRoot, async () => {
    const { name } = await pull(one);
    await pull(two);
    const base = await baseId();
    const job = join(place.tree(name), 'etc/cron.d/job');
    expect(await readFile(job, 'utf8')).toBe('@daily root true\n');
    const { nlink, mode, uid, gid, mtimeMs } = await lstat(job);
    expect([nlink, (mode & 0o7777).toString(8), uid - base, gid - base, mtimeMs]).toEqual([
      1,
      '640',
      7,
      8,
      77_000,
    ]);
  });

  it('are made although files of theirs have as many links as the file system allows', async (context) => {
    const shared = join(place.tree((await pull(one)).name), 'usr/fifth');
    const expected = await treeOf(await pull(two));
    await remove(two);
    const links = join(place.stateDir, 'links');
    await mkdir(links);
    try {
      const made = linkUntilFull(shared, links);
      if (made === null) return context.skip('this file system has no limit');
      expect(await treeOf(await pull(two))).toEqual(expected);
      await remove(two);
      // The first link of the tree is the last that is possible.
      await rm(join(links, '0'));
      expect(await treeOf(await pull(two))).toEqual(expected);
    } finally {
      await rm(links, { recursive: true });
    }
  });

  it('lose the layers of a pull whose server was killed', async () => {
    await pull(one);
    const unused = '0'.repeat(64);
    const killed = join(images(), `.new.image.4194303.1.${'0'.repeat(12)}`);
    await mkdir(join(killed, 'layers'), { recursive: true });
    await writeFile(join(killed, 'layers/in-use.json'), JSON.stringify([unused]));
    await mkdir(join(images(), '.layers', unused));
    await place.engine.recover(timeoutSignal());
    expect(await layersStored()).toHaveLength(6);
    expect(await layersStored()).not.toContain(unused);
  });

  async function baseId(): Promise<number> {
    return isRoot ? Number(await readFile(join(place.stateDir, 'uid-range.json'), 'utf8')) : 0;
  }

  /** What is below `usr`; for root, with the owners that sandboxes see. */
  async function treeOf({ name }: { name: string }): Promise<string[]> {
    return listTree(join(place.tree(name), 'usr'), await baseId());
  }
});

/** Links a file as often as its file system allows; null if that is very often. */
function linkUntilFull(path: string, folder: string): number | null {
  for (let made = 0; made < 70_000; made++) {
    try {
      linkSync(path, join(folder, String(made)));
    } catch (error) {
      if (systemErrorCode(error) === 'EMLINK') return made;
      throw error;
    }
  }
  return null;
}

/** Bytes on disk, each file once. */
async function diskUsage(root: string): Promise<number> {
  const seen = new Set<number>();
  let total = 0;
  for (const entry of await readdir(root, { recursive: true })) {
    const { ino, blocks } = await lstat(join(root, entry));
    if (seen.has(ino)) continue;
    seen.add(ino);
    total += blocks * 512;
  }
  return total;
}
