/** What a tarball holds, looked through as a whole before anything of it is placed. */
import { posix } from 'node:path';
import { Readable } from 'node:stream';
import type { ReadEntry } from 'tar';
import { SandboxError } from '../../../shared/errors.ts';
import { staysInside } from '../../../shared/link-target.ts';
import type { TreeEntry } from '../../engine.ts';
import type { SourceLimits } from './limits.ts';

type Kind = TreeEntry['type'];

/** A hard link becomes a symbolic one: a tree in transit has no other. */
const KINDS: Record<string, Kind> = {
  File: 'file',
  OldFile: 'file',
  ContiguousFile: 'file',
  Directory: 'directory',
  SymbolicLink: 'symlink',
  Link: 'symlink',
};
const PERMISSION_BITS = 0o777;
/** All names together: what has to be remembered of a hostile archive stays bounded. */
const MAX_NAMES_BYTES = 67_108_864;
const MAX_PATH_BYTES = 4_000;

type Member = Pick<ReadEntry, 'path' | 'type' | 'linkpath' | 'size' | 'mode'>;

export class TarballContents {
  readonly url: string;
  readonly #limits: SourceLimits;
  readonly #kinds = new Map<string, Kind>();
  readonly #links: { path: string; target: string; hard: boolean }[] = [];
  #names = 0;

  constructor(url: string, limits: SourceLimits) {
    this.url = url;
    this.#limits = limits;
  }

  /** @throws `invalid_argument` for a member that has no place in a sandbox, `limit_exceeded` for too many */
  add(member: Member): void {
    const kind = KINDS[member.type];
    if (kind === undefined) throw this.#unusable(member.path, `is of the kind ${member.type}`);
    const path = this.#path(member.path);
    if (path === '') {
      if (kind !== 'directory')
        throw this.#unusable(member.path, 'stands for the whole tree and is no directory');
      return;
    }
    this.#names += Buffer.byteLength(path);
    if (this.#kinds.size >= this.#limits.maxEntries || this.#names > MAX_NAMES_BYTES) {
      throw new SandboxError(
        'limit_exceeded',
        `${this.url} holds more than ${this.#limits.maxEntries} files.`,
        {
          hint: 'Give a tarball of fewer files.',
          details: { url: this.url, max_entries: this.#limits.maxEntries },
        },
      );
    }
    this.#addParents(path, member.path);
    const before = this.#kinds.get(path);
    if (before !== undefined && !(before === 'directory' && kind === 'directory')) {
      throw this.#unusable(member.path, 'comes twice');
    }
    this.#kinds.set(path, kind);
    if (kind === 'symlink') {
      this.#links.push({ path, target: member.linkpath ?? '', hard: member.type === 'Link' });
    }
  }

  /** What is placed where, once all members have been added. */
  layout(): TarballLayout {
    const top = this.#singleTop();
    for (const { path, target, hard } of this.#links) {
      const place = placeOf(path, top);
      if (hard ? this.#kinds.get(this.#path(target)) !== 'file' : !staysInside(place, target)) {
        throw this.#unusable(
          path,
          `is a link to ${JSON.stringify(target.slice(0, 200))}, out of the tarball`,
        );
      }
    }
    return new TarballLayout(top);
  }

  /** The one folder that everything lies in; null where there is none. */
  #singleTop(): string | null {
    const [first = ''] = this.#kinds.keys();
    const top = first.split('/')[0] ?? '';
    if (this.#kinds.get(top) !== 'directory') return null;
    for (const path of this.#kinds.keys()) if (path !== top && !path.startsWith(`${top}/`)) return null;
    return top;
  }

  /** Folders that a tarball leaves out are there all the same. */
  #addParents(path: string, told: string): void {
    for (let at = path.indexOf('/'); at !== -1; at = path.indexOf('/', at + 1)) {
      const parent = path.slice(0, at);
      const kind = this.#kinds.get(parent);
      if (kind === undefined) this.#kinds.set(parent, 'directory');
      else if (kind !== 'directory')
        throw this.#unusable(told, `lies below ${JSON.stringify(parent)}, which is no directory`);
    }
  }

  /** Without leading `./` and closing slash; `''` for the tree itself. */
  #path(given: string): string {
    if (posix.isAbsolute(given)) throw this.#unusable(given, 'has an absolute name');
    const names = given.split('/').filter((name) => name !== '' && name !== '.');
    if (names.includes('..')) throw this.#unusable(given, 'has a name that leads out of the tarball');
    const path = names.join('/');
    if (path.includes('\0') || Buffer.byteLength(path) > MAX_PATH_BYTES) {
      throw this.#unusable(given, 'has a name that no file can have');
    }
    return path;
  }

  #unusable(path: string, problem: string): SandboxError {
    const name = JSON.stringify(path.slice(0, 200));
    return new SandboxError('invalid_argument', `${this.url} cannot be used: ${name} ${problem}.`, {
      hint: 'Give a tarball of plain files, directories and links among them, or unpack this one in an empty sandbox.',
      details: { url: this.url, entry: path.slice(0, 200) },
    });
  }
}

/** Where each member of a tarball goes that was found usable. */
export class TarballLayout {
  readonly #top: string | null;

  constructor(top: string | null) {
    this.#top = top;
  }

  /** Null for what is there anyway. */
  treeEntry(entry: ReadEntry): TreeEntry | null {
    const path = placeOf(cleanPath(entry.path), this.#top);
    const type = KINDS[entry.type];
    if (path === '' || type === undefined) return null;
    const mode = (entry.mode ?? (type === 'directory' ? 0o755 : 0o644)) & PERMISSION_BITS;
    if (type === 'file') {
      const content = Readable.from(entry, { objectMode: false });
      return { path, type, mode, linkTarget: null, content };
    }
    return {
      path,
      type,
      mode,
      linkTarget: type === 'symlink' ? this.#target(path, entry) : null,
      content: null,
    };
  }

  #target(path: string, entry: ReadEntry): string {
    const target = entry.linkpath ?? '';
    if (entry.type !== 'Link') return target;
    return posix.relative(posix.dirname(`/${path}`), `/${placeOf(cleanPath(target), this.#top)}`);
  }
}

function cleanPath(path: string): string {
  return path
    .split('/')
    .filter((name) => name !== '' && name !== '.')
    .join('/');
}

function placeOf(path: string, top: string | null): string {
  if (top === null) return path;
  return path === top ? '' : path.slice(top.length + 1);
}
