/** Downloads a result from the sandbox to the host and verifies that it arrived. */
import { createHash } from 'node:crypto';
import { readFile, stat } from 'node:fs/promises';
import { join, posix } from 'node:path';
import { transferAnswer } from './answers.ts';
import { DemoError } from './demo-error.ts';
import type { Program } from './project.ts';
import { runToEnd } from './run-command.ts';
import type { DemoServer } from './server.ts';

export interface Artefact {
  remotePath: string;
  files: number;
  bytes: number;
  sha256: string | null;
}

/**
 * The first candidate that exists in the project, else a list of its files, created for this purpose.
 * @throws DemoError if it does not arrive unchanged
 */
export async function downloadArtefact(
  server: DemoServer,
  projectDir: string,
  candidates: readonly string[],
  folder: string,
): Promise<Artefact> {
  const remotePath =
    (await firstExisting(server, projectDir, candidates)) ?? (await listing(server, projectDir));
  const localPath = join(folder, posix.basename(remotePath));
  const request = { remote_path: remotePath, local_path: localPath };
  const answer = await server.call('sandbox_download_file', request, transferAnswer);
  await requireArrived(answer.local_path, answer.sha256);
  return { remotePath, files: answer.files, bytes: answer.bytes, sha256: answer.sha256 };
}

async function firstExisting(
  server: DemoServer,
  projectDir: string,
  candidates: readonly string[],
): Promise<string | null> {
  const line = 'for path; do if [ -e "$path" ]; then printf %s "$path"; exit; fi; done';
  const program: Program = { title: 'find', cmd: 'sh', args: ['-c', line, 'find', ...candidates] };
  const { stdout } = await runToEnd(server, program, projectDir, null);
  return candidates.includes(stdout) ? posix.join(projectDir, stdout) : null;
}

async function listing(server: DemoServer, projectDir: string): Promise<string> {
  const path = '/tmp/files.txt';
  await runToEnd(server, { title: 'list', cmd: 'sh', args: ['-c', `ls -lR > ${path}`] }, projectDir, null);
  return path;
}

async function requireArrived(path: string, sha256: string | null): Promise<void> {
  if (sha256 === null) {
    if (!(await stat(path)).isDirectory()) throw new DemoError(`The download left no directory at ${path}.`);
    return;
  }
  const found = createHash('sha256')
    .update(await readFile(path))
    .digest('hex');
  if (found !== sha256)
    throw new DemoError(`The downloaded ${path} differs from the original: its SHA-256 is ${found}.`);
}
