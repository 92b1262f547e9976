/**
 * Loads a CommonJS bundle together with V8's code cache of it, which saves compiling most of the bundle at each
 * start. A cache that does not fit this Node, its flags or the bundle is ignored.
 */
import { createHash } from 'node:crypto';
import { readFileSync } from 'node:fs';
import { createRequire } from 'node:module';
import { dirname } from 'node:path';
import { Script } from 'node:vm';

const DIGEST_BYTES = 32;

type BundleFunction<T> = (
  require: NodeJS.Require,
  module: { exports: T | null },
  filename: string,
  dirname: string,
) => void;

export interface LoadedBundle<T> {
  exports: T;
  /** Whether a code cache was used. */
  fromCache: boolean;
  /** The content of the file at `codeCachePath`, with all functions that have run by now. */
  codeCache(): Buffer;
}

/** The cache next to a bundle, for this version of Node on this architecture. */
export function codeCachePath(bundle: string): string {
  return `${bundle}.${process.version}-${process.arch}.cache`;
}

/**
 * Runs a bundle: an ASCII file with one expression, a function that is called with `require`, `module` and the
 * names of the file and its directory. It cannot `import()`.
 */
export function loadBundle<T>(bundle: string): LoadedBundle<T> {
  const source = readFileSync(bundle);
  const cachedData = readCodeCache(codeCachePath(bundle), source);
  const script = new Script(source.toString('latin1'), {
    filename: bundle,
    ...(cachedData && { cachedData }),
  });
  const run: BundleFunction<T> = script.runInThisContext();
  const module: { exports: T | null } = { exports: null };
  run(createRequire(bundle), module, bundle, dirname(bundle));
  if (module.exports === null) throw new Error(`${bundle} exports nothing`);
  return {
    exports: module.exports,
    fromCache: cachedData !== null && script.cachedDataRejected === false,
    codeCache() {
      const data = script.createCachedData();
      return Buffer.concat([digestOf(source, data), data]);
    },
  };
}

function digestOf(source: Buffer, data: Buffer): Buffer {
  return createHash('sha256').update(source).update(data).digest();
}

/**
 * The digest is needed: V8 compares only the length of the source, and takes a damaged cache for what it says.
 */
function readCodeCache(path: string, source: Buffer): Buffer | null {
  try {
    const file = readFileSync(path);
    const data = file.subarray(DIGEST_BYTES);
    return file.subarray(0, DIGEST_BYTES).equals(digestOf(source, data)) ? data : null;
  } catch {
    // None was written for this Node; the bundle is compiled.
    return null;
  }
}
