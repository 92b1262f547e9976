/** Type, size, mode and digest of a file, as a script in the sandbox reports them. */
import type { Session } from '@vercel/sandbox';
import { SandboxError } from '../../../shared/errors.ts';
import type { FileStat } from '../../engine.ts';
import { DESCRIBE, MISSING, refusal, STAT } from '../guest/file-scripts.ts';
import { runScript } from '../guest/run-script.ts';

/** Below the 5 minutes after which the platform ends a request. */
const DESCRIBE_MS = 290_000;

/** Null if nothing is there. */
export async function statIn(session: Session, path: string, signal: AbortSignal): Promise<FileStat | null> {
  const fields = await described(session, STAT, path, signal);
  return fields === null ? null : statOf(fields, path);
}

/**
 * The same with the modification time (milliseconds since 1970) and the digest of a file's content, which is
 * null for a directory; null if nothing is there.
 */
export async function describeIn(
  session: Session,
  path: string,
  signal: AbortSignal,
): Promise<{ stat: FileStat; mtimeMs: number; sha256: string | null } | null> {
  const fields = await described(session, DESCRIBE, path, signal);
  if (fields === null) return null;
  const stat = statOf(fields, path);
  const mtimeMs = Math.trunc(Number(fields[3]) * 1_000);
  const sha256 = fields[4] ?? null;
  if (!Number.isSafeInteger(mtimeMs)) throw unreadable(path);
  if (stat.type === 'file' && !/^[0-9a-f]{64}$/.test(sha256 ?? '')) throw unreadable(path);
  return { stat, mtimeMs, sha256 };
}

async function described(
  session: Session,
  script: string,
  path: string,
  signal: AbortSignal,
): Promise<string[] | null> {
  const result = await runScript(session, script, [path], { signal, timeoutMs: DESCRIBE_MS });
  if (result.exitCode === MISSING) return null;
  const refused = refusal(result, path, 'read');
  if (refused !== null) throw refused;
  return result.stdout.trim().split(/\s+/);
}

function statOf([kind, size, mode]: string[], path: string): FileStat {
  const stat: FileStat = {
    path,
    type: kind === 'd' ? 'directory' : 'file',
    sizeBytes: Number(size),
    mode: Number.parseInt(mode ?? '', 8),
  };
  if (!Number.isSafeInteger(stat.sizeBytes) || !Number.isSafeInteger(stat.mode)) throw unreadable(path);
  return stat;
}

export function unreadable(path: string): SandboxError {
  return new SandboxError('server', `The sandbox's description of "${path}" is invalid.`, {
    details: { path },
  });
}
