/**
 * A corpus of images and root file systems as umoci, skopeo, buildah, GNU tar and BusyBox write them: the imported tree
 * equals the one that the tool itself unpacks, entry by entry.
 */
import { execFile } from 'node:child_process';
import { mkdir, readFile } from 'node:fs/promises';
import { join } from 'node:path';
import { promisify } from 'node:util';
import { afterAll, afterEach, beforeAll, describe, expect, it } from 'vitest';
import { timeoutSignal } from '../conformance/support/requests.ts';
import { needs } from '../support/needs.ts';
import { type ImagePlace, openImagePlace } from './support/image-place.ts';
import {
  changeUpper,
  fillLower,
  type ImageTools,
  missingTools,
  openImageTools,
} from './support/image-tools.ts';
import { isWritten, listTree } from './support/tree-listing.ts';

const run = promisify(execFile);
const missing = missingTools('umoci', 'skopeo');

/** How skopeo and tar write an image of an OCI layout. */
const WRITERS = {
  'the layout itself': [],
  'docker-archive': ['docker-archive:NAME.tar:registry.example/two:1'],
  'docker-archive with gzip': ['docker-archive:NAME.tar:registry.example/two:1', 'gzip'],
  'docker-archive with zstd': ['docker-archive:NAME.tar:registry.example/two:1', 'zstd'],
  'oci-archive': ['oci-archive:NAME.tar'],
  'oci-archive with zstd layers': [
    'oci-archive:NAME.tar',
    '',
    '--dest-compress',
    '--dest-compress-format',
    'zstd',
  ],
  'oci-archive with uncompressed layers': ['oci-archive:NAME.tar', '', '--dest-decompress'],
  directory: ['dir:NAME'],
  'directory of Docker media types': ['dir:NAME', '', '--format', 'v2s2'],
  'directory in an archive': ['dir:NAME', 'tar'],
  'directory of Docker media types in an archive': ['dir:NAME', 'tar', '--format', 'v2s2'],
  'layout in an archive': ['oci:NAME:two', 'tar'],
} satisfies Record<string, string[]>;

/** How archivers write a root file system. */
const ARCHIVERS = {
  'GNU tar': ['tar', '--format=gnu', '-cf'],
  'GNU tar, PAX': ['tar', '--format=posix', '-cf'],
  'GNU tar, PAX, with gzip': ['tar', '--format=posix', '-czf'],
  'GNU tar with zstd': ['tar', '--format=gnu', '--zstd', '-cf'],
  'BusyBox tar': ['busybox', 'tar', '-cf'],
} satisfies Record<string, string[]>;

describe('images of real tools', needs(missing ?? '', missing === null), () => {
  let tools: ImageTools;
  let place: ImagePlace;
  let base: number;
  /** What umoci unpacks, and the layout that it is in, by the tool that made the image. */
  const made = new Map<string, { layout: string; expected: string[] }>();
  /** Why there is no image of buildah. */
  let unavailable = missingTools('buildah');

  const listed = async (root: string, baseId: number) =>
    (await listTree(root, baseId)).filter((line) => !isWritten(line));
  const imported = async (archive: string, image?: string) => {
    const request = { name: 'image', archive, image, maxBytes: 1e9 };
    const { notes } = await place.images.import(request, timeoutSignal());
    expect(notes).toEqual([]);
    return listed(place.tree('image'), base);
  };
  const add = async (name: string, layout: string) => {
    made.set(name, { layout, expected: await listed(await tools.unpack(layout, 'two'), 0) });
  };

  beforeAll(async () => {
    [tools, place] = await Promise.all([openImageTools(), openImagePlace()]);
    await place.images.list(timeoutSignal());
    base = Number(await readFile(join(place.stateDir, 'uid-range.json'), 'utf8'));
    await add('umoci', tools.layout);
    if (unavailable !== null) return;
    const build = async (from: string, change: (root: string) => Promise<void>) => {
      const container = await tools.buildah('from', from);
      await change(await tools.buildah('mount', container));
      return tools.buildah('commit', '--rm', container);
    };
    try {
      const built = await build(await build('scratch', fillLower), changeUpper);
      await tools.buildah('push', built, 'oci:buildah:two');
      await tools.buildah('push', built, 'docker-archive:buildah.tar:two');
    } catch (error) {
      unavailable = `buildah cannot mount overlays here: ${String(error).slice(0, 300)}`;
      return;
    }
    await add('buildah', tools.path('buildah'));
  });

  afterEach(async () => {
    for (const { name } of await place.images.list(timeoutSignal()))
      await place.images.remove(name, timeoutSignal());
  });

  afterAll(async () => {
    await place.close();
    await tools.close();
  });

  it('are compared by more than a few entries', () => {
    const expected = made.get('umoci')?.expected ?? [];
    expect(expected.length).toBeGreaterThan(20);
    expect(expected.some((line) => line.startsWith('opt/latin\xe9 '))).toBe(true);
    expect(expected.some((line) => /^usr\/deep 755 0:0 -\d+ directory/.test(line))).toBe(true);
  });

  describe.each(['umoci', 'buildah'])('made by %s', (maker) => {
    it.for(Object.entries(WRITERS))('are imported from %s', async ([name, writer], context) => {
      const image = made.get(maker);
      if (image === undefined) return context.skip(unavailable ?? 'no image');
      const [to = '', packed = '', ...options] = writer;
      if (to === '') return expect(await imported(image.layout, 'two')).toEqual(image.expected);
      const file = `${maker} ${name}`.replaceAll(/[^a-z]+/gi, '-');
      await tools.skopeo('copy', ...options, `oci:${image.layout}:two`, to.replace('NAME', file));
      const written = tools.path(to.includes('.tar') ? `${file}.tar` : file);
      expect(await imported(await pack(written, packed))).toEqual(image.expected);
    });
  });

  it('are imported as buildah writes them, with deletions as hard links of one whiteout', async (context) => {
    const image = made.get('buildah');
    if (image === undefined) return context.skip(unavailable ?? 'no image');
    expect(await imported(tools.path('buildah.tar'))).toEqual(image.expected);
  });

  it('are picked by name from a layout with several, in place or in an archive', async () => {
    const archive = await pack(tools.layout, 'tar');
    expect(await imported(archive, 'two')).toEqual(made.get('umoci')?.expected);
    await expect(place.import(await readFile(archive), { name: 'other' })).rejects.toMatchObject({
      message: expect.stringContaining('2 images'),
      hint: expect.stringContaining('--image'),
    });
  });

  it.each(Object.entries(ARCHIVERS))('root file systems are imported from %s', async (name, writer) => {
    const [program = '', ...options] = writer;
    const tree = await tools.unpack(tools.layout, 'two');
    const archive = tools.path(`${name.replaceAll(/[^a-z]+/gi, '-')}.tar`);
    await run(program, [...options, archive, '-C', tree, '.']);
    const unpacked = tools.path(`${name} unpacked`);
    await mkdir(unpacked);
    // BusyBox restores no times of directories and symbolic links.
    await run('tar', ['--numeric-owner', '-xpf', archive, '-C', unpacked]);
    expect(await imported(archive)).toEqual(await listed(unpacked, 0));
  });

  /** Packs or compresses what a tool has written, if `how` says so. */
  async function pack(written: string, how: string): Promise<string> {
    if (how === '') return written;
    if (how === 'tar') return tools.tar(`${written.split('/').at(-1)}.tar`, written);
    await run(how, ['--quiet', '--force', '--keep', written]);
    return `${written}.${how === 'gzip' ? 'gz' : 'zst'}`;
  }
});
