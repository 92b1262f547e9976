import { spawn } from 'node:child_process';
import { accessSync, constants } from 'node:fs';
import { delimiter, isAbsolute, join } from 'node:path';
import { whenSpawned } from '../../../shared/async/when-spawned.ts';

/** Host programs are searched here only; a PATH from the environment may be incomplete or hostile. */
export const HOST_PATH = ['/usr/local/sbin', '/usr/local/bin', '/usr/sbin', '/usr/bin', '/sbin', '/bin'].join(
  delimiter,
);

/** The absolute path of an executable on the host, or null. */
export function findProgram(name: string): string | null {
  const candidates = isAbsolute(name) ? [name] : HOST_PATH.split(delimiter).map((dir) => join(dir, name));
  for (const path of candidates) {
    try {
      accessSync(path, constants.X_OK);
      return path;
    } catch {
      // Not here; try the next directory.
    }
  }
  return null;
}

export interface HostProgramResult {
  /** Null after a signal. */
  exitCode: number | null;
  /** The first `MAX_KEPT` characters of both streams. */
  output: string;
  /** The first `MAX_KEPT` characters of standard output, unaffected by standard error. */
  stdout: string;
}

const MAX_KEPT = 16_384;

/**
 * Runs a host program to completion, without a shell, with only PATH and `env` as its environment. Rejects
 * with the system's error if it cannot be started, and with `signal.reason` on abort, which kills it.
 */
export async function runHostProgram(
  program: string,
  args: string[],
  options: { signal?: AbortSignal; env?: Record<string, string>; detached?: boolean } = {},
): Promise<HostProgramResult> {
  const child = await whenSpawned(
    spawn(program, args, {
      stdio: ['ignore', 'pipe', 'pipe'],
      env: { PATH: HOST_PATH, ...options.env },
      detached: options.detached ?? false,
      ...(options.signal ? { signal: options.signal, killSignal: 'SIGKILL' } : {}),
    }),
  );
  options.signal?.throwIfAborted();
  return new Promise((resolve, reject) => {
    let output = '';
    let stdout = '';
    const kept = (text: string, chunk: Buffer) =>
      text.length < MAX_KEPT ? (text + chunk.toString('utf8')).slice(0, MAX_KEPT) : text;
    child.stdout.on('data', (chunk: Buffer) => {
      output = kept(output, chunk);
      stdout = kept(stdout, chunk);
    });
    child.stderr.on('data', (chunk: Buffer) => {
      output = kept(output, chunk);
    });
    child.once('error', reject);
    child.once('close', (exitCode) => resolve({ exitCode, output, stdout }));
  });
}
