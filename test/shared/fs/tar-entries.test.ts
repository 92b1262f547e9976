import { Readable } from 'node:stream';
import { describe, expect, it } from 'vitest';
import { SandboxError } from '../../../src/shared/errors.ts';
import { tarEntries } from '../../../src/shared/fs/tar-entries.ts';
import { tarOf } from '../../support/tarball.ts';

const notATar = (reason: string): SandboxError => new SandboxError('server', `not a tar: ${reason}`);

async function bytesOf(content: AsyncIterable<Uint8Array>): Promise<string> {
  const parts: Uint8Array[] = [];
  for await (const part of content) parts.push(part);
  return Buffer.concat(parts).toString();
}

describe('tarEntries', () => {
  it('returns the members of an archive with their content', async () => {
    const archive = tarOf([
      { path: 'a', content: 'one' },
      { path: 'd', type: 'Directory' },
      { path: 'b', content: 'two' },
    ]);
    const found: string[] = [];
    for await (const entry of tarEntries(Readable.from([archive]), notATar)) {
      found.push(`${entry.type} ${entry.path} ${await bytesOf(entry)}`);
    }
    expect(found).toEqual(['File a one', 'Directory d ', 'File b two']);
  });

  it('rejects what is not a whole archive', async () => {
    const read = async (bytes: Buffer) => {
      for await (const entry of tarEntries(Readable.from([bytes]), notATar)) entry.resume();
    };
    await expect(read(Buffer.alloc(2_000, 'x'))).rejects.toThrow('not a tar');
    await expect(read(tarOf([{ path: 'a', content: 'x'.repeat(5_000) }]).subarray(0, 2_000))).rejects.toThrow(
      'not a tar',
    );
  });

  it('ends the reader of a member when the bytes fail', async () => {
    const archive = tarOf([{ path: 'a', content: 'x'.repeat(200_000) }]);
    async function* cut(): AsyncGenerator<Buffer> {
      yield archive.subarray(0, 100_000);
      throw new SandboxError('unavailable', 'The connection was lost.');
    }
    const read = async () => {
      for await (const entry of tarEntries(Readable.from(cut()), notATar)) await bytesOf(entry);
    };
    await expect(read()).rejects.toThrow('The connection was lost.');
  });

  it('reports bytes that fail between members', async () => {
    const archive = tarOf([
      { path: 'a', content: 'x' },
      { path: 'b', content: 'y' },
    ]);
    async function* cut(): AsyncGenerator<Buffer> {
      yield archive.subarray(0, 1_024);
      throw new SandboxError('unavailable', 'The connection was lost.');
    }
    const contents: string[] = [];
    const read = async () => {
      for await (const entry of tarEntries(Readable.from(cut()), notATar))
        contents.push(await bytesOf(entry));
    };
    await expect(read()).rejects.toThrow('The connection was lost.');
    expect(contents).toEqual(['x']);
  });
});
