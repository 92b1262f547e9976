/** Applies the layers of a root file system to a tree in order, and collects what the image record needs. */
import { SandboxError } from '../shared/errors.ts';
import { machineOf } from './architecture.ts';
import { pathInside, readTar, type TarEntry } from './image-tar-reader.ts';
import { isUsablePath, type Unpacker } from './unpacker.ts';
import { AddedPaths, type Removals, removalsOf, whiteoutOf } from './whiteouts.ts';

/** The account files in `/etc` whose text is collected. */
const NOTED = ['etc/passwd', 'etc/group', 'etc/nsswitch.conf'];
const MAX_NOTED_BYTES = 1_048_576;
const PROGRAM = /(^|\/)s?bin\/[^/]+$/;
const SHELL = /^(usr\/)?bin\/(bash|sh)$/;
/**
 * The CA store of a Java (`JAVA_HOME/lib/security`), and where distributions keep the one that it links to.
 */
const JAVA_KEYSTORE =
  /(?:^|\/)lib\/security\/cacerts$|^etc\/(?:ssl\/certs|pki|pki\/ca-trust\/extracted)\/java\/cacerts$/;
/** Kernel file systems in every sandbox, which would hide the image's files. */
const KERNELS = /^(dev|proc|sys)\//;
const MAX_SKIPPED_LISTED = 20;
/** About 1.5 million files. */
const MAX_NAMES_BYTES = 268_435_456;
/** What a name takes in memory beyond its characters, roughly. */
const NAME_OVERHEAD = 100;

/** Thrown to stop reading a layer whose whiteouts come after what they must not remove. */
class LateWhiteoutError extends Error {}

export class RootTree {
  readonly #unpacker: Unpacker;
  readonly #noted: ReadonlySet<string>;
  /** Contents of the noted files. */
  readonly texts = new Map<string, string>();
  /** Architectures of the programs found. */
  readonly machines = new Set<string>();
  readonly shells = new Set<string>();
  readonly javaKeystores = new Set<string>();
  /** Entries of `/etc` that are no directories. */
  readonly etcFiles = new Set<string>();
  hasApt = false;
  readonly skipped: string[] = [];
  skippedCount = 0;
  #namesBytes = 0;
  readonly #skippedDevices = new Set<string>();
  /** Times of the directories, set when the tree is complete. */
  readonly #directoryTimes = new Map<string, number>();

  /** @param noted further files whose text is collected */
  constructor(unpacker: Unpacker, noted: readonly string[]) {
    this.#unpacker = unpacker;
    this.#noted = new Set([...NOTED, ...noted]);
  }

  /** The content of a collected file, or null if there is none. */
  text(path: string): string | null {
    return this.texts.get(path) ?? null;
  }

