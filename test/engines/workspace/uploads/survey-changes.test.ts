import { describe, expect, it } from 'vitest';
import type {
  LeftOut,
  OnLeftOut,
  SurveyedEntry,
} from '../../../../src/engines/workspace/uploads/guest-access.ts';
import { guestStamp, type Manifest } from '../../../../src/engines/workspace/uploads/manifest.ts';
import { surveyChanges } from '../../../../src/engines/workspace/uploads/survey-changes.ts';

function entry(path: string, parts: Partial<SurveyedEntry> = {}): SurveyedEntry {
  const common = { type: 'file' as const, mode: 0o644, sizeBytes: 1, mtimeMs: 1, changedUs: 1 };
  return { path, ...common, linkTarget: null, ...parts };
}

function listed(entries: SurveyedEntry[], leftOut: [string, LeftOut][] = [], manifest: Manifest = new Map()) {
  return surveyChanges(manifest, async function* (onLeftOut: OnLeftOut) {
    for (const [path, why] of leftOut) onLeftOut(path, why);
    yield* entries;
  });
}

function uploaded(...paths: string[]): Manifest {
  const noted = (path: string) => ({
    ...entry(path),
    content: '',
    host: 'h',
    guest: guestStamp(entry(path)),
  });
  return new Map(paths.map((path) => [path, noted(path)]));
}

describe('what a sandbox says about its files', () => {
  it.each(['..', '../x', 'a/../../x', '/etc/passwd', 'a//b', './a', 'a/.', 'a\0b', 'x'.repeat(5_000)])(
    'is no path like %j',
    async (path) => {
      const malformed = { code: 'server', message: expect.stringContaining('form that cannot be used') };
      await expect(listed([entry(path)])).rejects.toMatchObject(malformed);
      await expect(listed([entry(path, { type: 'directory' })])).rejects.toMatchObject(malformed);
      await expect(listed([], [[path, 'unreadable']])).rejects.toMatchObject(malformed);
    },
  );

  it.each([
    { sizeBytes: -1 },
    { sizeBytes: Number.NaN },
    { sizeBytes: 2 ** 60 },
    { mtimeMs: Number.POSITIVE_INFINITY },
    { mode: Number.NaN },
    { changedUs: 0.5 },
  ])('is no number like %j', async (parts) => {
    await expect(listed([entry('a', parts)])).rejects.toMatchObject({ code: 'server' });
  });

  it('counts names that are not UTF-8, devices, and nothing that was there before', async () => {
    const before = entry('before');
    const manifest: Manifest = new Map([
      ['before', { ...before, content: null, host: null, guest: guestStamp(before) }],
    ]);
    const { entries, unreadable } = await listed(
      [before, entry('bad\ufffd'), entry('ok…')],
      [['pipe', 'special']],
      manifest,
    );
    expect(unreadable).toBe(1);
    expect([...entries.values()].map(({ path, kind }) => [path, kind])).toEqual([
      ['pipe', 'o'],
      ['ok…', 'f'],
    ]);
  });

  it('is not gone below a directory, or at a file, that cannot be read, the root included', async () => {
    const manifest = uploaded('a/b/c', 'a/x', 'ab', 'file');
    const deletedBelow = async (...paths: string[]) => {
      const { entries } = await listed(
        [],
        paths.map((path): [string, LeftOut] => [path, 'unreadable']),
        manifest,
      );
      return [...entries.keys()];
    };
    expect(await deletedBelow('a')).toEqual(['ab', 'file']);
    expect(await deletedBelow('a/b', 'file')).toEqual(['a/x', 'ab']);
    expect(await deletedBelow('')).toEqual([]);
  });

  it('has a bound, whatever kind of entry it is', async () => {
    function* many(): Generator<string> {
      for (let at = 0; ; at += 1) yield String(at);
    }
    const endless = (kind: LeftOut) =>
      // biome-ignore lint/correctness/useYield: everything is left out
      surveyChanges(new Map(), async function* (onLeftOut) {
        for (const path of many()) onLeftOut(path, kind);
      });
    await expect(endless('unreadable')).rejects.toMatchObject({ code: 'limit_exceeded' });
    await expect(endless('special')).rejects.toMatchObject({ code: 'limit_exceeded' });
    const long = surveyChanges(new Map(), async function* () {
      for (const path of many()) yield entry(path.padStart(4_000, 'x'), { type: 'directory' });
    });
    await expect(long).rejects.toMatchObject({
      code: 'limit_exceeded',
      details: { limit: 'workspace_paths' },
    });
  });

  it('takes linear time for many deleted files and many unreadable directories', async () => {
    const names = Array.from({ length: 50_000 }, (_, at) => String(at));
    const unreadable = names.map((name): [string, LeftOut] => [`empty/${name}`, 'unreadable']);
    const { entries } = await listed([], unreadable, uploaded(...names.map((name) => `src/${name}`)));
    expect(entries.size).toBe(50_000);
  });

  it('ends at the volumes below the workspace', async () => {
    const survey = async function* () {
      for (const path of ['kept', 'vol', 'vol/x', 'volume']) yield entry(path);
    };
    const { entries } = await surveyChanges(new Map(), survey, ['vol']);
    expect([...entries.keys()]).toEqual(['kept', 'volume']);
  });
});
