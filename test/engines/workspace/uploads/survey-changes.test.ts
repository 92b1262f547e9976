import { describe, expect, it } from 'vitest';
import type { OnSkipped } from '../../../../src/engines/engine.ts';
import type { SurveyedEntry } from '../../../../src/engines/workspace/uploads/guest-access.ts';
import { guestStamp, type Manifest } from '../../../../src/engines/workspace/uploads/manifest.ts';
import { surveyChanges } from '../../../../src/engines/workspace/uploads/survey-changes.ts';

function entry(path: string, parts: Partial<SurveyedEntry> = {}): SurveyedEntry {
  const common = { type: 'file' as const, mode: 0o644, sizeBytes: 1, mtimeMs: 1, changedUs: 1 };
  return { path, ...common, linkTarget: null, ...parts };
}

function listed(entries: SurveyedEntry[], skipped: [string, string][] = [], manifest: Manifest = new Map()) {
  return surveyChanges(manifest, async function* (onSkipped: OnSkipped) {
    for (const [path, reason] of skipped) onSkipped(path, reason);
    yield* entries;
  });
}

describe('what a sandbox says about its files', () => {
  it.each(['..', '../x', 'a/../../x', '/etc/passwd', 'a//b', './a', 'a/.', 'a\0b', 'x'.repeat(5_000)])(
    'is no path like %j',
    async (path) => {
      const malformed = { code: 'server', message: expect.stringContaining('form that cannot be used') };
      await expect(listed([entry(path)])).rejects.toMatchObject(malformed);
      await expect(listed([entry(path, { type: 'directory' })])).rejects.toMatchObject(malformed);
      await expect(listed([], [[path, 'permission denied']])).rejects.toMatchObject(malformed);
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
      [['pipe', 'fifo']],
      manifest,
    );
    expect(unreadable).toBe(1);
    expect([...entries.values()].map(({ path, kind }) => [path, kind])).toEqual([
      ['pipe', 'o'],
      ['ok…', 'f'],
    ]);
  });
});
