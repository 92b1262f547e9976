/** The sandbox's side of a workspace that was uploaded. */
import { createHash } from 'node:crypto';
import { type FileHandle, mkdtemp, open, rm } from 'node:fs/promises';
import { join } from 'node:path';
import { contentChunks } from '../../../shared/async/content-chunks.ts';
import { mapConcurrent } from '../../../shared/async/map-concurrent.ts';
import { SandboxError } from '../../../shared/errors.ts';
import { listDirectory } from '../../../shared/fs/list-directory.ts';
import type { Files } from '../../engine.ts';
import { MAX_BYTES, MAX_FILES } from '../renames.ts';
import type { SandboxEntry, SandboxFiles } from '../sides.ts';
import type { GuestAccess, OnLeftOut } from './guest-access.ts';
import type { Manifest } from './manifest.ts';
import { type Listing, surveyChanges } from './survey-changes.ts';

/** What a single call may bring out to read it or to apply it. */
const MAX_FETCHED_BYTES = 2 * 1_073_741_824;
const TOGETHER = 4;
/** How the names of directories for what is brought out begin. */
const FETCHED = 'fetched-';

export interface UploadedSandbox {
  sandboxId: string;
  /** Of the workspace in the sandbox. */
  path: string;
  manifest: Manifest;
  /** Paths of volumes below the workspace. */
  volumes: readonly string[];
  /** The host's directory for what is brought out. */
  directory: string;
  files: Files;
  guest: Pick<GuestAccess, 'survey' | 'digests'>;
  /** What the last call found; kept between calls, so that a diff does not list the sandbox for every file. */
  known: KnownFiles;
}

/** What is known of a sandbox's files from one call to the next. */
export class KnownFiles {
  listing: Listing | null = null;
  #manifest: Promise<Manifest> | null = null;
  /** Hashes by path, with the stamp of the file that they are of. */
  readonly digests = new Map<string, { stamp: string; digest: Buffer }>();

  /** What was uploaded, which never changes. */
  async manifest(read: () => Promise<Manifest>): Promise<Manifest> {
    this.#manifest ??= read();
    try {
      return await this.#manifest;
    } catch (error) {
      this.#manifest = null;
      throw error;
    }
  }
}

export class UploadedFiles implements SandboxFiles {
  readonly #of: UploadedSandbox;
  /** Where files that were brought out are, by path. */
  readonly #fetched = new Map<string, Promise<string>>();
  #directory: Promise<string> | null = null;
  #bytes = 0;

  constructor(sandbox: UploadedSandbox) {
    this.#of = sandbox;
  }

  async list(signal: AbortSignal): Promise<{ entries: SandboxEntry[]; unreadable: number }> {
    const { sandboxId, path, manifest, volumes, guest, known } = this.#of;
    const survey = (onLeftOut: OnLeftOut) => guest.survey(sandboxId, path, signal, onLeftOut);
    const listing = await surveyChanges(manifest, survey, volumes);
    known.listing = listing;
    for (const path of known.digests.keys()) if (!listing.stamps.has(path)) known.digests.delete(path);
    await this.#digestTogether(listing, signal);
    return { entries: [...listing.entries.values()], unreadable: listing.unreadable };
  }

  async prepare(entries: readonly { path: string; sizeBytes: number }[], signal: AbortSignal) {
    const unreadable: string[] = [];
    await mapConcurrent(entries, TOGETHER, async ({ path, sizeBytes }) => {
      const fetched = await this.#fetch(path, sizeBytes, signal).catch(passUnreadable);
      if (fetched === null) unreadable.push(path);
    });
    return unreadable;
  }

