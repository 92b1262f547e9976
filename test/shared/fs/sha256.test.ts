import { createHash, randomBytes } from 'node:crypto';
import { describe, expect, test } from 'vitest';
import { sha256 } from '../../../src/shared/fs/sha256.ts';
import { Sha256Worker } from '../../../src/shared/fs/sha256-worker.ts';

const BLOCK = 1_048_576;

function expected(...parts: Buffer[]): string {
  return createHash('sha256').update(Buffer.concat(parts)).digest('hex');
}

describe.each([
  ['on the thread of the server', () => sha256(0)],
  ['on a thread of its own', () => new Sha256Worker()],
])('sha256 %s', (_, open) => {
  test.each([
    ['nothing', []],
    ['a byte', [1]],
    ['a block', [BLOCK]],
    ['a byte more', [BLOCK + 1]],
    ['pieces that do not align with blocks', [BLOCK - 1, 3, 0, 2 * BLOCK, 65_531, 7]],
    ['more than fits into memory at once', Array.from({ length: 12 }, () => 700_001)],
  ])('digests %s', async (_name, sizes) => {
    const parts = sizes.map((size) => randomBytes(size));
    const hash = open();
    try {
      for (const part of parts) {
        const bytes = Buffer.from(part);
        await hash.update(bytes);
        // The caller may reuse the memory.
        bytes.fill(0);
      }
      expect(await hash.digest()).toBe(expected(...parts));
    } finally {
      await hash.close();
    }
  });
});

test('sha256 hashes large inputs on a worker thread, small ones not', async () => {
  const [many, few] = [sha256(1_000_000_000), sha256(1_000)];
  try {
    expect(many).toBeInstanceOf(Sha256Worker);
    expect(few).not.toBeInstanceOf(Sha256Worker);
  } finally {
    await Promise.all([many.close(), few.close()]);
  }
});

test('a hash fails after its worker thread has exited', async () => {
  const hash = new Sha256Worker();
  await hash.close();
  await expect(
    (async () => {
      for (let block = 0; block < 8; block++) await hash.update(Buffer.alloc(BLOCK));
    })(),
  ).rejects.toThrow('has exited');
  await expect(hash.digest()).rejects.toThrow('has exited');
});
