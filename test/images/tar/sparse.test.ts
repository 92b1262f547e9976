/** Sparse files in every form that GNU tar has written them, and maps that describe no file. */
import { describe, expect, it } from 'vitest';
import { readTar } from '../../../src/images/tar/tar-reader.ts';
import { type Entry, pax, paxRecord, tarOf } from '../../support/archives.ts';

type Segment = [offset: number, length: number];

const SIZE = 700_000;
const SEGMENTS: Segment[] = [
  [0, 3],
  [4_096, 600],
  [300_000, 5],
  [SIZE, 0],
];
const CONTENT = Buffer.alloc(SIZE);
for (const [offset, length] of SEGMENTS) CONTENT.fill('x', offset, offset + length);
const dataOf = (segments: readonly Segment[]) =>
  'x'.repeat(segments.reduce((sum, [, length]) => sum + length, 0));
const flat = (segments: readonly Segment[]) => segments.flat().join();

async function* inChunks(bytes: Buffer, size: number): AsyncGenerator<Buffer> {
  for (let at = 0; at < bytes.length; at += size) yield bytes.subarray(at, at + size);
}

async function read(bytes: Buffer, chunk = 1_000) {
  const files = new Map<string, Buffer>();
  let holes = 0;
  await readTar(
    inChunks(bytes, chunk),
    async ({ kind, path, size, content }) => {
      const parts: Uint8Array[] = [];
      for await (const part of content) parts.push(Buffer.from(part));
      files.set(path, Buffer.concat(parts));
      expect([kind, files.get(path)?.length]).toEqual(['file', size]);
    },
    (count) => (holes += count),
  );
  return { files, holes };
}

/** The type `S`: four segments in the header, the others in blocks of 21. */
function gnu(size: number, segments: readonly Segment[], data = dataOf(segments)): Buffer {
  const [header, rest] = split(tarOf([{ path: 'usr/sparse', type: 'S', content: data }]));
  header.write('ustar  \0', 257, 'latin1');
  writeMap(header, 386, segments.slice(0, 4), 482, segments.length > 4);
  octal(header, 483, size);
  const blocks: Buffer[] = [];
  for (let at = 4; at < segments.length; at += 21) {
    const block = Buffer.alloc(512);
    writeMap(block, 0, segments.slice(at, at + 21), 504, at + 21 < segments.length);
    blocks.push(block);
  }
  return Buffer.concat([signed(header), ...blocks, rest]);
}

function split(bytes: Buffer): [Buffer, Buffer] {
  return [bytes.subarray(0, 512), bytes.subarray(512)];
}

function octal(block: Buffer, at: number, value: number): void {
  block.write(`${value.toString(8).padStart(11, '0')}\0`, at, 'latin1');
}

function writeMap(
  block: Buffer,
  from: number,
  segments: readonly Segment[],
  more: number,
  isMore: boolean,
): void {
  for (const [at, value] of segments.flat().entries()) octal(block, from + at * 12, value);
  block[more] = isMore ? 1 : 0;
}

function signed(header: Buffer): Buffer {
  header.write('        ', 148, 'latin1');
  const sum = header.reduce((total, byte) => total + byte, 0);
  header.write(`${sum.toString(8).padStart(6, '0')}\0 `, 148, 'latin1');
  return header;
}

const hidden = (segments: readonly Segment[]): Entry => ({
  path: 'GNUSparseFile.0/x',
  content: dataOf(segments),
});
const name = { 'GNU.sparse.name': 'usr/sparse' };

/** Version 0.0 repeats two keywords, so it is no map of records. */
function version00(size: number, segments: readonly Segment[]): Buffer {
  const records = [
    `GNU.sparse.size=${size}`,
    `GNU.sparse.numblocks=${segments.length}`,
    ...segments.flatMap(([offset, length]) => [
      `GNU.sparse.offset=${offset}`,
      `GNU.sparse.numbytes=${length}`,
    ]),
  ];
  const content = Buffer.concat(records.map((record) => paxRecord(record)));
  return tarOf([
    { path: 'PaxHeaders/x', type: 'x', content },
    { path: 'usr/sparse', content: dataOf(segments) },
  ]);
}

function version01(size: number, segments: readonly Segment[], map = flat(segments)): Buffer {
  const records = { ...name, 'GNU.sparse.size': String(size), 'GNU.sparse.map': map };
  return tarOf([pax(records), hidden(segments)]);
}

function version10(size: number, segments: readonly Segment[], map?: string): Buffer {
  const lines = map ?? `${segments.length}\n${segments.flat().join('\n')}${segments.length > 0 ? '\n' : ''}`;
  const padded = lines.padEnd(Math.ceil(lines.length / 512) * 512, '\0');
  const realsize = String(size);
  const records = {
    ...name,
    'GNU.sparse.major': '1',
    'GNU.sparse.minor': '0',
    'GNU.sparse.realsize': realsize,
  };
  const { content = '', ...entry } = hidden(segments);
  return tarOf([pax(records), { ...entry, content: padded + content }]);
}

const FORMS = { gnu, version00, version01, version10 };
const MANY: Segment[] = Array.from({ length: 50 }, (_, at) => [at * 10_000, 7]);

