/** Unusual and hostile tarballs. */
import { spawnSync } from 'node:child_process';
import { gzipSync } from 'node:zlib';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { needs } from '../../../support/needs.ts';
import { HOST_ADDRESS } from '../../../support/source-server.ts';
import { type Member, tarNamed, tarOf, tarWithPax, tgzOf } from '../../../support/tarball.ts';
import { openSourceWorld, type SourceWorld } from './support/source-world.ts';

const LIMITS = { maxDownloadBytes: 2_000_000, maxUnpackedBytes: 5_000_000, maxEntries: 50 };
const FILE: Member = { path: 'pkg/a', content: 'a\n' };

describe('a tarball', needs('a non-loopback address of this host', HOST_ADDRESS !== null), () => {
  let world: SourceWorld;
  beforeAll(async () => {
    world = await openSourceWorld(LIMITS);
  });
  afterAll(() => world?.close());

  const source = (bytes: Buffer) => {
    world.server.serve('/x', bytes);
    return { type: 'tarball' as const, url: `${world.server.url}/x` };
  };

  it.each<[string, Member[], string, string]>([
    [
      'with a leading ./',
      [
        { path: './', type: 'Directory' },
        { path: './pkg/a', content: 'a\n' },
      ],
      'cat a',
      'a\n',
    ],
    ['without entries for its folders', [{ path: 'pkg/x/y/z', content: 'z\n' }], 'cat x/y/z', 'z\n'],
    [
      'with two top-level folders',
      [FILE, { path: 'other/b', content: 'b\n' }],
      'cat pkg/a other/b',
      'a\nb\n',
    ],
    ['with a file at the top', [{ path: 'a', content: 'a\n' }], 'cat a', 'a\n'],
    [
      'with a repeated folder',
      [{ path: 'pkg', type: 'Directory' }, FILE, { path: 'pkg/', type: 'Directory' }],
      'cat a',
      'a\n',
    ],
    [
      'with a hard link',
      [FILE, { path: 'pkg/x/b', type: 'Link', linkpath: 'pkg/a' }],
      'cat x/b; readlink x/b',
      'a\n../a\n',
    ],
    [
      'with repeated names: the last entry wins',
      [
        FILE,
        { path: 'pkg/b', type: 'SymbolicLink', linkpath: 'none' },
        { path: 'pkg/a', content: 'later\n' },
        { path: 'pkg/b', content: 'no link\n' },
        { path: 'pkg/c', content: 'no file' },
        { path: 'pkg/c', type: 'SymbolicLink', linkpath: 'a' },
      ],
      'cat a b c; readlink c',
      'later\nno link\nlater\na\n',
    ],
    ['with setuid bits', [{ ...FILE, mode: 0o6755 }], 'stat -c %a a', '755\n'],
    [
      'with long names',
      [{ path: `pkg/${'d'.repeat(200)}/${'f'.repeat(200)}`, content: 'x' }],
      'ls */ | wc -c',
      '201\n',
    ],
    ['with names in other scripts', [{ path: 'pkg/Прива́т ☃', content: 'x' }], 'ls', 'Прива́т ☃\n'],
    [
      'with the times of its files and folders',
      [
        { path: 'pkg/d', type: 'Directory' },
        { path: 'pkg/d/f', content: 'f\n' },
      ],
      'stat -c %Y d d/f',
      '1700000000\n1700000000\n',
    ],
    [
      'with unreadable folders',
      [
        { path: 'pkg/d', type: 'Directory', mode: 0o500 },
        { path: 'pkg/d/f', content: 'f\n' },
      ],
      'cat d/f; stat -c %a d; chmod 700 d',
      'f\n500\n',
    ],
  ])('is unpacked %s', async (_title, members, line, printed) => {
    expect(await world.print(source(tgzOf(members)), line)).toBe(printed);
  });

  it('is unpacked completely: every byte, across many blocks', async () => {
    const bytes = Buffer.alloc(1_500_000, 'sandbox ');
    const printed = await world.print(
      source(
        tgzOf([
          { path: 'p/big', content: bytes },
          { path: 'p/end', content: 'e' },
        ]),
      ),
      'wc -c < big; md5sum < big; cat end',
    );
    const [size, sum] = printed.split('\n');
    expect(size).toBe('1500000');
    expect(`${sum}\n`).toBe(spawnSync('md5sum', { input: bytes }).stdout.toString());
    expect(printed.endsWith('e')).toBe(true);
  });

  it.each<[string, Member[], RegExp]>([
    ['names that lead outside', [FILE, { path: 'pkg/../../etc/x', content: 'x' }], /points outside/],
    ['absolute names', [FILE, { path: '/etc/cron.d/x', content: 'x' }], /absolute path/],
    [
      'links out',
      [FILE, { path: 'pkg/l', type: 'SymbolicLink', linkpath: '../../etc/passwd' }],
      /outside the tarball/,
    ],
    [
      'absolute links',
      [FILE, { path: 'pkg/l', type: 'SymbolicLink', linkpath: '/etc/passwd' }],
      /outside the tarball/,
    ],
    [
      'links that lead outside once the top-level folder is stripped',
      [FILE, { path: 'pkg/l', type: 'SymbolicLink', linkpath: '../pkg/a' }],
      /outside the tarball/,
    ],
    [
      'hard links that lead outside',
      [FILE, { path: 'pkg/l', type: 'Link', linkpath: '../../etc/passwd' }],
      /points outside/,
    ],
    [
      'hard links to missing members',
      [FILE, { path: 'pkg/l', type: 'Link', linkpath: 'pkg/none' }],
      /outside the tarball/,
    ],
    [
      'files below a link',
      [
        { path: 'pkg/l', type: 'SymbolicLink', linkpath: 'a' },
        { path: 'pkg/l/f', content: 'x' },
      ],
      /not a directory/,
    ],
    ['a folder in place of a file', [FILE, { path: 'pkg/a', type: 'Directory' }], /occurs twice/],
    [
      'a link in place of a folder',
      [
        { path: 'pkg/d', type: 'Directory' },
        { path: 'pkg/d', type: 'SymbolicLink', linkpath: 'a' },
      ],
      /occurs twice/,
    ],
    [
      'a link to the outside that replaces a file',
      [FILE, { path: 'pkg/a', type: 'SymbolicLink', linkpath: '../../x' }],
      /outside the tarball/,
    ],
    [
      'targets that are too long for a link',
      [FILE, { path: 'pkg/l', type: 'SymbolicLink', linkpath: 'a/'.repeat(2_048) }],
      /more than 4095 bytes/,
    ],
    [
      'headers that take too much memory',
      [FILE, { path: 'pkg/l', type: 'SymbolicLink', linkpath: 'a'.repeat(70_000) }],
      /a header of 7\d{4} bytes/,
    ],
    ['overlong names', [{ path: `pkg/${'n'.repeat(256)}` }], /\/x cannot be used.* more than 255 bytes/],
    ['overlong paths', [{ path: `pkg/${`${'n'.repeat(200)}/`.repeat(20)}` }], /more than 4000 bytes/],
    ['too deeply nested folders', [{ path: `pkg/${'d/'.repeat(200)}f` }], /more than 200 levels/],
    ['devices', [FILE, { path: 'pkg/d', type: 'CharacterDevice' }], /CharacterDevice/],
    ['fifos', [FILE, { path: 'pkg/d', type: 'FIFO' }], /FIFO/],
  ])('is rejected with %s', async (_title, members, words) => {
    expect(await world.failure(source(tgzOf(members)))).toMatchObject({
      code: 'invalid_argument',
      message: expect.stringMatching(words),
    });
  });

  it.each<[string, Buffer, RegExp]>([
    ['names that are not UTF-8', tarNamed(Buffer.from('pkg/\xff', 'latin1')), /not UTF-8/],
    [
      'names that are not UTF-8 in an extension header',
      tarWithPax([Buffer.from('path=pkg/\xff', 'latin1')], FILE),
      /a name that cannot be read/,
    ],
    [
      'a line break in an extension header',
      tarWithPax(['path=pkg/a\nb'], FILE),
      /a name that cannot be read/,
    ],
    ['a sparse file, version 0', tarWithPax(['GNU.sparse.size=9'], FILE), /a sparse file/],
    ['a sparse file, version 1', tarWithPax(['GNU.sparse.major=1'], FILE), /a sparse file/],
  ])('is rejected with %s', async (_title, bytes, words) => {
    expect(await world.failure(source(bytes))).toMatchObject({
      code: 'invalid_argument',
      message: expect.stringMatching(words),
    });
  });

  it('is unpacked with carriage returns in names of an extension header', async () => {
    const bytes = tarWithPax(['path=pkg/Icon\r'], FILE);
    expect(await world.print(source(bytes), 'cat Icon*; ls | od -An -c')).toBe(
      'a\n   I   c   o   n  \\r  \\n\n',
    );
  });

  it.each<[string, () => Buffer]>([
    ['truncated within its header', () => tarOf([FILE]).subarray(0, 300)],
    ['truncated within a file', () => tarOf([{ path: 'a', content: 'x'.repeat(2_000) }]).subarray(0, 1_024)],
    [
      'with a damaged header',
      () => Buffer.concat([tarOf([FILE]).subarray(0, 1_024), Buffer.alloc(512, 'x'), Buffer.alloc(1_024)]),
    ],
    ['without members', () => tgzOf([])],
    ['compressed twice', () => gzipSync(tgzOf([FILE]))],
    ['of zip', () => Buffer.concat([Buffer.from('PK\u0003\u0004'), Buffer.alloc(2_000)])],
  ])('is rejected when it is one %s', async (_title, make) => {
    expect(await world.failure(source(make()))).toMatchObject({ code: 'invalid_argument' });
  });

  it.each<[string, () => Buffer, RegExp]>([
    [
      'a bomb',
      () => gzipSync(Buffer.concat([tarOf([FILE]).subarray(0, 1_024), Buffer.alloc(20_000_000)])),
      /more than 5000000 bytes/,
    ],
    ['too large a file', () => Buffer.alloc(3_000_000), /larger than 2000000 bytes/],
    [
      'too many files',
      () => tgzOf(Array.from({ length: 60 }, (_, n) => ({ path: `pkg/${n}`, content: '' }))),
      /more than 50 files/,
    ],
  ])('is limited: %s', async (_title, make, words) => {
    expect(await world.failure(source(make()))).toMatchObject({
      code: 'limit_exceeded',
      message: expect.stringMatching(words),
    });
  });

  it('is abandoned when its server stalls', async () => {
    // A separate, longer limit: a second is too short on a busy machine.
    const impatient = await openSourceWorld({ ...LIMITS, stallMs: 1_000 }, world.stateDir);
    try {
      impatient.server.on('/stall', (_request, response) => void response.writeHead(200).write('begin'));
      const url = `${impatient.server.url}/stall`;
      expect(await impatient.failure({ type: 'tarball', url })).toMatchObject({
        code: 'timeout',
        message: expect.stringContaining('stopped sending'),
      });
    } finally {
      await impatient.close();
    }
  });

  it.each([
    [401, 'auth'],
    [403, 'permission'],
    [404, 'not_found'],
    [429, 'rate_limit'],
    [503, 'unavailable'],
  ])('fails on status %i with %s', async (status, code) => {
    world.server.on('/status', (_request, response) => void response.writeHead(status).end());
    expect(await world.failure({ type: 'tarball', url: `${world.server.url}/status` })).toMatchObject({
      code,
      details: { status },
    });
  });
});
