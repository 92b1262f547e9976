import { existsSync, mkdirSync, readdirSync, readFileSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { describe, expect, it } from 'vitest';
import { stageName } from '../../src/shared/fs/stage-name.ts';
import { currentProcess } from '../../src/shared/process-identity.ts';
import { neverAborted, openWorld, plainRequest, rejection, temporaryFolder } from './support/registry.ts';

/** No process of this boot has started at this tick with the first pid. */
const DEAD = { pid: 1, startTime: '999999999999', bootId: currentProcess().bootId };

/** What a process leaves that dies during a download: an unfinished tree, and its record. */
function leave(stateDir: string, path: string, process = DEAD): void {
  mkdirSync(path, { recursive: true });
  writeFileSync(join(path, 'file'), 'x');
  const notes = join(stateDir, 'records/downloads');
  mkdirSync(notes, { recursive: true });
  writeFileSync(join(notes, `${readdirSync(notes).length}.json`), JSON.stringify({ path, process }));
}

describe('an unfinished download', () => {
  it('is removed once its process has ended, and no other is', async () => {
    const { stateDir, restart } = openWorld();
    const folder = temporaryFolder();
    const [dead, living] = ['dead', 'living'].map((name) => join(folder, stageName(name)));
    const precious = join(folder, 'precious');
    leave(stateDir, dead ?? '');
    leave(stateDir, living ?? '', currentProcess());
    leave(stateDir, precious);
    await restart().recover(neverAborted);
    expect([dead, living, precious].map((path) => existsSync(path ?? ''))).toEqual([false, true, true]);
    expect(readdirSync(join(stateDir, 'records/downloads'))).toEqual(['1.json']);
  });

  it('does not block the removal of others when its note is damaged', async () => {
    const { stateDir, restart, log } = openWorld();
    const path = join(temporaryFolder(), stageName('dead'));
    mkdirSync(join(stateDir, 'records/downloads'), { recursive: true });
    // Empty, as after a power failure; truncated; and of an unknown format.
    const notes = ['', '{', '{}'];
    for (const [index, note] of notes.entries())
      writeFileSync(join(stateDir, `records/downloads/${index}.json`), note);
    leave(stateDir, path);
    await restart().recover(neverAborted);
    expect(existsSync(path)).toBe(false);
    expect(log.lines.filter((line) => line.includes('damaged record'))).toHaveLength(notes.length);
    expect(readdirSync(join(stateDir, 'records/downloads'))).toEqual([]);
  });

  it('is removed even when the recovery of sandboxes is cancelled', async () => {
    const { engine, stateDir, restart } = openWorld();
    const path = join(temporaryFolder(), stageName('dead'));
    leave(stateDir, path);
    const cancelling = new AbortController();
    const { entered } = engine.hold('recover');
    const recovery = rejection(restart().recover(cancelling.signal));
    await entered;
    cancelling.abort();
    expect(await recovery).toMatchObject({ code: 'cancelled' });
    expect(existsSync(path)).toBe(false);
  });

  it('stays recorded when its transfer could not remove it', async () => {
    const { registry, stateDir, log } = openWorld();
    const session = registry.openSession('ann');
    await session.create(plainRequest, neverAborted);
    const left = join(temporaryFolder(), stageName('left'));
    const removed = join(temporaryFolder(), stageName('gone'));
    const request = { direction: 'download' as const, arguments: [] };
    const transfer = await (await session.sandbox(undefined)).transfer(
      request,
      async (_signal, _report, note) => {
        await note(removed);
        await note(left);
        mkdirSync(left);
        throw new Error('it cannot be removed');
      },
      neverAborted,
    );
    await expect(transfer.result).rejects.toThrow('it cannot be removed');
    const notes = readdirSync(join(stateDir, 'records/downloads'));
    expect(notes).toHaveLength(1);
    expect(readFileSync(join(stateDir, 'records/downloads', notes[0] ?? ''), 'utf8')).toContain(left);
    expect(log.lines.join()).toContain('left for recovery');
    await session.end('shutdown');
  });
});
