import { type IgnoreScope, isIgnored, parseIgnoreFile } from '../../shared/text/ignore-rules.ts';
import type { SideFiles } from './sides.ts';

const MAX_FILE_BYTES = 65_536;
/** Of all `.gitignore` files together. Further ones are not read: what they name counts as changed. */
const MAX_BYTES = 262_144;
/** Bytes of rules times bytes of paths: seconds of matching. From then on no path counts as ignored. */
const MAX_WORK = 4_000_000_000;

interface Scopes {
  scopes: readonly IgnoreScope[];
  /** The size of their rules. */
  bytes: number;
}

/** Whether the `.gitignore` files that the sandbox sees name a path: builds and dependencies are no changes. */
export class GitIgnored {
  readonly #sandbox: SideFiles;
  readonly #folder: SideFiles;
  readonly #signal: AbortSignal;
  /** The rules that apply in a directory; null if it is ignored itself. */
  readonly #known = new Map<string, Scopes | null>();
  #bytesLeft = MAX_BYTES;
  #workLeft = MAX_WORK;

  constructor({ sandbox, folder }: { sandbox: SideFiles; folder: SideFiles }, signal: AbortSignal) {
    this.#sandbox = sandbox;
    this.#folder = folder;
    this.#signal = signal;
  }

  async ignores(path: string): Promise<boolean> {
    const inherited = await this.#scopesOf(parentOf(path));
    return inherited === null || this.#matches(inherited, path, false);
  }

  async #scopesOf(directory: string): Promise<Scopes | null> {
    const known = this.#known.get(directory);
    if (known !== undefined) return known;
    let inherited: Scopes | null = { scopes: [], bytes: 0 };
    if (directory !== '') {
      inherited = await this.#scopesOf(parentOf(directory));
      if (inherited !== null && this.#matches(inherited, directory, true)) inherited = null;
    }
    const found = inherited === null ? null : await this.#withRules(inherited, directory);
    this.#known.set(directory, found);
    return found;
  }

  #matches({ scopes, bytes }: Scopes, path: string, isDirectory: boolean): boolean {
    const work = bytes * path.length;
    if (work > this.#workLeft) return false;
    this.#workLeft -= work;
    return isIgnored(scopes, Buffer.from(path).toString('latin1').split('/'), isDirectory);
  }

  /** What applies in the directory's parent, and its own rules. */
  async #withRules(inherited: Scopes, directory: string): Promise<Scopes> {
    const path = directory === '' ? '.gitignore' : `${directory}/.gitignore`;
    const limit = Math.min(MAX_FILE_BYTES, this.#bytesLeft);
    if (limit === 0) return inherited;
    const text =
      (await this.#sandbox.read(path, limit, this.#signal)) ??
      (await this.#folder.read(path, limit, this.#signal));
    if (text === null || text.length === 0) return inherited;
    this.#bytesLeft -= text.length;
    const depth = directory === '' ? 0 : directory.split('/').length;
    // Half a pattern would name something else.
    const whole = text.length < limit ? text : text.subarray(0, text.lastIndexOf('\n') + 1);
    const rules = parseIgnoreFile(whole.toString('latin1'));
    return { scopes: [...inherited.scopes, { rules, depth }], bytes: inherited.bytes + text.length };
  }
}

function parentOf(path: string): string {
  return path.slice(0, Math.max(0, path.lastIndexOf('/')));
}
