import { spawn } from 'node:child_process';
import { accessSync, constants } from 'node:fs';
import { delimiter, isAbsolute, join } from 'node:path';

/** Programs of the host are looked up here; a PATH from the environment may be short or hostile. */
const SEARCH = ['/usr/local/sbin', '/usr/local/bin', '/usr/sbin', '/usr/bin', '/sbin', '/bin'].join(
  delimiter,
);

/** The absolute path of an executable of the host, or null. */
export function findProgram(name: string): string | null {
  const candidates = isAbsolute(name) ? [name] : SEARCH.split(delimiter).map((dir) => join(dir, name));
  for (const path of candidates) {
    try {
      accessSync(path, constants.X_OK);
      return path;
    } catch {
      // Not here; the next place may have it.
    }
  }
  return null;
}

export interface HostProgramResult {
  /** Null after a signal. */
  exitCode: number | null;
  /** Both streams, as far as `MAX_KEPT` goes. */
  output: string;
  /** Standard output alone, as far as that goes: what is complained of leaves its room to it. */
  stdout: string;
}

const MAX_KEPT = 16_384;

/**
 * Runs a program of the host to its end, without a shell, with an empty environment but for PATH and what `env` adds.
 * Rejects with the system's error where it cannot be started, and with `signal.reason` on abort (it is killed then).
 */
export function runHostProgram(
  program: string,
  args: string[],
  options: { signal?: AbortSignal; env?: Record<string, string>; detached?: boolean } = {},
): Promise<HostProgramResult> {
  return new Promise((resolve, reject) => {
    const child = spawn(program, args, {
      stdio: ['ignore', 'pipe', 'pipe'],
      env: { PATH: SEARCH, ...options.env },
      detached: options.detached ?? false,
      ...(options.signal ? { signal: options.signal, killSignal: 'SIGKILL' } : {}),
    });
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
