import { mkdtemp, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import { z } from 'zod';
import { readRecordFile } from '../../../src/shared/fs/record-file.ts';

const schema = z.strictObject({ count: z.number() });
let folder = '';

beforeEach(async () => {
  folder = await mkdtemp(join(tmpdir(), 'record-'));
});

afterEach(() => rm(folder, { recursive: true }));

function read() {
  return readRecordFile(join(folder, 'record.json'), schema, (cause) => new Error('damaged', { cause }));
}

describe('readRecordFile', () => {
  it('returns the record, or null when there is none', async () => {
    expect(await read()).toBeNull();
    await writeFile(join(folder, 'record.json'), '{"count": 2}');
    expect(await read()).toEqual({ count: 2 });
  });

  it.each(['', '{"count": ', '{"count": "2"}', '{"count": 2, "more": 1}', 'null'])(
    'throws the given error for %j',
    async (text) => {
      await writeFile(join(folder, 'record.json'), text);
      await expect(read()).rejects.toMatchObject({ message: 'damaged', cause: expect.any(Error) });
    },
  );

  it('does not treat an unreadable file as damaged', async () => {
    const path = join(folder, 'record.json', 'below');
    await writeFile(join(folder, 'record.json'), '{}');
    const reading = readRecordFile(path, schema, () => new Error('damaged'));
    await expect(reading).rejects.toMatchObject({ code: 'ENOTDIR' });
  });
});
