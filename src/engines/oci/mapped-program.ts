/** Programs of the host with the ids of a sandbox: the only way for an ordinary user to its files. */
import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { writeFile } from 'node:fs/promises';
import { findProgram, type HostProgramResult, runHostProgram } from './host-program.ts';
import type { IdMap, IdMapping } from './id-map.ts';

const MAX_KEPT = 4_096;

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

/** Runs a program to its end as root of a user namespace with the sandbox's ids. An abort kills it. */
export async function runMapped(
  agent: string,
  idMap: IdMap,
  program: string,
  args: string[],
  signal?: AbortSignal,
): Promise<HostProgramResult> {
  const child = spawn(agent, ['userns', program, ...args], { stdio: ['pipe', 'pipe', 'pipe'], env: {} });
  let output = '';
  const keep = (chunk: Buffer) => {
    output = (output + chunk.toString('utf8')).slice(0, MAX_KEPT);
  };
  child.stderr.on('data', keep);
  child.stdin.on('error', () => child.kill('SIGKILL'));
  const kill = () => child.kill('SIGKILL');
  signal?.addEventListener('abort', kill, { once: true });
  const closed = once(child, 'close');
  // The first thing on standard output is the agent's `ready`; the rest is the program's.
  await Promise.race([once(child.stdout, 'data'), closed]);
  child.stdout.on('data', keep);
  try {
    if (signal?.aborted) kill();
    await mapIds(String(child.pid), idMap);
    child.stdin.end('x');
  } catch (error) {
    kill();
    throw error;
  } finally {
    await closed;
    signal?.removeEventListener('abort', kill);
  }
  return { exitCode: child.exitCode, output };
}
