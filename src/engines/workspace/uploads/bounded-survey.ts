/** A survey whose paths and numbers are checked. A sandbox says what it likes: they are used on the host. */
import { SandboxError } from '../../../shared/errors.ts';
import type { LeftOut, OnLeftOut, SurveyedEntry } from './guest-access.ts';

const MAX_PATH_BYTES = 4_095;
const MAX_SURVEYED = 1_000_000;
/** Of all paths and link targets together. */
const MAX_SURVEYED_BYTES = 134_217_728;

/**
 * Passes on what a sandbox lists, without the volumes that are mounted below the workspace.
 *
 * @param volumes their paths in the workspace
 * @throws `limit_exceeded`; `server` for a list that cannot be used
 */
export async function* boundedSurvey(
  survey: (onLeftOut: OnLeftOut) => AsyncIterable<SurveyedEntry>,
  volumes: readonly string[],
  onLeftOut: OnLeftOut,
): AsyncGenerator<SurveyedEntry> {
  let entries = 0;
  let bytes = 0;
  const count = (path: string, linkTarget: string | null): void => {
    requirePath(path);
    entries += 1;
    bytes += Buffer.byteLength(path) + Buffer.byteLength(linkTarget ?? '');
    if (entries > MAX_SURVEYED) throw tooMany(`entries`, 'workspace_entries', MAX_SURVEYED);
    if (bytes > MAX_SURVEYED_BYTES) throw tooMany('bytes of paths', 'workspace_paths', MAX_SURVEYED_BYTES);
  };
  const leftOut = (path: string, why: LeftOut): void => {
    count(path, null);
    if (!isInVolume(path, volumes)) onLeftOut(path, why);
  };
  for await (const found of survey(leftOut)) {
    count(found.path, found.linkTarget);
    requireNumbers(found);
    if (!isInVolume(found.path, volumes)) yield found;
  }
}

/** Whether a path of the workspace is the root of a volume or below one. */
export function isInVolume(path: string, volumes: readonly string[]): boolean {
  return volumes.some((volume) => path === volume || path.startsWith(`${volume}/`));
}

/** The root itself, or names below it. */
function requirePath(path: string): void {
  const names = path === '' ? [] : path.split('/');
  const isPath = names.every((name) => name !== '' && name !== '.' && name !== '..' && !name.includes('\0'));
  if (!isPath || Buffer.byteLength(path) > MAX_PATH_BYTES) throw malformed();
}

function requireNumbers({ mode, sizeBytes, mtimeMs, changedUs }: SurveyedEntry): void {
  const numbers = [mode, sizeBytes, mtimeMs, changedUs];
  if (!numbers.every((each) => Number.isSafeInteger(each)) || sizeBytes < 0) throw malformed();
}

function malformed(): SandboxError {
  return new SandboxError('server', 'The sandbox listed its files in a form that cannot be used.', {
    hint: 'sandbox_run_command (cmd: "find") shows whether its programs work; sandbox_create makes a new one.',
  });
}

function tooMany(what: string, limit: string, max: number): SandboxError {
  return new SandboxError('limit_exceeded', `The workspace has more than ${max} ${what}.`, {
    hint: 'Remove what is not needed, or write it outside of the workspace.',
    details: { limit, max },
  });
}
