import {
  existsSync,
  mkdirSync,
  mkdtempSync,
  readdirSync,
  readFileSync,
  realpathSync,
  renameSync,
  rmSync,
  statSync,
  symlinkSync,
  writeFileSync,
} from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { setTimeout as delay } from 'node:timers/promises';
import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import {
  finishJournals,
  folderLock,
  type Journal,
  newJournal,
  performSteps,
  recoverJournals,
  type Step,
  writeJournal,
} from '../../../src/engines/workspace/journal.ts';
import { stampOf } from '../../../src/engines/workspace/stamp.ts';
import { withFileLock } from '../../../src/shared/fs/file-lock.ts';
import { openSides } from './support/open-sides.ts';

let root: string;
let directory: string;
let sides: Awaited<ReturnType<typeof openSides>>;

beforeEach(async () => {
  root = realpathSync(mkdtempSync(join(tmpdir(), 'journal-')));
  directory = join(root, 'journals');
  mkdirSync(directory);
  sides = await openSides(root);
});
afterEach(async () => {
  await sides.close();
  rmSync(root, { recursive: true });
});

const at = (path: string) => join(root, 'folder', path);
const journals = () => readdirSync(directory).filter((file) => file.endsWith('.json'));

/** Creates a file and returns its stamp. */
function file(path: string, text = path): string {
  writeFileSync(at(path), text);
  return stampOf(statSync(at(path), { bigint: true }));
}

function journalOf(steps: Step[], parts: Partial<Journal> = {}): Journal {
  const { localPath, folder } = sides.record;
  return { ...newJournal(localPath, folder, { directories: [], steps }), committed: true, ...parts };
}

/** A committed journal of a dead process that deletes a file, which is created. */
async function interrupted(name: string, parts: Partial<Journal> = {}): Promise<void> {
  const journal = journalOf([{ path: name, staged: null, expected: file(name), from: null }]);
  const owner = { ...journal.owner, startTime: '0' };
  await writeJournal(directory, name, { ...journal, owner, ...parts });
}

describe('journals of an apply', () => {
  it('of its own folder alone are finished by another one, whatever the others are', async () => {
    symlinkSync('missing', join(directory, 'gone.json'));
    writeFileSync(join(directory, 'damaged.json'), '{');
    await interrupted('other', { folder: '1:2' });
    await interrupted('own');
    await finishJournals(directory, sides.record);
    expect(readdirSync(join(root, 'folder'))).toEqual(['other']);
    expect(journals().sort()).toEqual(['damaged.json', 'gone.json', 'other.json']);
  });

  it('are recovered at a start, also those after a damaged one and one that fails', async () => {
    symlinkSync('missing', join(directory, 'b-gone.json'));
    writeFileSync(join(directory, 'a-damaged.json'), '{');
    await interrupted('c-failing', { localPath: `/${'x'.repeat(300)}` });
    await interrupted('d');
    const error: unknown = await recoverJournals(directory).catch((thrown: unknown) => thrown);
    expect(error).toBeInstanceOf(AggregateError);
    const messages = error instanceof AggregateError ? error.errors.map(String).sort() : [];
    expect(messages).toEqual([
      'Error: cannot recover a-damaged.json',
      'Error: cannot recover c-failing.json',
    ]);
    expect(existsSync(at('d'))).toBe(false);
    expect(journals().sort()).toEqual(['a-damaged.json', 'b-gone.json', 'c-failing.json']);
  });

  it('are not touched while somebody else has the lock of their folder', async () => {
    await interrupted('own');
    let recovering: Promise<string[]> | undefined;
    await withFileLock(folderLock(directory, sides.record.folder), async () => {
      recovering = recoverJournals(directory);
      await Promise.race([recovering, delay(100)]);
      rmSync(join(directory, 'own.json'));
    });
    expect(await recovering).toEqual([]);
    expect(existsSync(at('own'))).toBe(true);
  });

  it('are finished after a boot that numbers devices differently', async () => {
    const [, inode] = sides.record.folder.split(':');
    const { owner } = journalOf([]);
    const before = { folder: `4095:${inode}`, owner: { ...owner, bootId: 'before' } };
    await interrupted('start', before);
    expect(await recoverJournals(directory)).toEqual([sides.record.localPath]);
    expect(existsSync(at('start'))).toBe(false);
    await interrupted('apply', before);
    await finishJournals(directory, sides.record);
    expect(existsSync(at('apply'))).toBe(false);
    // In this boot, it is another folder.
    await interrupted('replaced', { folder: `4095:${inode}` });
    await expect(recoverJournals(directory)).rejects.toThrow('1 journals are not recovered');
    expect(existsSync(at('replaced'))).toBe(true);
    expect(journals()).toEqual(['replaced.json']);
  });

  it('stay until their folder is there again, and are finished where it was moved to', async () => {
    const { localPath, folder } = sides.record;
    const moved = join(root, 'moved');
    await interrupted('late');
    renameSync(localPath, moved);
    await expect(recoverJournals(directory)).rejects.toThrow('1 journals are not recovered');
    expect(journals()).toEqual(['late.json']);
    await finishJournals(directory, { folder, localPath: moved });
    expect([readdirSync(moved), journals()]).toEqual([[], []]);
    renameSync(moved, localPath);
  });

  it('of the version before have steps without the former name', async () => {
    const journal = journalOf([], { owner: { ...journalOf([]).owner, startTime: '0' } });
    const steps = [{ path: 'old', staged: null, expected: file('old') }];
    writeFileSync(join(directory, 'old.json'), JSON.stringify({ ...journal, steps }));
    expect(await recoverJournals(directory)).toHaveLength(1);
    expect(existsSync(at('old'))).toBe(false);
  });
});

describe('the steps of an apply', () => {
  it('report a file whose staged content is missing', async () => {
    const journal = journalOf([{ path: 'a', staged: 'missing', expected: file('a'), from: null }]);
    expect(await performSteps(sides.folder, journal)).toEqual(['a']);
    expect(readFileSync(at('a'), 'utf8')).toBe('a');
  });

  it('keep the former file of a rename that cannot be done', async () => {
    const renamed = (name: string, staged: string): Step[] => [
      { path: `${name}-old`, staged: null, expected: file(`${name}-old`), from: null },
      { path: name, staged, expected: null, from: `${name}-old` },
    ];
    const steps = [
      ...renamed('taken', '.staged-1'),
      ...renamed('unstaged', '.none'),
      ...renamed('free', '.2'),
    ];
    file('.staged-1');
    file('.2', 'new');
    file('taken', 'of the host');
    const skipped = await performSteps(sides.folder, journalOf(steps));
    expect(skipped).toEqual(['taken-old', 'unstaged-old', 'taken', 'unstaged']);
    expect(readdirSync(join(root, 'folder')).sort()).toEqual(['free', 'taken', 'taken-old', 'unstaged-old']);
    expect(readFileSync(at('taken'), 'utf8')).toBe('of the host');
    expect(readFileSync(at('free'), 'utf8')).toBe('new');
  });
});