  /** Adds every entry. */
  async add(source: AsyncIterable<Uint8Array>): Promise<void> {
    await readTar(source, (entry) => this.#addEntry(entry));
  }

  /**
   * Applies a layer. Tools write a whiteout before the entries that it must not remove, so that one pass is
   * enough; otherwise all whiteouts are collected first, and the layer is read again.
   */
  async addLayer(open: () => AsyncIterable<Uint8Array>): Promise<void> {
    const { skippedCount, skipped } = this;
    const listed = skipped.length;
    try {
      await this.#addInOnePass(open());
    } catch (error) {
      if (!(error instanceof LateWhiteoutError)) throw error;
      this.skippedCount = skippedCount;
      skipped.length = listed;
      await this.#remove(await removalsOf(open()));
      await readTar(open(), async (entry) => {
        if (whiteoutOf(entry.path) === null) await this.#addEntry(entry);
      });
    }
  }

  async #addInOnePass(source: AsyncIterable<Uint8Array>): Promise<void> {
    const added = new AddedPaths();
    await readTar(source, async (entry) => {
      const whiteout = whiteoutOf(entry.path);
      if (whiteout === null) {
        added.add(entry.path);
        await this.#addEntry(entry);
      } else if (whiteout.kind !== 'none') {
        if (added.conflictsWith(whiteout)) throw new LateWhiteoutError();
        const { kind, path } = whiteout;
        await this.#remove(
          kind === 'clear' ? { removed: [], cleared: [path] } : { removed: [path], cleared: [] },
        );
      }
    });
  }

  async #remove({ removed, cleared }: Removals): Promise<void> {
    for (const path of cleared) {
      await this.#unpacker.step({ kind: 'clear', path });
      this.#forget((noted) => noted.startsWith(`${path}/`));
    }
    for (const path of removed) {
      await this.#unpacker.step({ kind: 'remove', path });
      this.#forget((noted) => noted === path || noted.startsWith(`${path}/`));
    }
  }

  /** Must be called after the last entry. */
  async finish(): Promise<void> {
    for (const [path, mtime] of this.#directoryTimes)
      await this.#unpacker.step({ kind: 'times', path, mtime });
  }

  #forget(isRemoved: (path: string) => boolean): void {
    for (const set of [this.texts, this.shells, this.javaKeystores, this.etcFiles])
      for (const path of set.keys()) if (isRemoved(path)) set.delete(path);
  }

  /** Names are kept in memory, and a small archive can unpack to very many. */
  #count(path: string): void {
    this.#namesBytes += path.length + NAME_OVERHEAD;
    if (this.#namesBytes <= MAX_NAMES_BYTES) return;
    throw new SandboxError('limit_exceeded', 'The image has too many files, or names that are too long.', {
      hint: `Its names may take ${MAX_NAMES_BYTES} bytes, with ${NAME_OVERHEAD} for each file.`,
    });
  }

  #skip(path: string, why: string): void {
    this.skippedCount += 1;
    if (this.skipped.length >= MAX_SKIPPED_LISTED) return;
    this.skipped.push(`${Buffer.from(path.slice(0, 200), 'latin1').toString('utf8')}: ${why}`);
  }

  async #addEntry(entry: TarEntry): Promise<void> {
    const { kind, path, mode, uid, gid, mtime, size } = entry;
    this.#count(path);
    if (path === '' || KERNELS.test(path)) return;
    if (!isUsablePath(path) || !isUsablePath(entry.link)) return this.#skip(path, 'its path is too long');
    const link = kind === 'hardlink' ? pathInside(entry.link) : entry.link;
    if (kind === 'hardlink' && this.#skippedDevices.has(link))
      return this.#skip(path, 'its target is left out');
    if (kind === 'device') {
      this.#skippedDevices.add(path);
      return this.#skip(path, 'devices, fifos and sockets are not imported');
    }
    if (kind === 'directory') this.#directoryTimes.set(path, mtime);
    this.#forget((noted) => noted === path && kind !== 'directory');
    if (path.startsWith('etc/apt/')) this.hasApt = true;
    if (SHELL.test(path) && kind !== 'directory') this.shells.add(path);
    if (JAVA_KEYSTORE.test(path) && (kind === 'file' || kind === 'hardlink')) this.javaKeystores.add(path);
    if (path.startsWith('etc/') && kind !== 'directory') this.etcFiles.add(path);
    const step = { kind, path, mode, uid, gid, mtime, size };
    if (kind === 'file') await this.#unpacker.step(step, this.#noting(entry));
    else if (kind === 'directory') await this.#unpacker.step(step);
    else await this.#unpacker.step({ ...step, link });
  }

  async *#noting({ path, size, content }: TarEntry): AsyncGenerator<Uint8Array> {
    const kept: Uint8Array[] = [];
    const isNoted = this.#noted.has(path) && size <= MAX_NOTED_BYTES;
    let first = PROGRAM.test(path);
    for await (const chunk of content) {
      const machine = first ? machineOf(chunk) : null;
      if (machine !== null) this.machines.add(machine);
      first = false;
      if (isNoted) kept.push(chunk.slice());
      yield chunk;
    }
    if (isNoted) this.texts.set(path, Buffer.concat(kept).toString('utf8'));
  }
}
