/** Runs host programs with the ids of a sandbox: the only way for an ordinary user to access its files. */

import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { writeFile } from 'node:fs/promises';
import type { Writable } from 'node:stream';
import { onAbort } from '../../../shared/async/on-abort.ts';
import { whenSpawned } from '../../../shared/async/when-spawned.ts';
import { verifyAgent } from './agent-program.ts';
import { findProgram, type HostProgramResult, runHostProgram } from './host-program.ts';
import type { IdMap, IdMapping } from './id-map.ts';

const MAX_KEPT = 4_096;

function mapArguments(mappings: IdMapping[]): string[] {
  return mappings.flatMap(({ containerID, hostID, size }) => [containerID, hostID, size].map(String));
}

/**
 * Maps the ids of a process's new user namespace: directly if this process may (user_namespaces(7)), else
 * with the setuid helpers.
 */
async function mapIds(pid: string, idMap: IdMap): Promise<void> {
  if (idMap.kind !== 'subordinate') {
    // An unprivileged user may map a group only after setgroups(2) was denied.
    if (idMap.kind === 'single') await writeFile(`/proc/${pid}/setgroups`, 'deny');
    await writeFile(`/proc/${pid}/uid_map`, mapArguments(idMap.uidMappings).join(' '));
    await writeFile(`/proc/${pid}/gid_map`, mapArguments(idMap.gidMappings).join(' '));
    return;
  }
  for (const [name, mappings] of [
    ['newuidmap', idMap.uidMappings],
    ['newgidmap', idMap.gidMappings],
  ] as const) {
    const result = await runHostProgram(findProgram(name) ?? name, [pid, ...mapArguments(mappings)]);
    if (result.exitCode !== 0) throw new Error(`${name} failed: ${result.output.trim()}`);
  }
}

/** Runs a verb of the agent on the host to completion. An abort kills it. */
export async function runAgentVerb(
  agent: string,
  verb: string,
  args: string[],
  signal: AbortSignal,
): Promise<HostProgramResult> {
  await verifyAgent(agent);
  return runHostProgram(agent, [verb, ...args], { signal });
}

/** A program running as root of a user namespace with the sandbox's ids. */
export interface UsernsProcess {
  readonly stdin: Writable;
  /** Resolves with the first 4,096 characters of each stream. */
  readonly ended: Promise<{ exitCode: number | null; output: string; errors: string }>;
  kill(): void;
}

/** Starts such a program. An abort kills it at any time. */
export async function startInUserns(
  agent: string,
  idMap: IdMap,
  program: string,
  args: string[],
  signal?: AbortSignal,
): Promise<UsernsProcess> {
  await verifyAgent(agent);
  const child = await whenSpawned(
    spawn(agent, ['userns', program, ...args], { stdio: ['pipe', 'pipe', 'pipe'], env: {} }),
  );
  const kept = { output: '', errors: '' };
  child.stderr.on('data', (chunk: Buffer) => {
    kept.errors = (kept.errors + chunk.toString('utf8')).slice(0, MAX_KEPT);
  });
  const kill = () => child.kill('SIGKILL');
  child.stdin.on('error', kill);
  const release = signal === undefined ? () => {} : onAbort(signal, kill);
  const ended = once(child, 'close').then(() => {
    release();
    return { exitCode: child.exitCode, ...kept };
  });
  // Standard output starts with the agent's `ready`; the rest is the program's.
  await Promise.race([once(child.stdout, 'data'), ended]);
  child.stdout.on('data', (chunk: Buffer) => {
    kept.output = (kept.output + chunk.toString('utf8')).slice(0, MAX_KEPT);
  });
  try {
    await mapIds(String(child.pid), idMap);
    child.stdin.write('x');
  } catch (error) {
    kill();
    await ended;
    throw error;
  }
  return { stdin: child.stdin, ended, kill };
}

/** Runs a program to completion as root of a user namespace with the sandbox's ids. An abort kills it. */
export async function runInUserns(
  agent: string,
  idMap: IdMap,
  program: string,
  args: string[],
  signal?: AbortSignal,
): Promise<HostProgramResult> {
  const child = await startInUserns(agent, idMap, program, args, signal);
  child.stdin.end();
  const { exitCode, output, errors } = await child.ended;
  return { exitCode, output: errors + output, stdout: output };
}
