/**
 * The agent's executable in the state directory. Its name contains its digest, which is checked before it is
 * used.
 */
import { createHash } from 'node:crypto';
import { chmod, readFile, rename, stat, writeFile } from 'node:fs/promises';
import { basename, join } from 'node:path';
import { SandboxError, systemErrorCode } from '../../../shared/errors.ts';
import { temporaryName } from '../../../shared/fs/atomic-file.ts';
import type { StateLayout } from '../state/state-layout.ts';

const PREFIX = 'agent-';
/** Hexadecimal digits of the SHA-256 digest. */
const DIGITS = 32;

/**
 * Verified executables by path, with their metadata at that time. The kernel sets the change time, so it
 * cannot be forged.
 */
const verified = new Map<string, string>();

function nameOf(content: Buffer): string {
  return `${PREFIX}${createHash('sha256').update(content).digest('hex').slice(0, DIGITS)}`;
}

/** Copies the agent to where the mapped root can read it. Versions can coexist. Returns its path. */
export async function installAgent(layout: StateLayout, source: string): Promise<string> {
  let content: Buffer;
  try {
    content = await readFile(source);
  } catch (error) {
    if (systemErrorCode(error) !== 'ENOENT') throw error;
    throw new SandboxError('unavailable', `The agent for ${process.arch} is not built.`, {
      hint: 'Run `npm run build` (it needs a C compiler), or install the published package, which includes the agent.',
    });
  }
  const target = join(layout.binaries, nameOf(content));
  if (await isIntact(target)) return target;
  const temporary = temporaryName(target);
  await writeFile(temporary, content, { mode: 0o755 });
  await chmod(temporary, 0o755);
  await rename(temporary, target);
  return target;
}

/** @throws `unavailable` for an executable that is not the one that was installed */
export async function verifyAgent(agent: string): Promise<void> {
  if (await isIntact(agent)) return;
  throw new SandboxError('unavailable', "The agent in the state directory is not this version's.", {
    hint: 'Something has changed or removed it. Restart the server, which installs it again, and find out what did.',
  });
}

/** Reads the file again whenever anything about it has changed. */
async function isIntact(agent: string): Promise<boolean> {
  try {
    const { dev, ino, size, mtimeNs, ctimeNs } = await stat(agent, { bigint: true });
    const stamp = [dev, ino, size, mtimeNs, ctimeNs].join('.');
    if (verified.get(agent) === stamp) return true;
    if (nameOf(await readFile(agent)) !== basename(agent)) return false;
    verified.set(agent, stamp);
    return true;
  } catch (error) {
    if (systemErrorCode(error) === 'ENOENT') return false;
    throw error;
  }
}