  async read(path: string, limit: number, signal: AbortSignal): Promise<Buffer | null> {
    const entry = await this.#entry(path, signal);
    if (entry === null) return null;
    if (entry.kind === 'l') return Buffer.from((await this.target(path)) ?? '');
    const range = { offset: 0, limit };
    const { sandboxId, files } = this.#of;
    const found = await files.read(sandboxId, this.#inside(path), null, range, signal).catch(passUnreadable);
    return found?.data ?? null;
  }

  async digest(path: string, size: number, signal: AbortSignal): Promise<Buffer | null> {
    const entry = await this.#entry(path, signal);
    if (entry?.kind !== 'f' || entry.size !== size) return null;
    const { digests, listing } = this.#of.known;
    const stamp = listing?.stamps.get(path) ?? '';
    const known = digests.get(path);
    if (known !== undefined && known.stamp === stamp) return known.digest;
    try {
      const hash = createHash('sha256');
      for await (const chunk of this.#contentOf(path, size, signal)) hash.update(chunk);
      const digest = hash.digest();
      digests.set(path, { stamp, digest });
      return digest;
    } catch (error) {
      return passUnreadable(error);
    }
  }

  async open(path: string, signal: AbortSignal): Promise<FileHandle | null> {
    const entry = await this.#entry(path, signal);
    if (entry?.kind !== 'f') return null;
    return open(await this.#fetch(path, entry.size, signal), 'r');
  }

  async target(path: string): Promise<string | null> {
    return this.#of.known.listing?.targets.get(path) ?? null;
  }

  /** Removes what was brought out. */
  async close(): Promise<void> {
    await Promise.allSettled(this.#fetched.values());
    if (this.#directory !== null) await rm(await this.#directory, { recursive: true, force: true });
  }

  /** Hashes what is going to be compared together: each file by itself takes a call. */
  async #digestTogether(listing: Listing, signal: AbortSignal): Promise<void> {
    const { sandboxId, path: root, guest, known } = this.#of;
    const unknown = [...this.#touched(listing), ...this.#perhapsRenamed(listing)].filter(
      ({ path }) => known.digests.get(path)?.stamp !== listing.stamps.get(path),
    );
    if (unknown.length === 0) return;
    if (guest.digests === undefined) {
      await mapConcurrent(unknown, TOGETHER, ({ path, size }) => this.digest(path, size, signal));
      return;
    }
    const paths = unknown.map(({ path }) => path);
    for (const [path, digest] of await guest.digests(sandboxId, root, paths, signal))
      known.digests.set(path, { stamp: listing.stamps.get(path) ?? '', digest });
  }

  /** Files that may have their old content. */
  #touched({ entries }: Listing): SandboxEntry[] {
    return [...entries.values()].filter(({ path, kind, size }) => {
      const uploaded = this.#of.manifest.get(path);
      return kind === 'f' && uploaded?.type === 'file' && uploaded.sizeBytes === size;
    });
  }

  /** New files that are as large as a file that is gone, as far as renames are looked for. */
  #perhapsRenamed({ entries }: Listing): SandboxEntry[] {
    const { manifest } = this.#of;
    const sizes = new Set<number>();
    for (const { path, kind } of entries.values()) {
      const deleted = kind === 'w' ? manifest.get(path) : undefined;
      if (deleted?.type === 'file' && deleted.sizeBytes > 0) sizes.add(deleted.sizeBytes);
    }
    const found: SandboxEntry[] = [];
    let bytes = 0;
    for (const entry of entries.values()) {
      const { path, kind, size } = entry;
      if (kind !== 'f' || !sizes.has(size) || manifest.has(path) || bytes + size > MAX_BYTES) continue;
      if (found.push(entry) === MAX_FILES) break;
      bytes += size;
    }
    return found;
  }

  /** A file or link that differs from what was uploaded; null for anything else. */
  async #entry(path: string, signal: AbortSignal): Promise<SandboxEntry | null> {
    if (this.#of.known.listing === null) await this.list(signal);
    const entry = this.#of.known.listing?.entries.get(path);
    return entry?.kind === 'f' || entry?.kind === 'l' ? entry : null;
  }

  #inside(path: string): string {
    return `${this.#of.path}/${path}`;
  }

  /** Brings a file out. Returns where it is. @throws `conflict` if it has another size by now */
  #fetch(path: string, size: number, signal: AbortSignal): Promise<string> {
    const known = this.#fetched.get(path);
    if (known !== undefined) return known;
    const fetching = this.#fetchAs(String(this.#fetched.size), path, size, signal);
    this.#fetched.set(path, fetching);
    return fetching;
  }

  async #fetchAs(name: string, path: string, size: number, signal: AbortSignal): Promise<string> {
    this.#bytes += size;
    if (this.#bytes > MAX_FETCHED_BYTES) throw tooMuch();
    this.#directory ??= makeFetchDirectory(this.#of.directory);
    const target = join(await this.#directory, name);
    const file = await open(target, 'wx', 0o600);
    try {
      for await (const chunk of this.#contentOf(path, size, signal)) await file.appendFile(chunk);
    } finally {
      await file.close();
    }
    return target;
  }

  /** The content of a file. @throws `conflict` if it has another size by now */
  async *#contentOf(path: string, size: number, signal: AbortSignal): AsyncGenerator<Buffer> {
    const { sandboxId, files } = this.#of;
    let bytes = 0;
    for await (const entry of files.readTree(sandboxId, this.#inside(path), null, signal)) {
      if (entry.type !== 'file' || entry.path !== '' || entry.content === null) throw changed(path);
      for await (const chunk of contentChunks(entry.content)) {
        bytes += chunk.length;
        if (bytes > size) throw changed(path);
        yield chunk;
      }
    }
    if (bytes !== size) throw changed(path);
  }
}

/** Only an apply brings files out, and it has the lock of the folder: what is there is left from a crash. */
async function makeFetchDirectory(directory: string): Promise<string> {
  for (const name of await listDirectory(directory))
    if (name.startsWith(FETCHED)) await rm(join(directory, name), { recursive: true, force: true });
  return mkdtemp(join(directory, FETCHED));
}

/** Null for a file that the sandbox's user cannot read, that has gone or that is being written. */
function passUnreadable(error: unknown): null {
  const isOfFile = error instanceof SandboxError && typeof error.details['path'] === 'string';
  if (isOfFile && ['permission', 'not_found', 'conflict'].includes(error.code)) return null;
  throw error;
}

function changed(path: string): SandboxError {
  return new SandboxError('conflict', `${path} changed while it was being read.`, {
    hint: 'Wait until the programs in the sandbox have written it, and call again.',
    details: { path },
  });
}

function tooMuch(): SandboxError {
  return new SandboxError(
    'limit_exceeded',
    `The changed files have more than ${MAX_FETCHED_BYTES} bytes together.`,
    {
      hint: 'Pass some of their paths, or use sandbox_download_file.',
      details: { limit: 'workspace_fetch_bytes', max: MAX_FETCHED_BYTES },
    },
  );
}
