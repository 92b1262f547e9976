import { randomBytes } from 'node:crypto';
import { readdir, readFile, rm } from 'node:fs/promises';
import { basename, isAbsolute, join } from 'node:path';
import { z } from 'zod';
import { systemErrorCode } from '../../shared/errors.ts';
import { isAbandonedTemporary, writeFileAtomic } from '../../shared/fs/atomic-file.ts';
import { openHostEntry, removeHostTree } from '../../shared/fs/host-directory.ts';
import { pathExists } from '../../shared/fs/path-exists.ts';
import { isStageName } from '../../shared/fs/stage-name.ts';
import { makeDirectory } from '../../shared/fs/state-directory.ts';
import type { Logger } from '../../shared/log.ts';
import { currentProcess, isProcessAlive } from '../../shared/process-identity.ts';

const noteSchema = z.strictObject({
  /** Absolute path of the staged file or directory. */
  path: z.string(),
  process: z.strictObject({ pid: z.number().int().positive(), startTime: z.string(), bootId: z.string() }),
});

/**
 * Notes on disk of the paths of unfinished downloads on this machine, so that those of a killed process can
 * be found and removed.
 */
export class StagedDownloads {
  readonly #directory: string;
  readonly #log: Logger;

  /** `directory` is created with mode 0700 on first use. */
  constructor(directory: string, log: Logger) {
    this.#directory = directory;
    this.#log = log;
  }

  /**
   * Notes a path before it is created. The returned function removes the note, unless the path still exists.
   * Neither rejects: a full state directory must not prevent a download.
   */
  async record(path: string): Promise<() => Promise<void>> {
    const file = join(this.#directory, `${randomBytes(12).toString('hex')}.json`);
    try {
      await makeDirectory(this.#directory, 0o700);
      // No fsync: a download need not wait for it, and a note lost in a power cut does little harm.
      await writeFileAtomic(file, JSON.stringify({ path, process: currentProcess() }), 0o600, false);
    } catch (error) {
      this.#log.warn({ path, err: error }, 'Could not record a download.');
    }
    return () => this.#takeBack(file, path);
  }

  /**
   * Removes unfinished downloads of dead processes. Never rejects: what cannot be removed is left for the
   * next time.
   */
  async removeAbandoned(): Promise<void> {
    for (const name of await this.#names()) {
      const file = join(this.#directory, name);
      try {
        if (isAbandonedTemporary(name)) await rm(file, { force: true });
        else if (name.endsWith('.json')) await this.#removeAbandonedStage(file);
      } catch (error) {
        if (systemErrorCode(error) === 'ENOENT') continue;
        this.#log.warn({ file, err: error }, 'Could not remove an unfinished download.');
      }
    }
  }

  async #takeBack(file: string, path: string): Promise<void> {
    try {
      if (await pathExists(path))
        this.#log.warn({ path }, 'Could not remove an unfinished download; left for recovery.');
      else await rm(file, { force: true });
    } catch (error) {
      this.#log.warn({ file, err: error }, 'Could not remove the record of a download.');
    }
  }

  async #removeAbandonedStage(file: string): Promise<void> {
    const note = parseNote(await readFile(file, 'utf8'));
    if (note === null) {
      // A power cut can leave it empty; its path is lost then.
      this.#log.warn({ file }, 'Removing the damaged record of a download; its files may be left behind.');
    } else {
      const { path, process } = note;
      if (isProcessAlive(process)) return;
      // Never remove a path that does not have the name of a staged download.
      if (isAbsolute(path) && isStageName(basename(path))) await removeStage(path);
    }
    await rm(file, { force: true });
  }

  async #names(): Promise<string[]> {
    try {
      return await readdir(this.#directory);
    } catch (error) {
      if (systemErrorCode(error) !== 'ENOENT')
        this.#log.warn({ err: error }, 'Could not list the records of downloads.');
      return [];
    }
  }
}

/** The folder may belong to another user, who can replace what is there meanwhile: no link is followed. */
async function removeStage(path: string): Promise<void> {
  const entry = await openHostEntry(path).catch((error: unknown) => {
    // Its folder is gone, or something else is in its place.
    const code = systemErrorCode(error);
    if (code === 'ENOENT' || code === 'ENOTDIR' || code === 'ELOOP') return null;
    throw error;
  });
  if (entry === null) return;
  try {
    await removeHostTree(entry);
  } finally {
    await entry.parent.close();
  }
}

/** Null for anything that is not a note. */
function parseNote(text: string): z.output<typeof noteSchema> | null {
  try {
    return noteSchema.safeParse(JSON.parse(text)).data ?? null;
  } catch {
    return null;
  }
}
