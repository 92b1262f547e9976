/** Removes what relay processes leave behind once a sandbox has ended. */
import { readdir, rm } from 'node:fs/promises';
import { join } from 'node:path';
import { GATEWAY_MARK, type SandboxPaths, STREAMS_PREFIX } from '../state/state-layout.ts';

/** The sandbox can write to the agent directory: nothing in it is followed. */
const SOCKET = /^(egress|\.egress\..*)$/;

/** Removes the sockets that relay processes bound for an ended sandbox. */
export async function removeEgressSockets(paths: Pick<SandboxPaths, 'dir' | 'agent'>): Promise<void> {
  const remove = async (dir: string, leftOver: (name: string) => boolean) => {
    const names = await readdir(dir).catch(() => []);
    const found = names.filter(leftOver).map((name) => join(dir, name));
    await Promise.all(found.map((path) => rm(path, { recursive: true, force: true })));
  };
  await remove(paths.agent, (name) => SOCKET.test(name));
  await remove(paths.dir, (name) => name.startsWith(STREAMS_PREFIX) || name === GATEWAY_MARK);
}
