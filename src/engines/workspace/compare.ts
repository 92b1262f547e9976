/** What a sandbox has changed. Only files that it may have written are compared with the folder. */
import type { BigIntStats } from 'node:fs';
import { readdir } from 'node:fs/promises';
import { staysInside } from '../../shared/fs/link-target.ts';
import type { WorkspaceChange, WorkspaceChanges, WorkspaceEntry } from '../engine.ts';
import { GitIgnored } from './git-ignored.ts';
import { type HiddenRules, hiddenRules, RULES_FILE } from './hidden-files.ts';
import type { OpenWorkspace } from './open-workspace.ts';
import { pairRenames } from './renames.ts';
import type { SandboxEntry, SideFiles } from './sides.ts';
import { APPLIED_DELETION, stampOf } from './stamp.ts';

const MAX_LINK_BYTES = 4_096;
const RULES_REFUSED = 'it determines what sandboxes see of its folder';

/** Lists the changes of an open workspace. */
export async function compare(workspace: OpenWorkspace, signal: AbortSignal): Promise<WorkspaceChanges> {
  const { entries, unreadable } = await workspace.sandbox.list(signal);
  const comparison = new Comparison(workspace, signal);
  for (const entry of entries) await comparison.add(entry);
  const changes = await comparison.finish();
  const { localPath, path } = workspace.record;
  return { localPath, path, changes, ignored: comparison.ignored, skipped: comparison.skipped + unreadable };
}

class Comparison {
  ignored = 0;
  skipped = 0;
  readonly #workspace: OpenWorkspace;
  readonly #signal: AbortSignal;
  readonly #rules: HiddenRules;
  readonly #git: GitIgnored;
  readonly #changes: WorkspaceChange[] = [];
  /** Files of the sandbox; what is deleted around them is not them. */
  readonly #present = new Set<string>();
  readonly #deleted: string[] = [];

  constructor(workspace: OpenWorkspace, signal: AbortSignal) {
    this.#workspace = workspace;
    this.#signal = signal;
    this.#rules = hiddenRules(workspace.record.hidden);
    this.#git = new GitIgnored(workspace, signal);
  }

  async add(entry: SandboxEntry): Promise<void> {
    this.#signal.throwIfAborted();
    const { kind, path } = entry;
    // Commits are fetched with git: its settings and hooks would run programs on the host.
    if (isGit(path)) return;
    if (kind === 'd' && !entry.opaque) return;
    if (kind === 'o') {
      this.skipped += 1;
      return;
    }
    const before = await this.#workspace.folder.stats(path);
    if (before?.isDirectory()) await this.#deleteBelow(path);
    if (kind === 'f' || kind === 'l') await this.#addFile(entry, before);
    else if (before !== null && !before.isDirectory()) this.#deleted.push(path);
  }

