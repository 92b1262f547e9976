/**
 * Images as umoci, skopeo and buildah write them: the imported tree equals the one that umoci unpacks, entry
 * by entry.
 */
import { readFile } from 'node:fs/promises';
import { join } from 'node:path';
import { afterAll, afterEach, beforeAll, describe, expect, it } from 'vitest';
import { timeoutSignal } from '../conformance/support/requests.ts';
import { type ImagePlace, openImagePlace } from './support/image-place.ts';
import {
  changeUpper,
  fillLower,
  type ImageTools,
  missingTools,
  openImageTools,
} from './support/image-tools.ts';
import { isWritten, listTree } from './support/tree-listing.ts';

const missing = missingTools('umoci', 'skopeo');

describe.skipIf(missing !== null)(`images of real tools${missing === null ? '' : ` (${missing})`}`, () => {
  let tools: ImageTools;
  let place: ImagePlace;
  let expected: string[];
  let base: number;

  const listed = async (root: string, baseId: number) =>
    (await listTree(root, baseId)).filter((line) => !isWritten(line));
  const imported = async (archive: string, image?: string) => {
    const request = { name: 'image', archive, image, maxBytes: 1e9 };
    const { notes } = await place.images.import(request, timeoutSignal());
    expect(notes).toEqual([]);
    return listed(place.tree('image'), base);
  };

  beforeAll(async () => {
    [tools, place] = await Promise.all([openImageTools(), openImagePlace()]);
    await place.images.list(timeoutSignal());
    base = Number(await readFile(join(place.stateDir, 'uid-range.json'), 'utf8'));
    expected = await listed(await tools.unpack(tools.layout, 'two'), 0);
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
    expect(expected.length).toBeGreaterThan(20);
    expect(expected.some((line) => line.startsWith('opt/latin\xe9 '))).toBe(true);
    expect(expected.some((line) => /^usr\/deep 755 0:0 -\d+ directory/.test(line))).toBe(true);
  });

  it('are imported from an OCI layout in place, by name', async () => {
    expect(await imported(tools.layout, 'two')).toEqual(expected);
  });

  it('are imported from a layout in an archive', async () => {
    expect(await imported(await tools.tar('layout.tar', tools.layout), 'two')).toEqual(expected);
    await expect(
      place.import(await readFile(tools.path('layout.tar')), { name: 'other' }),
    ).rejects.toMatchObject({
      message: expect.stringContaining('2 images'),
      hint: expect.stringContaining('--image'),
    });
  });

  it.each([
    ['docker-archive', 'docker-archive:a.tar:registry.example/two:1', []],
    ['oci-archive', 'oci-archive:b.tar', []],
    [
      'oci-archive with Zstandard layers',
      'oci-archive:c.tar',
      ['--dest-compress-format', 'zstd', '--dest-compress'],
    ],
  ])('are imported as skopeo writes them: %s', async (_, to, options) => {
    await tools.skopeo('copy', ...options, `oci:${tools.layout}:two`, to);
    expect(await imported(tools.path(to.split(':')[1] ?? ''))).toEqual(expected);
  });

  it.each([[[]], [['--format', 'v2s2']]])(
    'are imported from the directory of skopeo copy … dir: %s',
    async (options) => {
      await tools.skopeo('copy', ...options, `oci:${tools.layout}:two`, 'dir:directory');
      expect(await imported(tools.path('directory'))).toEqual(expected);
      await place.images.remove('image', timeoutSignal());
      expect(await imported(await tools.tar('directory.tar', tools.path('directory')))).toEqual(expected);
    },
  );

  it('are imported as buildah writes them, with deletions as hard links of one whiteout', async (context) => {
    const unavailable = missingTools('buildah');
    if (unavailable !== null) return context.skip(unavailable);
    const build = async (from: string, change: (root: string) => Promise<void>) => {
      const container = await tools.buildah('from', from);
      await change(await tools.buildah('mount', container));
      return tools.buildah('commit', '--rm', container);
    };
    let built: string;
    try {
      built = await build(await build('scratch', fillLower), changeUpper);
    } catch (error) {
      return context.skip(`buildah cannot mount overlays here: ${String(error).slice(0, 300)}`);
    }
    await tools.buildah('push', built, 'oci:buildah:two');
    await tools.buildah('push', built, 'docker-archive:buildah.tar:two');
    const wanted = await listed(await tools.unpack(tools.path('buildah'), 'two'), 0);
    expect(await imported(tools.path('buildah'))).toEqual(wanted);
    await place.images.remove('image', timeoutSignal());
    expect(await imported(tools.path('buildah.tar'))).toEqual(wanted);
  });
});
