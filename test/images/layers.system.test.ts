/** Archives of container images: stacked layers, named by their digests. */
import { spawnSync } from 'node:child_process';
import { lstat, readdir, readFile } from 'node:fs/promises';
import { join } from 'node:path';
import { gzipSync } from 'node:zlib';
import { afterAll, afterEach, beforeAll, describe, expect, it } from 'vitest';
import { timeoutSignal } from '../conformance/support/requests.ts';
import {
  ARCHITECTURE,
  directory,
  dockerArchive,
  type Entry,
  hardlink,
  ociLayout,
  symlink,
  tarOf,
} from '../support/archives.ts';
import { type ImagePlace, openImagePlace } from './support/image-place.ts';

const LOWER = tarOf([
  directory('usr'),
  { path: 'usr/kept', content: 'kept' },
  { path: 'usr/removed', content: 'removed' },
  directory('usr/tree'),
  { path: 'usr/tree/leaf', content: 'leaf' },
  directory('usr/opaque', { mode: 0o711 }),
  { path: 'usr/opaque/old', content: 'old' },
  directory('usr/linked'),
  { path: 'usr/linked/file', content: 'lower' },
  symlink('usr/link', 'linked'),
  directory('etc'),
  { path: 'etc/passwd', content: 'root:x:0:0::/root:/bin/sh\nnode:x:1000:1000::/home/node:/bin/bash\n' },
]);
const UPPER = tarOf([
  { path: 'usr/.wh.removed' },
  { path: 'usr/.wh.tree' },
  // Written before the opaque marker of its directory, but must be kept.
  { path: 'usr/opaque/new', content: 'new' },
  { path: 'usr/opaque/.wh..wh..opq' },
  { path: 'usr/link/file', content: 'through the link' },
  { path: 'usr/kept', type: '0', mode: 0o600, content: 'replaced' },
  // Kept by some builders for their own use.
  { path: 'usr/.wh..wh.plnk' },
]);

const layer = (plain: Buffer, stored = plain) => ({ plain, stored });

