import type { FolderCursor } from './folder-cursor.ts';

type Kind = 'missing' | 'folder' | 'file';

/** What the host has where files to write need folders. Each path is looked up once. */
export class ParentFolders {
  readonly #folder: FolderCursor;
  readonly #known = new Map<string, Kind>();

  constructor(folder: FolderCursor) {
    this.#folder = folder;
  }

  /** The file or link that is where a path needs a folder; null if there is none. */
  async obstacleTo(path: string): Promise<string | null> {
    for (const parent of parentsOf(path)) {
      const kind = await this.#kindOf(parent);
      if (kind === 'file') return parent;
      if (kind === 'missing') return null;
    }
    return null;
  }

  /** The folders that these paths need and the host lacks, parents first. */
  async missingFor(paths: readonly string[]): Promise<string[]> {
    const missing = new Set<string>();
    for (const path of paths) {
      for (const parent of parentsOf(path))
        if ((await this.#kindOf(parent)) === 'missing') missing.add(parent);
    }
    return [...missing];
  }

  async #kindOf(path: string): Promise<Kind> {
    const known = this.#known.get(path);
    if (known !== undefined) return known;
    const stats = await this.#folder.stats(path);
    const kind = stats === null ? 'missing' : stats.isDirectory() ? 'folder' : 'file';
    this.#known.set(path, kind);
    return kind;
  }
}

/** Outermost first. */
function parentsOf(path: string): string[] {
  const names = path.split('/').slice(0, -1);
  return names.map((_, at) => names.slice(0, at + 1).join('/'));
}
