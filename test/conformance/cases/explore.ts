import { expect } from 'vitest';
import type { FileExplorer, ScanRecord } from '../../../src/engines/engine.ts';
import { describeCases } from '../support/contract-cases.ts';
import { timeoutSignal } from '../support/requests.ts';
import { run } from '../support/run.ts';
import type { Extent, Subject } from '../support/subject.ts';

const MAKE = `rm -rf explored && mkdir -p explored/b/deep explored/shut && cd explored
printf 'one\\ntwo needle\\nthree\\nNEEDLE four' > a.txt
printf 'x' > b/-n
printf 'needle' > 'b/two
lines'
printf '*.log\\n' > .gitignore
mkdir .git
ln -s /etc/passwd link
mkfifo pipe
printf 'a\\0needle\\n' > binary
printf 'name' > "$(printf 'b/\\377')"
: > b/empty
chmod 000 shut`;

/** Listing directories and scanning files, which the tools for lists and searches build on. */
export function exploreCases(get: () => Subject, extent: Extent): void {
  describeCases('exploring files', extent, (it) => {
    const root = () => `${get().shared.cwd}/explored`;

    async function explored<Result>(work: (explorer: FileExplorer) => Promise<Result>): Promise<Result> {
      const { engine, shared } = get();
      const explorer = await engine.files.explore(shared.sandboxId, timeoutSignal());
      try {
        return await work(explorer);
      } finally {
        explorer.close();
      }
    }

    async function scan(
      explorer: FileExplorer,
      files: string[],
      literals: string[] = ['needle'],
      ignoreCase = false,
    ): Promise<ScanRecord[]> {
      const records: ScanRecord[] = [];
      const request = { directory: root(), files, literals, ignoreCase };
      for await (const record of explorer.scan(request)) records.push(record);
      return records;
    }

    const line = (file: number, number: number, offset: number, text: string) => ({
      kind: 'line',
      file,
      line: number,
      offset,
      data: Buffer.from(text),
    });

    it('lists directories by the bytes of names, with what excludes files, and pages', async () => {
      await run(get(), 'sh', ['-c', MAKE]);
      await explored(async (explorer) => {
        const directories = [root(), `${root()}/b`, `${root()}/none`, `${root()}/a.txt`, `${root()}/shut`];
        const [top, below, ...unreadable] = await explorer.list({ directories, limit: 100, details: true });
        expect(top?.entries.map(({ name, type }) => [name, type])).toEqual([
          ['.git', 'directory'],
          ['.gitignore', 'file'],
          ['a.txt', 'file'],
          ['b', 'directory'],
          ['binary', 'file'],
          ['link', 'symlink'],
          ['pipe', 'other'],
          ['shut', 'directory'],
        ]);
        expect(top).toMatchObject({ hasMore: false, hasGit: true, ignoreFile: '*.log\n' });
        expect(top?.entries[2]?.sizeBytes).toBe(32);
        expect(Math.abs(Date.now() - (top?.entries[2]?.mtimeMs ?? 0))).toBeLessThan(3_600_000);
        expect(below?.entries.map(({ name }) => name)).toEqual(['-n', 'deep', 'empty', 'two\nlines', '\xff']);
        expect(below).toMatchObject({ hasGit: false, ignoreFile: '' });
        expect(unreadable.slice(0, 2)).toEqual([null, null]);
        const page = { directories: [`${root()}/b`], after: '-n', limit: 2, details: false };
        const [second] = await explorer.list(page);
        expect(second?.entries.map(({ name }) => name)).toEqual(['deep', 'empty']);
        expect(second?.hasMore).toBe(true);
        const [last] = await explorer.list({ ...page, after: 'empty' });
        expect(last?.entries.map(({ name }) => name)).toEqual(['two\nlines', '\xff']);
        expect(last?.hasMore).toBe(false);
      });
    });

    it('scans files for literals, in order, with any name, and reports binary ones', async () => {
      await explored(async (explorer) => {
        const files = ['a.txt', 'none', 'link', 'pipe', 'binary', 'b/-n', 'b/empty', 'b/two\nlines'];
        expect(await scan(explorer, files)).toEqual([
          line(0, 2, 4, 'two needle'),
          { kind: 'binary', file: 4 },
          line(7, 1, 0, 'needle'),
        ]);
        expect(await scan(explorer, ['a.txt'], ['needle'], true)).toEqual([
          line(0, 2, 4, 'two needle'),
          line(0, 4, 21, 'NEEDLE four'),
        ]);
        expect(await scan(explorer, ['a.txt', 'b/\xff'], ['three', 'nam'])).toEqual([
          line(0, 3, 15, 'three'),
          line(1, 1, 0, 'name'),
        ]);
        expect(
          (await scan(explorer, ['a.txt'], [])).map((record) => 'line' in record && record.line),
        ).toEqual([1, 2, 3, 4]);
        expect(await scan(explorer, [])).toEqual([]);
      });
    });

    it('scans large files and long lines in bounded pieces', async () => {
      const script = `cd explored; { yes 'some text' | head -n 300000; echo last needle; } > large
        { head -c 3000000 /dev/zero | tr '\\0' x; printf needle; head -c 3000000 /dev/zero | tr '\\0' y; } > long`;
      await run(get(), 'sh', ['-c', script]);
      await explored(async (explorer) => {
        const records = await scan(explorer, ['large', 'long']);
        expect(records).toContainEqual(line(0, 300_001, 3_000_000, 'last needle'));
        const long = records.flatMap((record) =>
          record.kind === 'line' && record.file === 1 ? [record] : [],
        );
        expect(long.map(({ line: number }) => number)).toEqual([1]);
        for (const { data } of long) expect(data.length).toBeLessThanOrEqual(16_384);
      });
      await run(get(), 'rm', ['-rf', 'explored']);
    });
  });
}
