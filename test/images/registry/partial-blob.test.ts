import { createHash } from 'node:crypto';
import { mkdtemp, open, readFile, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { expect, it } from 'vitest';
import { PartialBlob } from '../../../src/images/registry/partial-blob.ts';

const PARTS = ['first', 'second', 'third'].map((text) => Buffer.from(text));
const DIGEST = `sha256:${createHash('sha256').update(Buffer.concat(PARTS)).digest('hex')}`;

it('a blob of which a part could not be written is written and hashed anew', async () => {
  const folder = await mkdtemp(join(tmpdir(), 'blob-'));
  const file = await open(join(folder, 'blob'), 'w');
  try {
    let isFailing = false;
    let counted = 0;
    const write = (chunk: Uint8Array, ...where: [offset: number, length: number, position: number]) =>
      isFailing ? Promise.reject(new Error('EIO: i/o error')) : file.write(chunk, ...where);
    const partial = new PartialBlob({ write }, (bytes) => {
      counted += bytes;
    });
    const [first = Buffer.alloc(0), second = Buffer.alloc(0)] = PARTS;
    await partial.add(first);
    isFailing = true;
    await expect(partial.add(second)).rejects.toThrow('EIO');
    isFailing = false;
    expect([partial.bytes, counted]).toEqual([0, 0]);
    for (const part of PARTS) await partial.add(part);
    expect([partial.bytes, counted, partial.digest()]).toEqual([16, 16, DIGEST]);
    expect(await readFile(join(folder, 'blob'), 'utf8')).toBe('firstsecondthird');
  } finally {
    await file.close();
    await rm(folder, { recursive: true });
  }
});
