/** Validation of a tarball without a sandbox, for archives larger than a test would fetch. */
import { describe, expect, it } from 'vitest';
import { DEFAULT_SOURCE_LIMITS } from '../../../../src/engines/oci/source/source-limits.ts';
import { TarballContents } from '../../../../src/engines/oci/source/tarball-contents.ts';

const URL = 'https://example.com/x.tgz';
const link = (path: string, linkpath: string) => ({ path, linkpath, type: 'SymbolicLink' as const, size: 0 });

describe('the check of a tarball', () => {
  it('counts link targets like names, and reports which limit was reached', () => {
    const contents = new TarballContents(URL, DEFAULT_SOURCE_LIMITS);
    const target = 'a/'.repeat(2_000);
    const addAll = () => {
      for (let n = 0; n < 20_000; n += 1) contents.add(link(`l${n}`, target));
    };
    expect(addAll).toThrow(
      expect.objectContaining({
        code: 'limit_exceeded',
        message: expect.stringContaining('take more than 67,108,864 bytes'),
        details: { url: URL, max_names_bytes: 67_108_864 },
      }),
    );
  });

  it('counts implied folders', () => {
    const contents = new TarballContents(URL, { ...DEFAULT_SOURCE_LIMITS, maxEntries: 5 });
    const deep = { path: 'a/b/c/d/e/f', type: 'File' as const, size: 0 };
    expect(() => contents.add(deep)).toThrow('more than 5 files');
  });

  it('yields to other work while it checks links', async () => {
    const contents = new TarballContents(URL, DEFAULT_SOURCE_LIMITS);
    for (let n = 0; n < 5_000; n += 1) contents.add(link(`l${n}`, 'a'));
    let turns = 0;
    const count = (): void => {
      turns += 1;
      timer = setImmediate(count);
    };
    let timer = setImmediate(count);
    await contents.layout();
    clearImmediate(timer);
    expect(turns).toBeGreaterThan(2);
  });
});
