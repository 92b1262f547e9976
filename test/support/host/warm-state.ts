/**
 * What a server makes first in a new state directory: the template of its sandboxes' /etc, a thousand files
 * that are the same for each server of a run. Tests get links to one copy instead of most of a second of
 * processor time each. The crash tests of an ordinary user, the packed package and the client libraries start
 * without it.
 */
import { execFile } from 'node:child_process';
import { lstatSync } from 'node:fs';
import { mkdir } from 'node:fs/promises';
import { join } from 'node:path';
import { promisify } from 'node:util';
import { ensureEtcTemplate } from '../../../src/engines/oci/host/etc-template.ts';
import { chooseIdMap } from '../../../src/engines/oci/host/id-map.ts';

/** Names the folder of `makeWarmState` in the environment of the tests. */
export const WARM_STATE = 'TEST_WARM_STATE';

const TEMPLATES = 'etc';

/** Makes a folder that `warm` copies from. @throws on a machine that cannot run sandboxes */
export async function makeWarmState(folder: string): Promise<void> {
  await mkdir(join(folder, TEMPLATES), { recursive: true });
  const { hostUid, hostGid } = await chooseIdMap(join(folder, 'uid-range.json'));
  await ensureEtcTemplate(join(folder, TEMPLATES), hostUid, hostGid);
}

/** Fills a state directory, which need not exist, for a server of this process's user. */
export async function warm(stateDir: string): Promise<void> {
  const folder = process.env[WARM_STATE];
  // Without it, as for another user, a server makes its own.
  if (folder === undefined || lstatSync(folder).uid !== process.geteuid?.()) return;
  await mkdir(stateDir, { recursive: true, mode: 0o711 });
  await promisify(execFile)('cp', ['-al', join(folder, TEMPLATES), stateDir]);
}
