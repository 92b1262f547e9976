/** Finds the hidden files of a folder, with the agent on the host, and hides them in an overlay layer. */
import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { whenSpawned } from '../../../shared/async/when-spawned.ts';
import type { HostDirectory } from '../../../shared/fs/host-directory.ts';
import { hiddenRules, nameEnds } from '../../workspace/hidden-files.ts';

/**
 * The paths to hide, one character per byte; what is below a hidden directory is left out. One walk over the
 * folder.
 */
export async function hiddenPaths(
  agent: string,
  folder: HostDirectory,
  text: string,
  signal: AbortSignal,
): Promise<string[]> {
  const rules = hiddenRules(text);
  const ends = text.split('\n').flatMap((rule) => nameEnds(rule) ?? []);
  const input = Buffer.from(ends.map(({ begin, end }) => `${begin}\0${end}\0`).join(''), 'latin1');
  const listed = await runAgent(agent, ['candidates'], folder, input, signal);
  const candidates = listed.toString('latin1').split('\0');
  if (candidates.pop() !== 'e') throw new Error('the list of hidden files is cut off');
  return candidates.flatMap((candidate) => {
    const path = candidate.slice(1);
    const slash = path.lastIndexOf('/');
    const isBelow = slash !== -1 && rules.hidesBytes(path.slice(0, slash), true);
    return !isBelow && rules.hidesBytes(path, candidate.startsWith('d')) ? [path] : [];
  });
}

/** Creates whiteouts of these paths in the overlay layer `mask`, whose directories get the folder's metadata. */
export async function maskPaths(
  agent: string,
  folder: HostDirectory,
  mask: string,
  paths: string[],
  signal: AbortSignal,
): Promise<void> {
  const input = Buffer.from(paths.map((path) => `${path}\0`).join(''), 'latin1');
  await runAgent(agent, ['whiteouts', mask], folder, input, signal);
}

/** Runs the agent with the folder as descriptor 3. Returns its output. */
async function runAgent(
  agent: string,
  args: string[],
  folder: HostDirectory,
  input: Buffer,
  signal: AbortSignal,
): Promise<Buffer> {
  const child = await whenSpawned(
    spawn(agent, args, { stdio: ['pipe', 'pipe', 'pipe', folder.fd ?? 'ignore'], env: {}, signal }),
  );
  child.on('error', () => {});
  const output: Buffer[] = [];
  let errors = '';
  child.stdout?.on('data', (chunk: Buffer) => output.push(chunk));
  child.stderr?.on('data', (chunk: Buffer) => {
    errors = (errors + chunk.toString('utf8')).slice(0, 1_000);
  });
  child.stdin?.on('error', () => {});
  child.stdin?.end(input);
  await once(child, 'close');
  signal.throwIfAborted();
  if (child.exitCode !== 0) throw new Error(`agent ${args[0]} failed (${child.exitCode}): ${errors}`);
  return Buffer.concat(output);
}
