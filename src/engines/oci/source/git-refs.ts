/** Parses a remote's refs (`git ls-remote --symref`) and resolves a revision among them. Pure. */

/** Full names of refs; a symbolic ref points to another. */
export interface Remote {
  readonly size: number;
  has(ref: string): boolean;
  /** The branch that HEAD points to; null if it is detached or missing. */
  readonly defaultBranch: string | null;
}

/** What to check out. `commit` is a full id, `prefix` an abbreviated one. */
export interface Head {
  kind: 'branch' | 'tag' | 'ref' | 'commit' | 'prefix';
  name: string;
}

const WHOLE = /^(?:[0-9a-f]{40}|[0-9a-f]{64})$/i;
const PREFIX = /^[0-9a-f]{4,63}$/i;

/** Parses the output of `git ls-remote --symref`. */
export function refsOf(text: string): Remote {
  const refs = new Set<string>();
  let defaultBranch: string | null = null;
  for (const line of text.split('\n')) {
    const [value = '', ref = ''] = line.split('\t');
    if (ref === '') continue;
    if (!value.startsWith('ref: ')) refs.add(ref);
    else if (ref === 'HEAD' && value.startsWith('ref: refs/heads/')) {
      defaultBranch = value.slice('ref: refs/heads/'.length);
    }
  }
  return { size: refs.size, has: (ref) => refs.has(ref), defaultBranch };
}

/**
 * Branches take precedence over tags, and tags over commits, as in git. Null if the remote has no such
 * revision.
 */
export function headOf(remote: Remote, revision: string | null): Head | null {
  if (revision === null || revision === 'HEAD') {
    if (!remote.has('HEAD')) return null;
    return remote.defaultBranch === null
      ? { kind: 'ref', name: 'HEAD' }
      : { kind: 'branch', name: remote.defaultBranch };
  }
  if (revision.startsWith('refs/')) {
    if (!remote.has(revision)) return null;
    const branch = /^refs\/heads\/(.+)$/.exec(revision)?.[1];
    return branch === undefined ? { kind: 'ref', name: revision } : { kind: 'branch', name: branch };
  }
  if (remote.has(`refs/heads/${revision}`)) return { kind: 'branch', name: revision };
  if (remote.has(`refs/tags/${revision}`)) return { kind: 'tag', name: revision };
  if (WHOLE.test(revision)) return { kind: 'commit', name: revision.toLowerCase() };
  if (PREFIX.test(revision)) return { kind: 'prefix', name: revision.toLowerCase() };
  return null;
}
