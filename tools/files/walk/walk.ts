import type { FileExplorer, ListedDirectory, ListedEntry } from '../../../src/engines/engine.ts';
import { type IgnoreScope, isIgnored, parseIgnoreFile } from '../../../src/shared/text/ignore-rules.ts';

/** Entries of a directory that are listed at once. */
const PAGE_ENTRIES = 10_000;
/** Each page reads the whole directory, so that those of a large one become larger. */
const MAX_PAGE_ENTRIES = 100_000;
/** Subdirectories that are listed ahead together, each up to so many entries. */
const AHEAD_DIRECTORIES = 64;
const AHEAD_ENTRIES = 256;

export interface WalkRequest {
  /** Absolute, one character per byte. */
  root: string;
  /** The parts of the path after which to start; empty for the beginning. */
  after: readonly string[];
  /** How many levels below the root to list; 1 is the directory itself. */
  depth: number;
  /** Also what .gitignore and .git exclude. */
  ignored: boolean;
  details: boolean;
}

/** An entry below the root, with the parts of its path, one character per byte. */
export interface WalkedEntry {
  parts: readonly string[];
  entry: ListedEntry;
}

interface OpenDirectory {
  parts: readonly string[];
  listed: ListedDirectory;
  index: number;
  scopes: readonly IgnoreScope[];
}

/**
 * The entries below a directory in a stable order: each directory's by the bytes of their names, a
 * subdirectory's right after it. Links are not followed. Ends early if a directory vanishes.
 */
export class Walk {
  readonly #explorer: FileExplorer;
  readonly #request: WalkRequest;
  readonly #stack: OpenDirectory[] = [];
  #pageEntries = PAGE_ENTRIES;
  /** Directories listed ahead, by path. */
  readonly #ahead = new Map<string, ListedDirectory | null>();
  /** How many parts of paths lead from the outermost .gitignore to the root. */
  #above: readonly string[] = [];

  private constructor(explorer: FileExplorer, request: WalkRequest) {
    this.#explorer = explorer;
    this.#request = request;
  }

  /** Null if there is no such directory, or it cannot be read. */
  static async open(explorer: FileExplorer, request: WalkRequest): Promise<Walk | null> {
    const walk = new Walk(explorer, request);
    const scopes = request.ignored ? [] : await walk.#scopesAbove();
    if (!(await walk.#enter([], scopes, request.after[0]))) return null;
    for (let length = 1; length <= Math.min(request.after.length, request.depth - 1); length++) {
      const parent = walk.#stack.at(-1);
      const parts = request.after.slice(0, length);
      if (parent === undefined || !(await walk.#enter(parts, parent.scopes, request.after[length]))) break;
    }
    return walk;
  }

  /** The next entry; null at the end. */
  async next(): Promise<WalkedEntry | null> {
    for (;;) {
      const open = this.#stack.at(-1);
      if (open === undefined) return null;
      const entry = open.listed.entries[open.index++];
      if (entry === undefined) {
        if (!(await this.#continue(open))) this.#stack.pop();
        continue;
      }
      const parts = [...open.parts, entry.name];
      const isDirectory = entry.type === 'directory';
      if (this.#isLeftOut(open.scopes, parts, isDirectory)) continue;
      if (isDirectory && parts.length < this.#request.depth) await this.#enter(parts, open.scopes);
      return { parts, entry };
    }
  }

  #isLeftOut(scopes: readonly IgnoreScope[], parts: readonly string[], isDirectory: boolean): boolean {
    if (this.#request.ignored) return false;
    if (parts.at(-1) === '.git') return true;
    if (scopes.length === 0) return false;
    return isIgnored(scopes, this.#above.length === 0 ? parts : [...this.#above, ...parts], isDirectory);
  }

  /** The next entries of a large directory. */
  async #continue(open: OpenDirectory): Promise<boolean> {
    const last = open.listed.entries.at(-1);
    if (!open.listed.hasMore || last === undefined) return false;
    this.#pageEntries = Math.min(2 * this.#pageEntries, MAX_PAGE_ENTRIES);
    // Those of the directories above stay in memory: a tree must not have a large page at each of its levels.
    const above = this.#stack.reduce(
      (sum, { listed }) => sum + listed.entries.length,
      -open.listed.entries.length,
    );
    const limit = Math.max(PAGE_ENTRIES, this.#pageEntries - above);
    const listed = await this.#list([this.#pathOf(open.parts)], limit, last.name);
    open.listed = listed[0] ?? { ...open.listed, entries: [], hasMore: false };
    open.index = 0;
    return open.listed.entries.length > 0;
  }

  /** Opens a directory, after one of its entries. False if it cannot be read. */
  async #enter(parts: readonly string[], scopes: readonly IgnoreScope[], after?: string): Promise<boolean> {
    const path = this.#pathOf(parts);
    if (after === undefined && !this.#ahead.has(path)) await this.#listAhead(path, scopes);
    const listed =
      after === undefined ? this.#ahead.get(path) : (await this.#list([path], PAGE_ENTRIES, after))[0];
    this.#ahead.delete(path);
    if (listed === undefined || listed === null) return false;
    const isRead = listed.ignoreFile !== '' && !this.#request.ignored;
    const depth = this.#above.length + parts.length;
    const own = isRead ? [{ rules: parseIgnoreFile(listed.ignoreFile), depth }] : [];
    this.#stack.push({ parts, listed, index: 0, scopes: [...scopes, ...own] });
    return true;
  }

  /** Lists a directory together with those that follow it in its parent: one round trip for many. */
  async #listAhead(path: string, scopes: readonly IgnoreScope[]): Promise<void> {
    const open = this.#stack.at(-1);
    const paths = [path];
    for (let at = open?.index ?? 0; open !== undefined && paths.length < AHEAD_DIRECTORIES; at++) {
      const entry = open.listed.entries[at];
      if (entry === undefined) break;
      const parts = [...open.parts, entry.name];
      if (entry.type !== 'directory' || this.#isLeftOut(scopes, parts, true)) continue;
      paths.push(this.#pathOf(parts));
    }
    // What was listed ahead and never reached would only take memory.
    if (this.#ahead.size > AHEAD_DIRECTORIES * 16) this.#ahead.clear();
    const listed = await this.#list(paths, paths.length === 1 ? PAGE_ENTRIES : AHEAD_ENTRIES);
    for (const [index, each] of paths.entries()) this.#ahead.set(each, listed[index] ?? null);
  }

  /** The rules of the directories above the root, from the one that holds the .git. */
  async #scopesAbove(): Promise<IgnoreScope[]> {
    const names = this.#request.root.split('/').filter((name) => name !== '');
    const paths = [...names.keys(), names.length].map((length) => `/${names.slice(0, length).join('/')}`);
    const listed = (await this.#list(paths, 0)).map((each) => each ?? undefined);
    const top = listed.findLastIndex((each) => each?.hasGit === true);
    if (top === -1) return [];
    this.#above = names.slice(top);
    return listed.slice(top, -1).flatMap((each, depth) => {
      return each === undefined || each.ignoreFile === ''
        ? []
        : [{ rules: parseIgnoreFile(each.ignoreFile), depth }];
    });
  }

  #list(directories: string[], limit: number, after?: string) {
    return this.#explorer.list({ directories, limit, after, details: this.#request.details });
  }

  #pathOf(parts: readonly string[]): string {
    const { root } = this.#request;
    return parts.length === 0 ? root : `${root === '/' ? '' : root}/${parts.join('/')}`;
  }
}
