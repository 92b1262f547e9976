import { randomBytes } from 'node:crypto';
import { readdir, readFile, rm } from 'node:fs/promises';
import { basename, isAbsolute, join } from 'node:path';
import { z } from 'zod';
import { systemErrorCode } from '../../shared/errors.ts';
import { isAbandonedTemporary, writeFileAtomic } from '../../shared/fs/atomic-file.ts';
import { pathExists } from '../../shared/fs/path-exists.ts';
import { isStageName } from '../../shared/fs/stage-name.ts';
import { makeDirectory } from '../../shared/fs/state-directory.ts';
import type { Logger } from '../../shared/log.ts';
import { currentProcess, isProcessAlive } from '../../shared/process-identity.ts';

const noteSchema = z.strictObject({
  /** Of what is being made, absolute. */
  path: z.string(),
  process: z.strictObject({ pid: z.number().int().positive(), startTime: z.string(), bootId: z.string() }),
});

/**
 * Notes of the unfinished downloads that lie in folders of this machine, so that those of a killed process are found and
 * removed: nothing but the notes leads there.
 */
export class StagedDownloads {
  readonly #directory: string;
  readonly #log: Logger;

  /** `directory` is made, closed to other users, when something is first noted. */
  constructor(directory: string, log: Logger) {
    this.#directory = directory;
    this.#log = log;
  }

  /**
   * Notes a path that will be made, and answers what takes the note back, unless something still lies there then. Neither
   * rejects: a full disk of the state directory keeps no download from being made.
   */
  async record(path: string): Promise<() => Promise<void>> {
    const file = join(this.#directory, `${randomBytes(12).toString('hex')}.json`);
    try {
      await makeDirectory(this.#directory, 0o700);
      // Not flushed: after a power cut it may be missing, which a download need not wait for.
      await writeFileAtomic(file, JSON.stringify({ path, process: currentProcess() }), 0o600, false);
    } catch (error) {
      this.#log.warn({ path, err: error }, 'An unfinished download could not be noted.');
    }
    return () => this.#takeBack(file, path);
  }

  /** Removes what dead processes left unfinished. Never rejects: what cannot be removed now is left to the next time. */
  async removeAbandoned(): Promise<void> {
    for (const name of await this.#names()) {
      const file = join(this.#directory, name);
      try {
        if (isAbandonedTemporary(name)) await rm(file, { force: true });
        else if (name.endsWith('.json')) await this.#removeAbandonedStage(file);
      } catch (error) {
        if (systemErrorCode(error) === 'ENOENT') continue;
        this.#log.warn({ file, err: error }, 'An unfinished download could not be removed.');
      }
    }
  }

  async #takeBack(file: string, path: string): Promise<void> {
    try {
      if (await pathExists(path))
        this.#log.warn({ path }, 'An unfinished download could not be removed; it is left for later.');
      else await rm(file, { force: true });
    } catch (error) {
      this.#log.warn({ file, err: error }, 'The note of a download could not be removed.');
    }
  }

  async #removeAbandonedStage(file: string): Promise<void> {
    const note = parseNote(await readFile(file, 'utf8'));
    if (note === null) {
      // A power cut leaves it empty: whatever it named cannot be found by it.
      this.#log.warn({ file }, 'The damaged note of a download is removed; what it named may be left.');
    } else {
      const { path, process } = note;
      if (isProcessAlive(process)) return;
      // Whatever a note says, nothing goes that is not called as a stage is.
      if (isAbsolute(path) && isStageName(basename(path))) await rm(path, { recursive: true, force: true });
    }
    await rm(file, { force: true });
  }

  async #names(): Promise<string[]> {
    try {
      return await readdir(this.#directory);
    } catch (error) {
      if (systemErrorCode(error) !== 'ENOENT')
        this.#log.warn({ err: error }, 'The notes of downloads cannot be listed.');
      return [];
    }
  }
}

/** Null for what is no note. */
function parseNote(text: string): z.output<typeof noteSchema> | null {
  try {
    return noteSchema.safeParse(JSON.parse(text)).data ?? null;
  } catch {
    return null;
  }
}
