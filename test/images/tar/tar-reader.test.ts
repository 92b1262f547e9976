/** Tar archives as programs write them, and damaged ones. */
import { describe, expect, it, vi } from 'vitest';
import { readTar, type TarEntry } from '../../../src/images/tar/tar-reader.ts';
import { directory, type Entry, hardlink, pax, tarOf } from '../../support/archives.ts';

const END_BLOCKS = 1_024;

async function* inChunks(bytes: Buffer, size: number): AsyncGenerator<Buffer> {
  for (let at = 0; at < bytes.length; at += size) yield bytes.subarray(at, at + size);
}

/** The entries with their contents, however the bytes arrive. */
async function read(bytes: Buffer, size = 1_000): Promise<(Omit<TarEntry, 'content'> & { text: string })[]> {
  const found: (Omit<TarEntry, 'content'> & { text: string })[] = [];
  await readTar(inChunks(bytes, size), async ({ content, ...entry }) => {
    let text = '';
    for await (const chunk of content) text += Buffer.from(chunk).toString('latin1');
    found.push({ ...entry, text });
  });
  return found;
}

const TREE: Entry[] = [directory('usr'), { path: 'usr/file', content: 'content' }];

describe('a tar archive', () => {
  it.each([1, 511, 512, 100_000])(
    'is read entry by entry when it arrives %i bytes at a time',
    async (size) => {
      const entries = await read(tarOf([...TREE, hardlink('usr/again', 'usr/file')]), size);
      expect(entries).toMatchObject([
        { kind: 'directory', path: 'usr', size: 0 },
        { kind: 'file', path: 'usr/file', size: 7, text: 'content', mtime: 1_000_000_000 },
        { kind: 'hardlink', path: 'usr/again', link: 'usr/file', size: 0 },
      ]);
    },
  );

  it('may lack its end blocks and the last padding', async () => {
    const whole = tarOf(TREE);
    expect(await read(whole.subarray(0, -END_BLOCKS))).toHaveLength(2);
    expect((await read(whole.subarray(0, -END_BLOCKS - 505))).at(-1)?.text).toBe('content');
    await expect(read(whole.subarray(0, -END_BLOCKS - 506))).rejects.toMatchObject({
      code: 'invalid_argument',
      message: expect.stringContaining('ends within "usr/file"'),
    });
    await expect(read(whole.subarray(0, 700))).rejects.toThrow('ends within a header');
  });

  it('is read to its end, past the end blocks', async () => {
    const bytes = Buffer.concat([tarOf(TREE), Buffer.alloc(10_000)]);
    let seen = 0;
    async function* source(): AsyncGenerator<Buffer> {
      for await (const chunk of inChunks(bytes, 512)) {
        seen += chunk.length;
        yield chunk;
      }
    }
    await readTar(source(), async () => {});
    expect(seen).toBe(bytes.length);
  });

  it('keeps names that are not UTF-8, and long ones', async () => {
    const latin = Buffer.from('usr/latin\xe9', 'latin1');
    const long = `usr/${'n'.repeat(600)}`;
    const entries = await read(
      tarOf([
        pax({ path: latin }),
        { path: 'usr/latin', content: '1' },
        pax({ path: long, linkpath: latin }),
        hardlink('usr/n', 'usr/latin'),
        { path: '././@LongLink', type: 'L', content: Buffer.concat([latin, Buffer.alloc(1)]) },
        { path: 'usr/latin', content: '2' },
        { path: 'usr/plain', content: '3' },
      ]),
    );
    expect(entries.map(({ path, link, text }) => [path, link, text])).toEqual([
      ['usr/latin\xe9', '', '1'],
      [long, 'usr/latin\xe9', ''],
      ['usr/latin\xe9', '', '2'],
      ['usr/plain', '', '3'],
    ]);
  });

  it('has times before 1970, and those of extension headers', async () => {
    const entries = await read(
      tarOf([
        { path: 'a', mtime: -5 },
        pax({ mtime: '-3.25', uid: '3000000', gid: '7' }),
        { path: 'b', uid: 1 },
        { path: 'c', uid: 2 },
      ]),
    );
    expect(entries.map(({ mtime, uid, gid }) => [mtime, uid, gid])).toEqual([
      [-5, 0, 0],
      [-4, 3_000_000, 7],
      [1_000_000_000, 2, 0],
    ]);
  });

  it('skips content that its reader leaves', async () => {
    const paths: string[] = [];
    const large = { path: 'large', content: Buffer.alloc(10_000, 1) };
    await readTar(inChunks(tarOf([large, ...TREE]), 700), async ({ path, content }) => {
      paths.push(path);
      for await (const _ of content) break;
    });
    expect(paths).toEqual(['large', 'usr', 'usr/file']);
  });

  it.each<[string, Buffer, string]>([
    ['text', Buffer.from('#!/bin/sh\n'.repeat(200)), 'not a tar archive'],
    ['a size that is not a number', withSize('12x4567'), 'not octal'],
    ['a record longer than its header', tarOf([{ path: 'x', type: 'x', content: '99 path=a\n' }]), 'damaged'],
    ['an unterminated record', tarOf([{ path: 'x', type: 'x', content: '9 path=abc' }]), 'damaged'],
    ['a record without length', tarOf([{ path: 'x', type: 'x', content: 'path=a\n' }]), 'damaged'],
    ['a size in an extension header', tarOf([pax({ size: '-1' }), { path: 'x' }]), 'size -1'],
    ['an owner out of range', tarOf([pax({ uid: '4294967295' }), { path: 'x' }]), 'owner id 4294967295'],
    ['an unknown type', tarOf([{ path: 'usr/x', type: 'S' }]), '"usr/x" has the unsupported type "S"'],
  ])('is rejected for %s', async (_, bytes, words) => {
    await expect(read(bytes)).rejects.toMatchObject({
      code: 'invalid_argument',
      message: expect.stringContaining(words),
    });
  });

  it('is read without a promise race per chunk, which would leak memory', async () => {
    const race = vi.spyOn(Promise, 'race');
    const [entry] = await read(tarOf([{ path: 'a', content: 'a'.repeat(100_000) }]), 4_096);
    expect(entry?.text).toHaveLength(100_000);
    expect(race).not.toHaveBeenCalled();
    race.mockRestore();
  });
});

/** An archive with this size in its first header and a correct checksum. */
function withSize(digits: string): Buffer {
  const bytes = tarOf([{ path: 'x' }]);
  bytes.write(digits, 124, 'latin1');
  bytes.write('        ', 148, 'latin1');
  const sum = bytes.subarray(0, 512).reduce((total, byte) => total + byte, 0);
  bytes.write(`${sum.toString(8).padStart(6, '0')}\0 `, 148, 'latin1');
  return bytes;
}