describe('an archive of a container image', () => {
  let place: ImagePlace;

  beforeAll(async () => {
    place = await openImagePlace();
    await place.images.list(timeoutSignal());
  });

  afterEach(async () => {
    for (const { name } of await place.images.list(timeoutSignal()))
      await place.images.remove(name, timeoutSignal());
  });

  afterAll(async () => {
    await place.close();
  });

  const inTree = (...path: string[]) => join(place.tree('image'), ...path);
  const text = (path: string) => readFile(inTree(path), 'utf8');

  it.each<[string, Entry[]]>([
    ['docker save', dockerArchive([LOWER, UPPER])],
    ['docker save, its list first', dockerArchive([LOWER, UPPER]).reverse()],
    [
      'the OCI layout',
      ociLayout([{ architecture: ARCHITECTURE, layers: [layer(LOWER), layer(UPPER, gzipSync(UPPER))] }]),
    ],
  ])('has its layers applied in order: %s', async (_, entries) => {
    await place.import(gzipSync(tarOf(entries)));
    expect((await readdir(inTree('usr'))).sort()).toEqual(['kept', 'link', 'linked', 'opaque']);
    expect(await text('usr/kept')).toBe('replaced');
    expect(await readdir(inTree('usr/opaque'))).toEqual(['new']);
    expect((await lstat(inTree('usr/opaque'))).mode & 0o777).toBe(0o711);
    expect(await text('usr/linked/file')).toBe('through the link');
    expect(await readdir(join(place.stateDir, 'images/image'))).toEqual(['record.json', 'tree']);
    const users = (await text('etc/passwd')).split('\n').map((line) => line.split(':')[0]);
    // Programs report the first account with this number.
    expect(users).toEqual(['root', 'vercel-sandbox', 'node', '']);
  });

  it('may delete several entries with whiteouts that are hard links of one', async () => {
    const whiteouts = tarOf([
      { path: 'usr/.wh.kept', mode: 0 },
      hardlink('usr/.wh.removed', 'usr/kept'),
      { path: 'usr/.wh.tree', link: 'usr/kept', mode: 0 },
    ]);
    await place.import(tarOf(dockerArchive([LOWER, whiteouts])));
    expect((await readdir(inTree('usr'))).sort()).toEqual(['link', 'linked', 'opaque']);
  });

  it('may have Zstandard layers', async () => {
    const { stdout } = spawnSync('zstd', ['-c', '-q'], { input: LOWER });
    await place.import(tarOf(ociLayout([{ architecture: ARCHITECTURE, layers: [layer(LOWER, stdout)] }])));
    expect(await text('usr/kept')).toBe('kept');
  });

  it('is selected by the architecture of this machine', async () => {
    const other = { architecture: 'riscv64', layers: [layer(UPPER)] };
    await place.import(tarOf(ociLayout([other, { architecture: ARCHITECTURE, layers: [layer(LOWER)] }])));
    expect(await text('usr/tree/leaf')).toBe('leaf');
    await expect(place.import(tarOf(ociLayout([other])), { name: 'other' })).rejects.toMatchObject({
      code: 'unsupported',
      message: expect.stringContaining('riscv64'),
    });
    await expect(
      place.import(tarOf(dockerArchive([LOWER], { architecture: 's390x' })), { name: 'other' }),
    ).rejects.toMatchObject({ code: 'unsupported', message: expect.stringContaining('s390x') });
  });

  it.each<[string, Entry[], string]>([
    [
      'a part does not match its digest',
      spoil(ociLayout([{ architecture: ARCHITECTURE, layers: [layer(LOWER)] }])),
      'digest',
    ],
    [
      'a layer does not match the configuration',
      dockerArchive([LOWER]).map((entry) =>
        entry.path.endsWith('.tar') ? { ...entry, content: UPPER } : entry,
      ),
      'digest',
    ],
    ['a part is missing', dockerArchive([LOWER]).slice(1), 'layer.tar'],
    [
      'its list names missing parts',
      [{ path: 'manifest.json', content: '[{"Config":"/etc/passwd","Layers":[]}]' }],
      '/etc/passwd',
    ],
    ['its list is invalid', [{ path: 'manifest.json', content: '{"a":1}' }], 'manifest.json'],
    ['it contains two images', twice(dockerArchive([LOWER])), '2 images (test:latest, test:latest)'],
  ])('is rejected when %s, and leaves nothing', async (_, entries, words) => {
    await expect(place.import(tarOf(entries))).rejects.toMatchObject({
      code: 'invalid_argument',
      message: expect.stringContaining(words),
    });
    expect(await place.left()).toEqual([]);
  });

  it('is selected by name if there are several', async () => {
    const entries = several({ 'registry.example/org/app:1': LOWER, 'other:latest': UPPER });
    await place.import(tarOf(entries), { image: 'app:1' });
    expect(await text('usr/tree/leaf')).toBe('leaf');
    await place.import(tarOf(entries), { name: 'second', image: 'other' });
    expect(await readdir(join(place.tree('second'), 'usr/opaque'))).toEqual(['new']);
    await expect(place.import(tarOf(entries), { name: 'third', image: 'app' })).rejects.toMatchObject({
      code: 'not_found',
      message: expect.stringContaining('"app"'),
      hint: expect.stringContaining('registry.example/org/app:1, other:latest'),
    });
    await expect(place.import(LOWER, { name: 'third', image: 'app' })).rejects.toMatchObject({
      code: 'invalid_argument',
      hint: expect.stringContaining('--image'),
    });
    expect(await place.left()).toEqual(['image', 'second']);
  });

  it('limits the total of its layers', async () => {
    const zeros = [1, 2, 3, 4].map((n) =>
      tarOf([directory('usr'), { path: `usr/${n}`, content: Buffer.alloc(400_000, n) }]),
    );
    const archive = gzipSync(
      tarOf(
        ociLayout([
          { architecture: ARCHITECTURE, layers: zeros.map((plain) => layer(plain, gzipSync(plain))) },
        ]),
      ),
    );
    await expect(place.import(archive, { maxBytes: 1_000_000 })).rejects.toMatchObject({
      code: 'limit_exceeded',
    });
    expect(await place.left()).toEqual([]);
  });
});

/** One archive with several images of one layer each. */
function several(images: Record<string, Buffer>): Entry[] {
  const all = Object.entries(images).map(([name, layer]) => dockerArchive([layer], { name }));
  const lists = all.map((entries) => String(entries.at(-1)?.content).slice(1, -1));
  return [
    ...all.flatMap((entries) => entries.slice(0, -1)),
    { path: 'manifest.json', content: `[${lists.join(',')}]` },
  ];
}

function spoil(entries: Entry[]): Entry[] {
  return entries.map((entry, at) =>
    at === entries.length - 1 ? { ...entry, content: `${entry.content} ` } : entry,
  );
}

function twice(entries: Entry[]): Entry[] {
  return entries.map((entry) => {
    if (entry.path !== 'manifest.json') return entry;
    const list = String(entry.content).slice(1, -1);
    return { ...entry, content: `[${list},${list}]` };
  });
}
