/** Finds what a sandbox may have changed of what was uploaded, by its stamps. */
import { SandboxError } from '../../../shared/errors.ts';
import type { SandboxEntry } from '../sides.ts';
import { boundedSurvey } from './bounded-survey.ts';
import type { OnLeftOut, SurveyedEntry } from './guest-access.ts';
import { guestStamp, type Manifest } from './manifest.ts';

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
 * @param volumes the paths of volumes below the workspace, which are not part of it
 * @throws `limit_exceeded`
 */
export async function surveyChanges(
  manifest: Manifest,
  survey: (onLeftOut: OnLeftOut) => AsyncIterable<SurveyedEntry>,
  volumes: readonly string[] = [],
): Promise<Listing> {
  const listing: Listing = { entries: new Map(), stamps: new Map(), targets: new Map(), unreadable: 0 };
  /** Paths of the manifest that are still there. */
  const seen = new Set<string>();
  const unreadable = new Set<string>();
  const add = (path: string, parts: Pick<SandboxEntry, 'kind'> & Partial<SandboxEntry>): void => {
    const entry = { path, mode: 0, size: 0, mtimeNs: 0n, copied: false, opaque: false, ...parts };
    listing.entries.set(path, entry);
    if (listing.entries.size > MAX_CHANGED) throw tooMany('changed');
  };
  const onLeftOut: OnLeftOut = (path, why) => {
    if (manifest.has(path)) seen.add(path);
    if (why === 'special') return add(path, { kind: 'o' });
    unreadable.add(path);
    if (unreadable.size > MAX_CHANGED) throw tooMany('unreadable');
  };
  for await (const found of boundedSurvey(survey, volumes, onLeftOut)) {
    const { path, type, mode, sizeBytes, mtimeMs, linkTarget } = found;
    if (type === 'directory') continue;
    const uploaded = manifest.get(path);
    if (uploaded === undefined && path.includes(NOT_UTF8)) {
      listing.unreadable += 1;
      continue;
    }
    if (uploaded !== undefined) seen.add(path);
    const stamp = guestStamp(found);
    if (uploaded?.guest === stamp) continue;
    const copied = uploaded !== undefined && uploaded.host !== null;
    const mtimeNs = BigInt(Math.round(mtimeMs)) * 1_000_000n;
    add(path, { kind: type === 'file' ? 'f' : 'l', mode, size: sizeBytes, mtimeNs, copied });
    if (type === 'file') listing.stamps.set(path, stamp);
    else listing.targets.set(path, linkTarget ?? '');
  }
  for (const { path, type } of manifest.values()) {
    if (type === 'directory' || seen.has(path) || hasAncestor(path, unreadable)) continue;
    add(path, { kind: 'w' });
  }
  return listing;
}

/** What is below a directory that cannot be read is not known to be gone. */
function hasAncestor(path: string, directories: ReadonlySet<string>): boolean {
  if (directories.size === 0) return false;
  for (let at = path.lastIndexOf('/'); at !== -1; at = path.lastIndexOf('/', at - 1))
    if (directories.has(path.slice(0, at))) return true;
  return directories.has('');
}

function tooMany(what: string): SandboxError {
  return new SandboxError('limit_exceeded', `The workspace has more than ${MAX_CHANGED} ${what} entries.`, {
    hint: 'Remove what is not needed, or write it outside of the workspace.',
    details: { limit: 'workspace_changes', max: MAX_CHANGED },
  });
}
