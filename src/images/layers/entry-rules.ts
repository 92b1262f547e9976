/** Which entries of an archive become files of an image. */
import { SandboxError } from '../../shared/errors.ts';

/** Kernel file systems in every sandbox, which would hide the image's files. */
const KERNELS = /^(dev|proc|sys)\//;
/** About 1.5 million files. */
const MAX_NAMES_BYTES = 268_435_456;
/** What a name takes in memory beyond its characters, roughly. */
const NAME_OVERHEAD = 100;

/** True for the root itself and for what every sandbox has of its own. */
export function isIgnored(path: string): boolean {
  return path === '' || KERNELS.test(path);
}

/** Limits the names of an image: they are kept in memory, and a small archive can unpack to very many. */
export class NamesLimit {
  #bytes = 0;

  /** @throws `limit_exceeded` */
  add(path: string): void {
    this.#bytes += path.length + NAME_OVERHEAD;
    if (this.#bytes <= MAX_NAMES_BYTES) return;
    throw new SandboxError('limit_exceeded', 'The image has too many files, or names that are too long.', {
      hint: `Its names may take ${MAX_NAMES_BYTES} bytes, with ${NAME_OVERHEAD} for each file.`,
    });
  }
}
