import type { BigIntStats } from 'node:fs';
import type { FolderCursor } from '../folder-cursor.ts';
import type { SandboxEntry, SeenFolder } from '../sides.ts';
import { stampOf } from '../stamp.ts';
import type { Manifest } from './manifest.ts';

/** The sandbox has seen of the folder what was uploaded, and nothing that changed since. */
export class UploadedFolder implements SeenFolder {
  readonly #folder: FolderCursor;
  readonly #manifest: Manifest;

  constructor(folder: FolderCursor, manifest: Manifest) {
    this.#folder = folder;
    this.#manifest = manifest;
  }

  async isChanged(path: string, now: BigIntStats, signal: AbortSignal): Promise<boolean> {
    const uploaded = this.#manifest.get(path);
    if (uploaded === undefined) return true;
    // A file may take its place; what it holds is deleted file by file.
    if (uploaded.type === 'directory' && now.isDirectory()) return false;
    if (uploaded.host === null) return true;
    if (uploaded.host === stampOf(now)) return false;
    // Network file systems may number files anew; the content decides.
    if (uploaded.type === 'symlink') return (await this.#folder.target(path)) !== uploaded.content;
    const isAlike =
      now.isFile() && Number(now.size) === uploaded.sizeBytes && Number(now.mode & 0o777n) === uploaded.mode;
    if (!isAlike) return true;
    const digest = await this.#folder.digest(path, uploaded.sizeBytes, signal);
    return digest?.toString('hex') !== uploaded.content;
  }

  async isDeleted({ copied }: SandboxEntry): Promise<boolean> {
    return copied;
  }
}
