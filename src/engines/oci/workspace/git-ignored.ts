import { type IgnoreScope, isIgnored, parseIgnoreFile } from '../../../shared/text/ignore-rules.ts';
import type { FolderCursor } from './folder-cursor.ts';
import { readEntry } from './open-workspace.ts';

const MAX_RULES_BYTES = 65_536;

/** Whether the `.gitignore` files that the sandbox sees name a path: builds and dependencies are no changes. */
export class GitIgnored {
  readonly #upper: FolderCursor;
  readonly #folder: FolderCursor;
  /** By directory; null if it has no such file. */
  readonly #rules = new Map<string, IgnoreScope['rules'] | null>();

  constructor({ upper, folder }: { upper: FolderCursor; folder: FolderCursor }) {
    this.#upper = upper;
    this.#folder = folder;
  }

  async ignores(path: string): Promise<boolean> {
    const names = path.split('/');
    const parts = Buffer.from(path).toString('latin1').split('/');
    const scopes: IgnoreScope[] = [];
    for (let depth = 0; depth < names.length; depth += 1) {
      const rules = await this.#of(names.slice(0, depth).join('/'));
      if (rules !== null) scopes.push({ rules, depth });
      if (isIgnored(scopes, parts.slice(0, depth + 1), depth < names.length - 1)) return true;
    }
    return false;
  }

  async #of(directory: string): Promise<IgnoreScope['rules'] | null> {
    const known = this.#rules.get(directory);
    if (known !== undefined) return known;
    const path = directory === '' ? '.gitignore' : `${directory}/.gitignore`;
    const text =
      (await readEntry(this.#upper, path, MAX_RULES_BYTES)) ??
      (await readEntry(this.#folder, path, MAX_RULES_BYTES));
    const rules = text === null ? null : parseIgnoreFile(text.toString('latin1'));
    this.#rules.set(directory, rules);
    return rules;
  }
}
