/** Removes what a sandbox left on disk, ids of its user namespace included. */
import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { writeFile } from 'node:fs/promises';
import { findProgram, runHostProgram } from './host-program.ts';
import type { IdMap, IdMapping } from './id-map.ts';

function mapArguments(mappings: IdMapping[]): string[] {
  return mappings.flatMap(({ containerID, hostID, size }) => [containerID, hostID, size].map(String));
}

/** Maps ids of a process's new user namespace: one's own by hand (user_namespaces(7)), a range by the setuid helpers. */
async function mapIds(pid: string, idMap: IdMap): Promise<void> {
  if (idMap.kind === 'single') {
    await writeFile(`/proc/${pid}/setgroups`, 'deny');
    await writeFile(`/proc/${pid}/uid_map`, mapArguments(idMap.uidMappings).join(' '));
    await writeFile(`/proc/${pid}/gid_map`, mapArguments(idMap.gidMappings).join(' '));
    return;
  }
  for (const [name, mappings] of [
    ['newuidmap', idMap.uidMappings],
    ['newgidmap', idMap.gidMappings],
  ] as const) {
    const mapped = await runHostProgram(findProgram(name) ?? name, [pid, ...mapArguments(mappings)]);
    if (mapped.exitCode !== 0) throw new Error(`${name} failed: ${mapped.output.trim()}`);
  }
}

/** `rm` as root of a user namespace with the sandbox's ids: the only one who may remove files of subordinate ids. */
async function removeMapped(agent: string, idMap: IdMap, rm: string, paths: string[]): Promise<string> {
  const child = spawn(agent, ['userns', rm, '-rf', '--', ...paths], {
    stdio: ['pipe', 'pipe', 'pipe'],
    env: {},
  });
  let output = '';
  child.stderr.on('data', (chunk: Buffer) => {
    output = (output + chunk.toString('utf8')).slice(0, 4_096);
  });
  child.stdin.on('error', () => child.kill('SIGKILL'));
  const closed = once(child, 'close');
  await Promise.race([once(child.stdout, 'data'), closed]);
  try {
    await mapIds(String(child.pid), idMap);
    child.stdin.end('x');
  } catch (error) {
    child.kill('SIGKILL');
    throw error;
  } finally {
    await closed;
  }
  return output;
}

/**
 * Removes these trees whole. `rm` never follows a symbolic link, goes on when this process ends, and is faster than
 * removing from here. Rejects when something stayed.
 */
export async function removeTrees(agent: string, idMap: IdMap, paths: string[]): Promise<void> {
  if (paths.length === 0) return;
  const rm = findProgram('rm');
  if (rm === null) throw new Error('rm is missing on this host');
  if (idMap.kind !== 'root') {
    const output = await removeMapped(agent, idMap, rm, paths);
    if (output.trim() !== '') throw new Error(`could not remove a sandbox's files: ${output.trim()}`);
    return;
  }
  const result = await runHostProgram(rm, ['-rf', '--', ...paths], { detached: true });
  if (result.exitCode !== 0) throw new Error(`could not remove a sandbox's files: ${result.output.trim()}`);
}
