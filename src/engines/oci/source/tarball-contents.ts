/** Validates the whole content of a tarball before any of it is placed. */
import { posix } from 'node:path';
import { Readable } from 'node:stream';
import { setImmediate } from 'node:timers/promises';
import type { ReadEntry } from 'tar';
import { SandboxError } from '../../../shared/errors.ts';
import { staysInside } from '../../../shared/fs/link-target.ts';
import { MAX_LINK_TARGET_BYTES } from '../../../shared/fs/tar-limits.ts';
import { formatCount } from '../../../shared/text/text.ts';
import type { TreeEntry } from '../../engine.ts';
import type { SourceLimits } from './source-limits.ts';

type Kind = TreeEntry['type'];

/** A hard link becomes a symbolic link: the tree format has no hard links. */
const KINDS: Record<string, Kind> = {
  File: 'file',
  OldFile: 'file',
  ContiguousFile: 'file',
  Directory: 'directory',
  SymbolicLink: 'symlink',
  Link: 'symlink',
};
const PERMISSION_BITS = 0o777;
/** Limit of all names and link targets together, so that a hostile archive cannot exhaust memory. */
const MAX_NAMES_BYTES = 67_108_864;
/** NAME_MAX of Linux. */
const MAX_NAME_BYTES = 255;
/** PATH_MAX of Linux, less the path of the directory that receives the tree. */
const MAX_PATH_BYTES = 4_000;
/** The agent's limit (DEPTH_MAX). */
const MAX_DEPTH = 200;
/** Links that are checked before yielding to the event loop. */
const LINKS_AT_ONCE = 1_000;

type Member = Pick<ReadEntry, 'path' | 'type' | 'linkpath' | 'size' | 'mode'>;

/** What ends up at a path: the last member with that name wins, as in every tar. */
interface Placed {
  kind: Kind;
  /** Index of the archive member, from 0; null for an implied directory. */
  at: number | null;
  link: { target: string; hard: boolean } | null;
}

export class TarballContents {
  readonly url: string;
  readonly #limits: SourceLimits;
  readonly #placed = new Map<string, Placed>();
  #members = 0;
  #namesBytes = 0;

  constructor(url: string, limits: SourceLimits) {
    this.url = url;
    this.#limits = limits;
  }