  async finish(): Promise<WorkspaceChange[]> {
    for (const path of new Set(this.#deleted)) {
      if (this.#present.has(path) || this.#isHidden(path)) continue;
      const before = await this.#workspace.folder.stats(path);
      const seen = before === null ? null : entryOf(before);
      if (before === null || seen === null) continue;
      const refused = isRulesFile(path) ? RULES_REFUSED : await this.#changedOnHost(path, before);
      this.#changes.push({ path, status: 'deleted', from: null, before: seen, after: null, refused });
    }
    const changes = await pairRenames(this.#workspace, this.#changes, this.#signal);
    return changes.sort((a, b) => (a.path < b.path ? -1 : 1));
  }

  async #addFile(entry: SandboxEntry, stats: BigIntStats | null): Promise<void> {
    const { path, kind, mode, size, mtimeNs } = entry;
    this.#present.add(path);
    const hidden = this.#isHidden(path);
    // A hidden file of the host is absent for the sandbox, and so for whoever reads its changes.
    const before = stats === null || hidden ? null : entryOf(stats);
    if (before === null && !hidden && (await this.#git.ignores(path))) {
      this.ignored += 1;
      return;
    }
    const after: WorkspaceEntry = {
      type: kind === 'f' ? 'file' : 'symlink',
      mode: mode & 0o777,
      sizeBytes: size,
      modifiedAt: Number(mtimeNs / 1_000_000n),
    };
    const status = before === null ? 'added' : await this.#statusOf(path, before, after);
    if (status === null) return;
    const refused = hidden
      ? 'its name is one that .sandboxignore or the list of secrets hides'
      : ((await this.#unsafe(path, after)) ?? (await this.#conflict(entry, stats)));
    this.#changes.push({ path, status, from: null, before, after, refused });
  }

  async #statusOf(path: string, before: WorkspaceEntry, after: WorkspaceEntry) {
    if (before.type !== after.type || before.sizeBytes !== after.sizeBytes) return 'modified' as const;
    if (!(await this.#isSame(path, after))) return 'modified' as const;
    return after.type === 'file' && before.mode !== after.mode ? ('mode' as const) : null;
  }

  async #isSame(path: string, { type, sizeBytes }: WorkspaceEntry): Promise<boolean> {
    const read = (side: SideFiles) =>
      type === 'file'
        ? side.digest(path, sizeBytes, this.#signal)
        : side.read(path, MAX_LINK_BYTES, this.#signal);
    const known = await read(this.#workspace.folder);
    const now = await read(this.#workspace.sandbox);
    return known !== null && now !== null && known.equals(now);
  }

  async #unsafe(path: string, after: WorkspaceEntry): Promise<string | null> {
    if (isRulesFile(path)) return RULES_REFUSED;
    if (after.type !== 'symlink') return null;
    const target = await this.#workspace.sandbox.target(path);
    if (target !== null && staysInside(path, target)) return null;
    return 'the link leads out of the folder';
  }

  async #conflict(entry: SandboxEntry, before: BigIntStats | null): Promise<string | null> {
    if (before !== null) return this.#changedOnHost(entry.path, before);
    // An apply may have deleted it, which is no change by somebody else.
    if (this.#workspace.applied[entry.path] === APPLIED_DELETION) return null;
    return (await this.#workspace.seen.isDeleted(entry)) ? 'it was deleted on the host' : null;
  }

  async #changedOnHost(path: string, before: BigIntStats): Promise<string | null> {
    const { seen, applied } = this.#workspace;
    if (applied[path] === stampOf(before)) return null;
    if (!(await seen.isChanged(path, before, this.#signal))) return null;
    return 'it was changed on the host since the sandbox started';
  }

  #isHidden(path: string): boolean {
    return this.#rules.hides(path, false);
  }

  /** Everything below a directory of the folder that the sandbox does not see any more. */
  async #deleteBelow(path: string): Promise<void> {
    if (isGit(path) || this.#rules.hides(path, true)) return;
    const entry = await this.#workspace.folder.entry(path);
    if (entry === null) return;
    const directory = await entry.parent.directory(entry.name);
    try {
      for (const child of await readdir(directory.self, { withFileTypes: true })) {
        this.#signal.throwIfAborted();
        if (child.isDirectory()) await this.#deleteBelow(`${path}/${child.name}`);
        else this.#deleted.push(`${path}/${child.name}`);
      }
    } finally {
      await directory.close();
    }
  }
}

/**
 * With other rules, the next sandbox would see what this one must not. At any depth: a folder in the folder may
 * be a workspace of its own.
 */
function isRulesFile(path: string): boolean {
  return path.slice(path.lastIndexOf('/') + 1).toLowerCase() === RULES_FILE;
}

function isGit(path: string): boolean {
  return path.split('/').some((name) => name.toLowerCase() === '.git');
}

/** Null for what is neither a file nor a link. */
function entryOf(stats: BigIntStats): WorkspaceEntry | null {
  if (!stats.isFile() && !stats.isSymbolicLink()) return null;
  return {
    type: stats.isFile() ? 'file' : 'symlink',
    mode: Number(stats.mode & 0o777n),
    sizeBytes: Number(stats.size),
    modifiedAt: Number(stats.mtimeNs / 1_000_000n),
  };
}
