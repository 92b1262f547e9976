/** Applies the layers of a root file system to a tree in order, and collects what the image record needs. */
import type { ByteLimit } from './byte-limit.ts';
import { type ContentNotes, noteContent } from './layers/content-notes.ts';
import { isIgnored, NamesLimit } from './layers/entry-rules.ts';
import { FILES, type StoredLayer } from './layers/stored-layer.ts';
import { pathInside, readTar, type TarEntry } from './tar/tar-reader.ts';
import { isUsablePath, type TreeStep, type Unpacker } from './unpacker.ts';
import { AddedPaths, type AppliedWhiteout, type Removals, removalsOf, whiteoutOf } from './whiteouts.ts';

const SHELL = /^(usr\/)?bin\/(bash|sh)$/;
/**
 * The CA store of a Java (`JAVA_HOME/lib/security`), and where distributions keep the one that it links to.
 */
const JAVA_KEYSTORE =
  /(?:^|\/)lib\/security\/cacerts$|^etc\/(?:ssl\/certs|pki|pki\/ca-trust\/extracted)\/java\/cacerts$/;
const MAX_SKIPPED_LISTED = 20;
/** Far more than an image has. */
const MAX_JAVA_KEYSTORES = 1_000;
/** Programs such as cron ignore files here that have several links. */
const NOT_LINKED = /^(etc|var\/(mail|spool))\//;

/** Thrown to stop reading a layer whose whiteouts come after what they must not remove. */
class LateWhiteoutError extends Error {}

export class RootTree {
  readonly #unpacker: Unpacker;
  readonly #onHoles: (bytes: number) => void;
  readonly #noted: ReadonlySet<string>;
  readonly #wantedFiles: ReadonlySet<string>;
  /** Contents of the noted files. */
  readonly texts = new Map<string, string>();
  /** Architectures of the programs found. */
  readonly machines = new Set<string>();
  readonly shells = new Set<string>();
  readonly javaKeystores = new Set<string>();
  /** The wanted files that are there. */
  readonly foundFiles = new Set<string>();
  hasApt = false;
  readonly skipped: string[] = [];
  skippedCount = 0;
  readonly #names = new NamesLimit();
  /** What an entry or a whiteout of the same path makes untrue. Small, whatever the image has. */
  readonly #known = [this.texts, this.shells, this.javaKeystores, this.foundFiles];
  readonly #skippedDevices = new Set<string>();
  /** Times of the directories, set when the tree is complete. */
  readonly #directoryTimes = new Map<string, number>();

  /**
   * @param noted the files whose text is collected
   * @param wantedFiles further ones of which it is collected whether they are there
   * @param limit of the unpacked size, which also gets the holes of sparse files
   */
  constructor(
    unpacker: Unpacker,
    noted: readonly string[],
    wantedFiles: readonly string[],
    limit: ByteLimit,
  ) {
    this.#unpacker = unpacker;
    this.#onHoles = (bytes) => limit.add(bytes);
    this.#noted = new Set(noted);
    this.#wantedFiles = new Set(wantedFiles);
  }

  /** The content of a collected file, or null if there is none. */
  text(path: string): string | null {
    return this.texts.get(path) ?? null;
  }

  /** Adds every entry. */
  async add(source: AsyncIterable<Uint8Array>): Promise<void> {
    await readTar(source, (entry) => this.#addRead(entry), this.#onHoles);
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
      const add = async (entry: TarEntry) => {
        if (whiteoutOf(entry.path) === null) await this.#addRead(entry);
      };
      await readTar(open(), add, this.#onHoles);
    }
  }

  async #addInOnePass(source: AsyncIterable<Uint8Array>): Promise<void> {
    const added = new AddedPaths();
    const apply = async (entry: TarEntry) => {
      const whiteout = whiteoutOf(entry.path);
      if (whiteout === null) {
        added.add(entry.path);
        await this.#addRead(entry);
      } else if (whiteout.kind !== 'none') {
        if (added.conflictsWith(whiteout)) throw new LateWhiteoutError();
        await this.#applyWhiteout(whiteout);
      }
    };
    await readTar(source, apply, this.#onHoles);
  }

  async #remove({ removed, cleared }: Removals): Promise<void> {
    for (const path of cleared) await this.#applyWhiteout({ kind: 'clear', path });
    for (const path of removed) await this.#applyWhiteout({ kind: 'remove', path });
  }