  /**
   * @throws `invalid_argument` for a member that a sandbox cannot hold, `limit_exceeded` for too many members
   */
  add(member: Member): void {
    const at = this.#members;
    this.#members += 1;
    const kind = KINDS[member.type];
    if (kind === undefined) throw this.#unusable(member.path, `has the unsupported type ${member.type}`);
    const path = this.#path(member.path);
    if (path === '') {
      if (kind !== 'directory')
        throw this.#unusable(member.path, 'is the root of the tree but not a directory');
      return;
    }
    const target = kind === 'symlink' ? (member.linkpath ?? '') : null;
    if (target !== null && Buffer.byteLength(target) > MAX_LINK_TARGET_BYTES) {
      throw this.#unusable(
        member.path,
        `is a link with a target of more than ${MAX_LINK_TARGET_BYTES} bytes, which Linux does not support`,
      );
    }
    if (target?.includes('\ufffd') === true)
      throw this.#unusable(member.path, 'is a link with a target that is not UTF-8');
    const before = this.#placed.get(path);
    if (before !== undefined && before.kind !== kind && [before.kind, kind].includes('directory')) {
      throw this.#unusable(member.path, 'occurs twice, once as a directory');
    }
    this.#addParents(path, member.path);
    this.#place(path, { kind, at, link: target === null ? null : { target, hard: member.type === 'Link' } });
  }

  /** The final layout, once all members have been added. */
  async layout(): Promise<TarballLayout> {
    const top = this.#singleTop();
    let links = 0;
    for (const [path, { link }] of this.#placed) {
      if (link === null) continue;
      if (!this.#isUsableLink(placeOf(path, top), link)) {
        const target = JSON.stringify(link.target.slice(0, 200));
        throw this.#unusable(path, `is a link to ${target}, outside the tarball`);
      }
      links += 1;
      if (links % LINKS_AT_ONCE === 0) await setImmediate();
    }
    return new TarballLayout(top, (path, at) => this.#placed.get(path)?.at === at);
  }

  #isUsableLink(place: string, { target, hard }: NonNullable<Placed['link']>): boolean {
    if (hard) return this.#placed.get(this.#path(target))?.kind === 'file';
    return staysInside(place, target);
  }

  /** The single top-level folder that contains everything; null if there is none. */
  #singleTop(): string | null {
    const [first = ''] = this.#placed.keys();
    const top = first.split('/')[0] ?? '';
    if (this.#placed.get(top)?.kind !== 'directory') return null;
    for (const path of this.#placed.keys()) if (path !== top && !path.startsWith(`${top}/`)) return null;
    return top;
  }

  /** Adds parent folders that the tarball does not list. A known folder already has all its parents. */
  #addParents(path: string, listed: string): void {
    for (let at = path.lastIndexOf('/'); at !== -1; at = path.lastIndexOf('/', at - 1)) {
      const parent = path.slice(0, at);
      const kind = this.#placed.get(parent)?.kind;
      if (kind === 'directory') return;
      if (kind !== undefined)
        throw this.#unusable(
          listed,
          `is below ${JSON.stringify(parent.slice(0, 200))}, which is not a directory`,
        );
      this.#place(parent, { kind: 'directory', at: null, link: null });
    }
  }

  #place(path: string, placed: Placed): void {
    const { maxEntries } = this.#limits;
    this.#namesBytes += Buffer.byteLength(path) + Buffer.byteLength(placed.link?.target ?? '');
    if (this.#placed.size >= maxEntries && !this.#placed.has(path)) {
      throw new SandboxError('limit_exceeded', `${this.url} contains more than ${maxEntries} files.`, {
        hint: 'Use a tarball with fewer files.',
        details: { url: this.url, max_entries: maxEntries },
      });
    }
    if (this.#namesBytes > MAX_NAMES_BYTES) {
      throw new SandboxError(
        'limit_exceeded',
        `The names and link targets in ${this.url} take more than ${formatCount(MAX_NAMES_BYTES)} bytes.`,
        {
          hint: 'Use a tarball with fewer files or shorter names.',
          details: { url: this.url, max_names_bytes: MAX_NAMES_BYTES },
        },
      );
    }
    this.#placed.set(path, placed);
  }

  /** Without leading `./` and trailing slash; `''` for the root. */
  #path(given: string): string {
    if (posix.isAbsolute(given)) throw this.#unusable(given, 'has an absolute path');
    const names = given.split('/').filter((name) => name !== '' && name !== '.');
    if (names.includes('..')) throw this.#unusable(given, 'has a name that points outside the tarball');
    if (names.some((name) => Buffer.byteLength(name) > MAX_NAME_BYTES)) {
      throw this.#unusable(
        given,
        `has a name of more than ${MAX_NAME_BYTES} bytes, which Linux does not support`,
      );
    }
    const path = names.join('/');
    if (Buffer.byteLength(path) > MAX_PATH_BYTES) {
      throw this.#unusable(given, `has a path of more than ${MAX_PATH_BYTES} bytes`);
    }
    if (names.length > MAX_DEPTH) throw this.#unusable(given, `is more than ${MAX_DEPTH} levels deep`);
    // The parser's replacement for invalid UTF-8: different names may have become equal.
    if (path.includes('\ufffd')) throw this.#unusable(given, 'has a name that is not UTF-8');
    if (path.includes('\0')) throw this.#unusable(given, 'has an invalid name');
    return path;
  }

  #unusable(path: string, problem: string): SandboxError {
    const name = JSON.stringify(path.slice(0, 200));
    return new SandboxError('invalid_argument', `${this.url} cannot be used: ${name} ${problem}.`, {
      hint: 'Use a tarball of regular files, directories and links between them, or unpack this one in an empty sandbox.',
      details: { url: this.url, entry: path.slice(0, 200) },
    });
  }
}

/** Where each member of a validated tarball goes. */
class TarballLayout {
  readonly #top: string | null;
  readonly #isLast: (path: string, at: number) => boolean;
  #members = 0;

  /** @param isLast whether the member with this index is the last one with its name */
  constructor(top: string | null, isLast: (path: string, at: number) => boolean) {
    this.#top = top;
    this.#isLast = isLast;
  }

  /** Where the next member goes; null if it exists anyway, or if a later member replaces it. */
  treeEntry(entry: ReadEntry): TreeEntry | null {
    const at = this.#members;
    this.#members += 1;
    const named = cleanPath(entry.path);
    const path = placeOf(named, this.#top);
    const type = KINDS[entry.type];
    if (path === '' || type === undefined) return null;
    if (type !== 'directory' && !this.#isLast(named, at)) return null;
    const mode = (entry.mode ?? (type === 'directory' ? 0o755 : 0o644)) & PERMISSION_BITS;
    const mtimeMs = entry.mtime?.getTime();
    if (type === 'file') {
      const content = Readable.from(entry, { objectMode: false });
      return { path, type, mode, mtimeMs, linkTarget: null, content };
    }
    return {
      path,
      type,
      mode,
      mtimeMs,
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
