/** Finds what a sandbox may have changed of what was uploaded, by its stamps. */
import { SandboxError } from '../../../shared/errors.ts';
import type { OnSkipped } from '../../engine.ts';
import type { SandboxEntry } from '../sides.ts';
import type { SurveyedEntry } from './guest-access.ts';
import { guestStamp, type Manifest } from './manifest.ts';

const MAX_PATH_BYTES = 4_095;
const MAX_SURVEYED = 1_000_000;
const MAX_CHANGED = 200_000;
/** Decoding puts it where a name is not UTF-8. */
const NOT_UTF8 = '\ufffd';

export interface Listing {
  /** By path. */
  entries: Map<string, SandboxEntry>;
  /** Stamps of the files among them. */
  stamps: Map<string, string>;
  /** Targets of the links among them. */
  targets: Map<string, string>;
  /** How many names are not UTF-8. */
  unreadable: number;
}

/**
 * Compares a survey of the workspace with its manifest.
 *
 * @throws `limit_exceeded`
 */
export async function surveyChanges(
  manifest: Manifest,
  survey: (onSkipped: OnSkipped) => AsyncIterable<SurveyedEntry>,
): Promise<Listing> {
  const listing: Listing = { entries: new Map(), stamps: new Map(), targets: new Map(), unreadable: 0 };
  const seen = new Set<string>();
  const unreadable: string[] = [];
  const add = (path: string, parts: Pick<SandboxEntry, 'kind'> & Partial<SandboxEntry>): void => {
    const entry = { path, mode: 0, size: 0, mtimeNs: 0n, copied: false, opaque: false, ...parts };
    listing.entries.set(path, entry);
    if (listing.entries.size > MAX_CHANGED) throw tooMany('changed', MAX_CHANGED);
  };
  const onSkipped: OnSkipped = (path, reason) => {
    requirePath(path);
    seen.add(path);
    if (reason === 'permission denied') unreadable.push(path);
    else add(path, { kind: 'o' });
  };
  let count = 0;
  for await (const found of survey(onSkipped)) {
    count += 1;
    if (count > MAX_SURVEYED) throw tooMany('present', MAX_SURVEYED);
    const { path, type, mode, sizeBytes, mtimeMs, linkTarget } = found;
    requireValid(found);
    if (type === 'directory') continue;
    const uploaded = manifest.get(path);
    if (uploaded === undefined && path.includes(NOT_UTF8)) {
      listing.unreadable += 1;
      continue;
    }
    seen.add(path);
    const stamp = guestStamp(found);
    if (uploaded?.guest === stamp) continue;
    const copied = uploaded !== undefined && uploaded.host !== null;
    const mtimeNs = BigInt(Math.round(mtimeMs)) * 1_000_000n;
    add(path, { kind: type === 'file' ? 'f' : 'l', mode, size: sizeBytes, mtimeNs, copied });
    if (type === 'file') listing.stamps.set(path, stamp);
    else listing.targets.set(path, linkTarget ?? '');
  }
  for (const { path, type } of manifest.values()) {
    if (type === 'directory' || seen.has(path) || isBelow(path, unreadable)) continue;
    add(path, { kind: 'w' });
  }
  return listing;
}

/** A sandbox says what it likes: its paths are used on the host, and its numbers for limits. */
function requireValid({ path, mode, sizeBytes, mtimeMs, changedUs }: SurveyedEntry): void {
  requirePath(path);
  const numbers = [mode, sizeBytes, mtimeMs, changedUs];
  if (!numbers.every((each) => Number.isSafeInteger(each)) || sizeBytes < 0) throw malformed();
}

/** The root itself, or names below it. */
function requirePath(path: string): void {
  const names = path === '' ? [] : path.split('/');
  const isPath = names.every((name) => name !== '' && name !== '.' && name !== '..' && !name.includes('\0'));
  if (!isPath || Buffer.byteLength(path) > MAX_PATH_BYTES) throw malformed();
}

function malformed(): SandboxError {
  return new SandboxError('server', 'The sandbox listed its files in a form that cannot be used.', {
    hint: 'sandbox_run_command (cmd: "find") shows whether its programs work; sandbox_create makes a new one.',
  });
}

/** What cannot be read is not gone. */
function isBelow(path: string, directories: readonly string[]): boolean {
  return directories.some((directory) => path.startsWith(`${directory}/`));
}

function tooMany(what: string, max: number): SandboxError {
  return new SandboxError('limit_exceeded', `The workspace has more than ${max} entries ${what}.`, {
    hint: 'Remove what is not needed, or write it outside of the workspace.',
    details: { limit: 'workspace_changes', max },
  });
}