  async #applyWhiteout({ kind, path }: AppliedWhiteout): Promise<void> {
    await this.#unpacker.step({ kind, path });
    if (kind === 'remove') this.#forget(path);
    for (const set of this.#known)
      for (const noted of set.keys()) if (noted.startsWith(`${path}/`)) set.delete(noted);
  }

  /** Applies a layer of the store, whose files it links. */
  async addStored({ name, whiteouts, entries }: StoredLayer): Promise<void> {
    for await (const whiteout of whiteouts()) {
      this.#names.add(whiteout.path);
      await this.#applyWhiteout(whiteout);
    }
    for await (const { file, text, machine, ...entry } of entries()) {
      await this.#addEntry(entry, async (step) => {
        const kind = NOT_LINKED.test(step.path) ? 'copied' : 'shared';
        await this.#unpacker.step({ ...step, kind, link: `${name}/${FILES}/${file}` });
        return { text, machine };
      });
    }
  }

  /** Must be called after the last entry. */
  async finish(): Promise<void> {
    for (const [path, mtime] of this.#directoryTimes)
      await this.#unpacker.step({ kind: 'times', path, mtime });
  }

  #forget(path: string): void {
    for (const set of this.#known) set.delete(path);
  }

  #skip(path: string, why: string): void {
    this.skippedCount += 1;
    if (this.skipped.length >= MAX_SKIPPED_LISTED) return;
    this.skipped.push(`${Buffer.from(path.slice(0, 200), 'latin1').toString('utf8')}: ${why}`);
  }

  /** Adds an entry of an archive. */
  #addRead(entry: TarEntry): Promise<void> {
    return this.#addEntry(entry, async (step) => {
      const { content, notes } = noteContent(entry, this.#noted);
      await this.#unpacker.step(step, content);
      return notes;
    });
  }

  /** @param addFile adds the file */
  async #addEntry(
    entry: Omit<TarEntry, 'content'>,
    addFile: (step: TreeStep) => Promise<ContentNotes>,
  ): Promise<void> {
    const { kind, path, mode, uid, gid, mtime, size } = entry;
    this.#names.add(path);
    if (isIgnored(path)) return;
    if (!isUsablePath(path) || !isUsablePath(entry.link)) return this.#skip(path, 'its path is too long');
    const link = kind === 'hardlink' ? pathInside(entry.link) : entry.link;
    if (kind === 'hardlink' && this.#skippedDevices.has(link))
      return this.#skip(path, 'its target is left out');
    if (kind === 'device') {
      this.#skippedDevices.add(path);
      return this.#skip(path, 'devices, fifos and sockets are not imported');
    }
    if (kind === 'directory') this.#directoryTimes.set(path, mtime);
    if (kind !== 'directory') this.#forget(path);
    if (path.startsWith('etc/apt/')) this.hasApt = true;
    if (SHELL.test(path) && kind !== 'directory') this.shells.add(path);
    const isContent = kind === 'file' || kind === 'hardlink';
    if (isContent && JAVA_KEYSTORE.test(path) && this.javaKeystores.size < MAX_JAVA_KEYSTORES)
      this.javaKeystores.add(path);
    if (this.#wantedFiles.has(path) && kind !== 'directory') this.foundFiles.add(path);
    const step = { kind, path, mode, uid, gid, mtime, size };
    if (kind === 'file') this.#note(path, await addFile(step));
    else if (kind === 'directory') await this.#unpacker.step(step);
    else await this.#unpacker.step({ ...step, link });
  }

  #note(path: string, { text, machine }: ContentNotes): void {
    if (machine !== null) this.machines.add(machine);
    if (text !== null) this.texts.set(path, text);
  }
}
