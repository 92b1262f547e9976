import { existsSync, mkdirSync, readdirSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { describe, expect, it } from 'vitest';
import { currentProcess } from '../../src/shared/process-identity.ts';
import { stageName } from '../../src/shared/stage-name.ts';
import { neverAborted, openWorld, temporaryFolder } from './support.ts';

/** No process of this boot has started at this tick with the first pid. */
const DEAD = { pid: 1, startTime: '999999999999', bootId: currentProcess().bootId };

/** What a process leaves that dies in a download: an unfinished tree, and the note of it. */
function leave(stateDir: string, path: string, process = DEAD): void {
  mkdirSync(path, { recursive: true });
  writeFileSync(join(path, 'file'), 'x');
  const notes = join(stateDir, 'records/downloads');
  mkdirSync(notes, { recursive: true });
  writeFileSync(join(notes, `${readdirSync(notes).length}.json`), JSON.stringify({ path, process }));
}

describe('an unfinished download', () => {
  it('is removed after its process, and no other is', async () => {
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

  it('whose note is damaged keeps no other', async () => {
    const { stateDir, restart, log } = openWorld();
    const path = join(temporaryFolder(), stageName('dead'));
    mkdirSync(join(stateDir, 'records/downloads'), { recursive: true });
    writeFileSync(join(stateDir, 'records/downloads/0.json'), '{');
    leave(stateDir, path);
    await restart().recover(neverAborted);
    expect(existsSync(path)).toBe(false);
    expect(log.lines.join()).toContain('An unfinished download could not be removed.');
  });
});
