import { SandboxError } from '../../../shared/errors.ts';

/** What an upload may hold. */
export interface UploadLimits {
  /** Files, links and directories. */
  entries: number;
  bytes: number;
}

export const UPLOAD_LIMITS: UploadLimits = { entries: 200_000, bytes: 2 * 1_073_741_824 };

const HINT =
  'Name what the sandbox does not need, such as build results, in .sandboxignore, or use a smaller folder.';

/** Counts what a folder holds, up to the limits of an upload. */
export class UploadCount {
  entries = 0;
  bytes = 0;
  readonly #localPath: string;
  readonly #limits: UploadLimits;

  constructor(localPath: string, limits: UploadLimits) {
    this.#localPath = localPath;
    this.#limits = limits;
  }

  /** @throws `limit_exceeded` */
  add(bytes: number): void {
    this.entries += 1;
    this.bytes += bytes;
    const { entries, bytes: most } = this.#limits;
    if (this.entries > entries)
      throw this.#tooLarge(`more than ${entries} files and folders`, 'entries', entries);
    if (this.bytes > most)
      throw this.#tooLarge(`more than ${most} bytes (${this.bytes} so far)`, 'bytes', most);
  }

  #tooLarge(found: string, unit: string, max: number): SandboxError {
    return new SandboxError(
      'limit_exceeded',
      `${this.#localPath} has to be uploaded here, and has ${found}.`,
      { hint: HINT, details: { local_path: this.#localPath, limit: `workspace_upload_${unit}`, max } },
    );
  }
}
