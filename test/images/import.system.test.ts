/** Importing archives: ordinary and malicious ones. */
import { spawnSync } from 'node:child_process';
import { createReadStream } from 'node:fs';
import { lstat, mkdir, readdir, readFile, readlink, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { gzipSync } from 'node:zlib';
import { afterAll, afterEach, beforeAll, describe, expect, it } from 'vitest';
import { z } from 'zod';
import { createAuthority } from '../../src/egress/tls/certificate-authority.ts';
import { findSystemCaBundle } from '../../src/engines/oci/host/ca/ca-trust.ts';
import { ByteLimit } from '../../src/images/byte-limit.ts';
import { decompressed } from '../../src/images/decompress.ts';
import { timeoutSignal } from '../conformance/support/requests.ts';
import { busyboxEntries, directory, type Entry, hardlink, symlink, tarOf } from '../support/archives.ts';
import { type ImagePlace, openImagePlace } from './support/image-place.ts';

const isRoot = process.getuid?.() === 0;
const PEM = /-----BEGIN CERTIFICATE-----[^-]+-----END CERTIFICATE-----/g;
const ROOT: Entry[] = [directory('etc'), directory('usr'), { path: 'usr/file', content: 'content' }];

describe('an archive of a root file system', () => {
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

  it.each<[string, (tar: Buffer) => Buffer | null]>([
    ['plain', (tar) => tar],
    ['with gzip', gzipSync],
    ['with zstd', zstd],
  ])('is imported %s', async (_, compress) => {
    const bytes = compress(tarOf(ROOT));
    if (bytes === null) throw new Error('zstd is missing; `npm test` installs it');
    expect(await place.import(bytes)).toMatchObject({ name: 'image', kind: 'rootfs', usedBy: [], notes: [] });
    expect(await readFile(inTree('usr/file'), 'utf8')).toBe('content');
    expect(await place.left()).toEqual(['image']);
  });

  it('keeps owners and modes, mapped to the ids of the sandboxes', async (context) => {
    if (!isRoot) return context.skip('only root has a separate range of ids');
    await place.import(tarOf([...ROOT, { path: 'usr/theirs', mode: 0o4750, uid: 7, gid: 8, content: 'x' }]));
    const base = Number(await readFile(join(place.stateDir, 'uid-range.json'), 'utf8'));
    expect(await lstat(inTree('usr/theirs'))).toMatchObject({ uid: base + 7, gid: base + 8, mode: 0o104750 });
    expect(await lstat(inTree('usr/file'))).toMatchObject({ uid: base, gid: base });
    // No other user of the host may run set-user-id files.
    expect((await lstat(inTree())).mode & 0o777).toBe(0o700);
  });

  it('makes its programs, Java and browsers trust the CA of the sandbox, and keeps its own CAs and policies', async (context) => {
    const java = 'usr/lib/jvm/java/lib/security/cacerts';
    const own = 'etc/firefox/policies/policies.json';
    const bundle = 'etc/ssl/certs/ca-certificates.crt';
    const [ofImage, ofHost] = await Promise.all([createAuthority(), findSystemCaBundle()]);
    const busybox = busyboxEntries() ?? context.skip('busybox-static is missing; `npm test` installs it');
    await place.import(
      tarOf([
        ...ROOT,
        ...busybox,
        { path: bundle, content: ofHost.bundle + ofImage.certificate },
        { path: java, content: 'its own' },
        symlink('opt/java/lib/security/cacerts', `/${java}`),
        { path: own, content: '{}' },
      ]),
    );
    expect(await readlink(inTree(java))).toBe('/run/sandbox-mcp/cacerts');
    expect(await readlink(inTree('opt/java/lib/security/cacerts'))).toBe(`/${java}`);
    expect(await readlink(inTree('etc/chromium/policies/managed/sandbox-mcp.json'))).toBe(
      '/run/sandbox-mcp/chromium-policy.json',
    );
    expect(await readFile(inTree(own), 'utf8')).toBe('{}');
    // In the bundle: the host's CAs, each once, then that of the image, then that of the sandbox.
    const printed = await place.script('image', `cat /${bundle} /etc/ssl/certs/sandbox-mcp.pem`);
    const cas = printed.match(PEM) ?? [];
    expect(cas).toHaveLength((ofHost.bundle.match(PEM)?.length ?? 0) + 3);
    expect(cas.slice(-3)).toEqual([ofImage.certificate.trim(), cas.at(-1), cas.at(-1)]);
  });

  it('never writes elsewhere, whatever its links name', async () => {
    const outside = join(place.stateDir, 'outside');
    await mkdir(outside);
    await writeFile(join(outside, 'secret'), 'untouched');
    await place.import(
      tarOf([
        ...ROOT,
        symlink('usr/up', `../../../../../../../../../../../..${outside}`),
        { path: 'usr/up/secret', content: 'changed' },
        symlink('usr/absolute', '/etc'),
        { path: 'usr/absolute/motd', content: 'of the image' },
        { path: '/usr/rooted', content: 'inside' },
        directory('usr/up2'),
        symlink('etc/passwd', join(outside, 'secret')),
      ]),
    );
    expect(await readdir(outside)).toEqual(['secret']);
    expect(await readFile(join(outside, 'secret'), 'utf8')).toBe('untouched');
    expect(await readFile(inTree('usr/rooted'), 'utf8')).toBe('inside');
    // Links resolve as in a sandbox; a dangling one is replaced by a directory if needed.
    expect(await readFile(inTree('etc/motd'), 'utf8')).toBe('of the image');
    expect(await readFile(inTree('usr/up/secret'), 'utf8')).toBe('changed');
    expect(await readFile(inTree('etc/passwd'), 'utf8')).toContain('vercel-sandbox:x:1000:');
  });

  it('keeps its hard links, within the image', async () => {
    await place.import(tarOf([...ROOT, hardlink('usr/again', '/usr/file')]));
    expect((await lstat(inTree('usr/again'))).ino).toBe((await lstat(inTree('usr/file'))).ino);
    await expect(
      place.import(tarOf([...ROOT, hardlink('usr/passwd', '/etc/shadow')]), { name: 'other' }),
    ).rejects.toMatchObject({ message: expect.stringContaining('usr/passwd') });
    expect(await place.left()).toEqual(['image']);
  });

  it('has its omitted entries reported', async () => {
    const device: Entry = { path: 'usr/disk', type: '4', mode: 0o666 };
    const { notes } = await place.import(
      tarOf([...ROOT, directory('dev'), { ...device, path: 'dev/sda' }, device]),
    );
    expect(notes).toEqual(['Left out: usr/disk: devices, fifos and sockets are not imported.']);
    expect(await readdir(inTree('usr'))).toEqual(['file']);
  });

  it.each<[string, Entry[] | Buffer, string, string]>([
    ['a path that leads outside', [...ROOT, { path: 'usr/../../x' }], 'invalid_argument', 'usr/../../x'],
    [
      'a hard link that leads outside',
      [...ROOT, hardlink('usr/x', '../../etc/passwd')],
      'invalid_argument',
      '../../etc',
    ],
    ['an entry of an unknown type', [...ROOT, { path: 'usr/x', type: 'S' }], 'invalid_argument', 'usr/x'],
    [
      'an archive that is not a root file system',
      [{ path: 'readme', content: 'x' }],
      'invalid_argument',
      'top-level',
    ],
    [
      'only the start of an archive',
      tarOf([directory('./')]).subarray(0, 512),
      'invalid_argument',
      'top-level',
    ],
    [
      'headers that take too much memory',
      [...ROOT, { path: 'PaxHeaders/x', type: 'x', content: `70016 linkpath=${'a'.repeat(70_000)}\n` }],
      'invalid_argument',
      'a header of 70016 bytes',
    ],
    [
      'a sparse file of an unknown version',
      [...ROOT, { path: 'PaxHeaders/x', type: 'x', content: '22 GNU.sparse.major=2\n' }, { path: 'usr/x' }],
      'invalid_argument',
      'a sparse file',
    ],
    ['no archive', Buffer.from('#!/bin/sh\n'.repeat(200)), 'invalid_argument', 'archive'],
    ['nothing', Buffer.alloc(0), 'invalid_argument', 'archive'],
    [
      'a truncated archive',
      tarOf([...ROOT, { path: 'usr/y', content: 'y'.repeat(9_000) }]).subarray(0, 6_000),
      'invalid_argument',
      'archive',
    ],
    [
      'a damaged compression',
      Buffer.concat([gzipSync(tarOf(ROOT)).subarray(0, 60), Buffer.alloc(100, 7)]),
      'invalid_argument',
      '',
    ],
    ['two compressions', gzipSync(gzipSync(tarOf(ROOT))), 'invalid_argument', 'twice'],
    ['xz', Buffer.from('\xfd7zXZ\0aaaaaaaaaaaaaaaaaaaa', 'latin1'), 'unsupported', 'xz'],
    [
      'programs for another architecture',
      [...ROOT, { path: 'usr/bin/sh', mode: 0o755, content: otherElf() }],
      'unsupported',
      'riscv64',
    ],
  ])('is rejected with %s, and leaves nothing', async (_, archive, code, words) => {
    const bytes = Buffer.isBuffer(archive) ? archive : tarOf(archive);
    await expect(place.import(bytes)).rejects.toMatchObject({
      code,
      message: expect.stringContaining(words),
    });
    expect(await place.left()).toEqual([]);
  });

  it('is rejected when it exceeds its size limit', async () => {
    const bomb = gzipSync(tarOf([...ROOT, { path: 'usr/zeros', content: Buffer.alloc(8_000_000) }]));
    await expect(place.import(bomb, { maxBytes: 1_000_000 })).rejects.toMatchObject({
      code: 'limit_exceeded',
      message: expect.stringContaining('1000000'),
      hint: expect.stringContaining('--max-size'),
    });
    expect(await place.left()).toEqual([]);
  });

  it('leaves nothing when the import is cancelled', async () => {
    const large = tarOf([
      ...ROOT,
      ...[1, 2, 3, 4, 5].map((n) => ({ path: `usr/${n}`, content: Buffer.alloc(4_000_000) })),
    ]);
    const archive = join(place.stateDir, '..', 'large.tar');
    await writeFile(archive, large);
    const cancel = new AbortController();
    const importing = place.images.import({ name: 'image', archive, maxBytes: 1e9 }, cancel.signal);
    await expect.poll(place.left, { interval: 1 }).not.toEqual([]);
    cancel.abort();
    await expect(importing).rejects.toMatchObject({ code: 'cancelled' });
    expect(await place.left()).toEqual([]);
  });

  it('is cleaned up soon when its importer was killed', async () => {
    const dead = `.new.image.4194303.1.${'0'.repeat(12)}`;
    for (const name of [dead, '.gone.image.000000000000']) {
      await mkdir(join(place.stateDir, 'images', name, 'tree/usr'), { recursive: true });
    }
    await writeFile(
      join(place.stateDir, 'images/.lock.node22'),
      '{"pid":4194303,"startTime":"1","bootId":"x"}',
    );
    await place.engine.recover(timeoutSignal());
    expect(await place.left()).toEqual([]);
  });

  it('is not imported under an ambiguous name', async () => {
    for (const name of ['', '.', '..', 'a/b', 'A', 'host', 'probe', 'x'.repeat(64), '-x', '.x', 'a b']) {
      await expect(place.import(tarOf(ROOT), { name })).rejects.toMatchObject({ code: 'invalid_argument' });
      // Pulled images are removed by reference.
      const code = name === 'a/b' ? 'not_found' : 'invalid_argument';
      await expect(place.images.remove(name, timeoutSignal())).rejects.toMatchObject({ code });
    }
  });

  it('is refused to sandboxes with other user ids than its files', async () => {
    await place.import(tarOf(ROOT));
    const path = join(place.stateDir, 'images/image/record.json');
    const record = z.record(z.string(), z.unknown()).parse(JSON.parse(await readFile(path, 'utf8')));
    await writeFile(path, JSON.stringify({ ...record, ids: 'root:1:1' }));
    await expect(place.script('image', 'true')).rejects.toMatchObject({ code: 'conflict' });
    await writeFile(path, '{');
    await expect(place.script('image', 'true')).rejects.toMatchObject({
      code: 'server',
      hint: expect.stringContaining('image remove image'),
    });
    await place.images.remove('image', timeoutSignal());
  });

  it('does not replace an existing image', async () => {
    await place.import(tarOf(ROOT));
    await expect(place.import(tarOf(ROOT))).rejects.toMatchObject({
      code: 'conflict',
      hint: expect.stringContaining('image remove image'),
    });
    await place.images.remove('image', timeoutSignal());
    await place.import(tarOf(ROOT));
    expect((await place.images.list(timeoutSignal())).map(({ name }) => name)).toEqual(['image']);
    expect(await readlink(inTree('usr')).catch(() => 'no link')).toBe('no link');
  });

  it('limits Zstandard the same way', async () => {
    const bytes = zstd(Buffer.alloc(200_000_000));
    if (bytes === null) throw new Error('zstd is missing; `npm test` installs it');
    const path = join(place.stateDir, '..', 'zeros.zst');
    await writeFile(path, bytes);
    const before = process.memoryUsage().rss;
    await expect(
      (async () => {
        for await (const chunk of decompressed(createReadStream(path), new ByteLimit(1_000_000)))
          chunk.fill(0);
      })(),
    ).rejects.toMatchObject({ code: 'limit_exceeded' });
    expect(process.memoryUsage().rss - before).toBeLessThan(400_000_000);
  });
});

/** Null if the program is missing. */
function zstd(bytes: Buffer): Buffer | null {
  const { status, stdout } = spawnSync('zstd', ['-c', '-q'], { input: bytes, maxBuffer: 1e9 });
  return status === 0 ? stdout : null;
}

/** The ELF header of a program for riscv64. */
function otherElf(): Buffer {
  const bytes = Buffer.alloc(64);
  bytes.write('\x7fELF\x02\x01\x01', 'latin1');
  bytes.writeUInt16LE(243, 18);
  return bytes;
}
