import { mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { expect, it, onTestFinished } from 'vitest';
import { SessionDirectory } from '../../../../src/server/http/replicas/session-directory.ts';
import type { SessionHold } from '../../../../src/server/http/replicas/session-hold.ts';
import { systemClock } from '../../../../src/shared/clock.ts';
import { createLogger } from '../../../../src/shared/log.ts';
import { SESSIONS } from '../../../../src/shared/store/collections.ts';
import { FilesStore } from '../../../../src/shared/store/files-store.ts';
import { Replica } from '../../../../src/shared/store/replica.ts';
import { storeUnavailable } from '../../../../src/shared/store/store.ts';

const SESSION = { sessionId: 'ses_1', principal: 'ann', conversation: null, http: null };

/** A store whose answers to changes can be lost: the changes are made. */
class SilentStore extends FilesStore {
  isSilent = false;

  override async swap(...given: Parameters<FilesStore['swap']>): Promise<boolean> {
    const swapped = await super.swap(...given);
    if (!this.isSilent) return swapped;
    this.isSilent = false;
    throw storeUnavailable(new Error('no answer'));
  }
}

/** A session with an event, which this replica holds. */
async function heldSession(): Promise<{ store: SilentStore; hold: SessionHold }> {
  const folder = await mkdtemp(join(tmpdir(), 'hold-'));
  onTestFinished(() => rm(folder, { recursive: true }));
  const store = new SilentStore(folder);
  const replica = new Replica({ store, log: createLogger('silent'), clock: systemClock });
  const claimed = await new SessionDirectory(replica).add(SESSION, { created: 0, currentSandboxId: null });
  if (claimed === null) throw new Error('the session exists');
  await store.swap(claimed.hold.events, '1', null, 'event');
  return { store, hold: claimed.hold };
}

it.each([false, true])('a removed session leaves no events; answer to the removal lost: %s', async (lost) => {
  const { store, hold } = await heldSession();
  store.isSilent = lost;
  await hold.remove();
  expect(await store.read(SESSIONS, SESSION.sessionId)).toBeNull();
  expect(await store.ids(hold.events)).toEqual([]);
});

it('a session that another replica has taken keeps its events', async () => {
  const { store, hold } = await heldSession();
  const text = (await store.read(SESSIONS, SESSION.sessionId)) ?? '';
  const taken = JSON.stringify({ ...JSON.parse(text), replica: 'rep_other', epoch: 2 });
  expect(await store.swap(SESSIONS, SESSION.sessionId, text, taken)).toBe(true);
  await hold.remove();
  expect(await store.read(SESSIONS, SESSION.sessionId)).toBe(taken);
  expect(await store.ids(hold.events)).toEqual(['1']);
});
