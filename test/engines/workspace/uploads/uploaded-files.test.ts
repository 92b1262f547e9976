import { describe, expect, it } from 'vitest';
import type { SurveyedEntry } from '../../../../src/engines/workspace/uploads/guest-access.ts';
import { KnownFiles, UploadedFiles } from '../../../../src/engines/workspace/uploads/uploaded-files.ts';
import { noFiles } from '../../../fakes/memory-commands.ts';

const MIB = 1_048_576;
const never = new AbortController().signal;

function entry(path: string, sizeBytes: number): SurveyedEntry {
  const common = { type: 'file' as const, mode: 0o644, mtimeMs: 1, changedUs: 1 };
  return { path, sizeBytes, ...common, linkTarget: null };
}

/** Which files are hashed when `gone` of that size is missing and these are new. */
async function hashed(size: number, files: SurveyedEntry[]): Promise<string[]> {
  const requested: string[] = [];
  const deleted = { ...entry('gone', size), content: '', host: 'h', guest: 'g' };
  const sandbox = new UploadedFiles({
    sandboxId: 'sbx_222222222222',
    path: '/vercel/sandbox',
    manifest: new Map([['gone', deleted]]),
    volumes: [],
    directory: '/nowhere',
    files: noFiles,
    guest: {
      async *survey() {
        yield* files;
      },
      digests: async (_sandboxId, _directory, paths) => {
        requested.push(...paths);
        return new Map();
      },
    },
    known: new KnownFiles(),
  });
  await sandbox.list(never);
  return requested;
}

describe('what is hashed ahead to find renames', () => {
  it('has the size of a file that is gone', async () => {
    expect(await hashed(5, [entry('a', 5), entry('b', 6), entry('c', 5)])).toEqual(['a', 'c']);
  });

  it('is 1,000 files and 256 MiB at most, of sparse files too', async () => {
    const many = Array.from({ length: 1_001 }, (_, at) => entry(`f${at}`, 5));
    expect(await hashed(5, many)).toHaveLength(1_000);
    const large = Array.from({ length: 10 }, (_, at) => entry(`f${at}`, 100 * MIB));
    expect(await hashed(100 * MIB, large)).toEqual(['f0', 'f1']);
  });
});