describe.each(Object.entries(FORMS))('a sparse file: %s', (_, form) => {
  it.each([1, 512, 100_000])('has its data where the map says, read %i bytes at a time', async (chunk) => {
    const after = tarOf([{ path: 'usr/after', content: 'after' }]);
    const archive = Buffer.concat([form(SIZE, SEGMENTS).subarray(0, -1_024), after]);
    const { files, holes } = await read(archive, chunk);
    expect([...files.keys()]).toEqual(['usr/sparse', 'usr/after']);
    expect(files.get('usr/sparse')?.equals(CONTENT)).toBe(true);
    expect(String(files.get('usr/after'))).toBe('after');
    expect(holes).toBe(SIZE - 608);
  });

  it('may have many holes, nothing but one, or none', async () => {
    const many = (await read(form(490_007, MANY))).files.get('usr/sparse') ?? Buffer.alloc(0);
    for (const [offset] of MANY)
      expect(many.toString('latin1', offset, offset + 8)).toBe(offset === 490_000 ? 'xxxxxxx' : 'xxxxxxx\0');
    expect(many.filter((byte) => byte !== 0)).toHaveLength(50 * 7);
    expect((await read(form(100_000, []))).files.get('usr/sparse')).toEqual(Buffer.alloc(100_000));
    expect(await read(form(3, [[0, 3]]))).toMatchObject({ holes: 0 });
  });

  it.each<[string, number, Segment[], string]>([
    [
      'overlap',
      100,
      [
        [0, 10],
        [5, 10],
      ],
      'not in order',
    ],
    [
      'descend',
      100,
      [
        [50, 10],
        [0, 10],
      ],
      'not in order',
    ],
    ['go past the end', 15, [[10, 10]], 'after its end, 15'],
    ['begin past the end', 15, [[16, 0]], 'after its end, 15'],
  ])('is rejected if its segments %s', async (_what, size, segments, words) => {
    await expect(read(form(size, segments))).rejects.toMatchObject({
      code: 'invalid_argument',
      message: expect.stringContaining(words),
    });
  });

  it('is refused where its holes are not counted', async () => {
    await expect(readTar(inChunks(form(SIZE, SEGMENTS), 1_000), async () => {})).rejects.toMatchObject({
      message: expect.stringContaining('it contains a sparse file, "usr/sparse"'),
    });
  });

  it('may be left, in part or whole', async () => {
    const archive = Buffer.concat([form(SIZE, SEGMENTS).subarray(0, -1_024), tarOf([{ path: 'usr/after' }])]);
    for (const parts of [0, 1, 3]) {
      const paths: string[] = [];
      await readTar(
        inChunks(archive, 100),
        async ({ path, content }) => {
          paths.push(path);
          let left = parts;
          if (left > 0) for await (const _part of content) if (--left === 0) break;
        },
        () => {},
      );
      expect(paths).toEqual(['usr/sparse', 'usr/after']);
    }
  });
});

describe('the map of a sparse file', () => {
  it.each<[string, Buffer, string]>([
    ['less data than it says', gnu(100, [[0, 10]], 'xxx'), 'with 3 bytes of data instead of 10'],
    ['more data than it says', gnu(100, [[0, 3]], 'xxxxx'), 'with 5 bytes of data instead of 3'],
    ['blocks that end early', gnu(490_007, MANY).subarray(0, 1_024), 'ends within a header'],
    ['an odd list', version01(100, [[0, 3]], '0,3,9'), 'cannot be read'],
    ['a list of other things', version01(100, [[0, 3]], '0,-3'), 'cannot be read'],
    ['empty items', version01(100, [[0, 3]], '0,,3,'), 'cannot be read'],
    ['numbers beyond 2^53', version01(100, [[0, 3]], '0,9007199254740993'), 'cannot be read'],
    ['lines of other things', version10(100, [[0, 3]], '1\nzero\n3\n'), 'cannot be read'],
    ['a line without end', version10(100, [[0, 3]], '1'.repeat(600)), 'cannot be read'],
    ['fewer lines than it says', version10(100, [[0, 3]], '2\n0\n3\n'), 'cannot be read'],
    ['more lines than anybody has', version10(100, [[0, 3]], '65537\n0\n3\n'), 'more than 65536 holes'],
    ['no end', version10(100, [], '999\n'.padEnd(512, '1\n')), 'no end'],
    ['an order of its own', outOfOrder(), 'out of order'],
    [
      'an unknown version',
      tarOf([pax({ 'GNU.sparse.major': '2' }), { path: 'usr/x' }]),
      'unknown version "2.0"',
    ],
    [
      'no size',
      tarOf([pax({ 'GNU.sparse.map': '0,3' }), { path: 'usr/x', content: 'xxx' }]),
      'cannot be read',
    ],
    ['a directory', tarOf([pax({ 'GNU.sparse.size': '9' }), { path: 'usr', type: '5' }]), 'is no file'],
    ['all files', tarOf([{ ...pax({ 'GNU.sparse.size': '9' }), type: 'g' }]), 'of all files'],
    [
      'a name outside',
      tarOf([pax({ 'GNU.sparse.name': '../x', 'GNU.sparse.size': '0' }), { path: 'x' }]),
      'outside',
    ],
  ])('is rejected with %s', async (_, bytes, words) => {
    await expect(read(bytes)).rejects.toMatchObject({
      code: 'invalid_argument',
      message: expect.stringContaining(words),
    });
  });

  it('counts its holes before there is any content', async () => {
    const enough = new Error('enough');
    const visited: string[] = [];
    const reading = readTar(
      inChunks(version01(Number.MAX_SAFE_INTEGER, [[0, 3]]), 512),
      async ({ path }) => void visited.push(path),
      (count) => {
        expect(count).toBe(Number.MAX_SAFE_INTEGER - 3);
        throw enough;
      },
    );
    await expect(reading).rejects.toBe(enough);
    expect(visited).toEqual([]);
  });
});

function outOfOrder(): Buffer {
  const content = Buffer.concat(
    ['GNU.sparse.size=9', 'GNU.sparse.numbytes=1'].map((record) => paxRecord(record)),
  );
  return tarOf([{ path: 'PaxHeaders/x', type: 'x', content }, { path: 'usr/x' }]);
}
