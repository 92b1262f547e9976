/** Hashes many files of a sandbox inside, a few calls for all of them. */
import { mapConcurrent } from '../../../shared/async/map-concurrent.ts';
import type { VercelContext } from '../context.ts';
import { DIGEST_FILES, refusal } from '../guest/file-scripts.ts';
import { runScript } from '../guest/run-script.ts';
import { inSession } from '../sandbox/get-sandbox.ts';

/** Of the paths of one call: its answer has some 70 bytes more for each. */
const PART_BYTES = 65_536;
const PART_FILES = 1_000;
const TOGETHER = 4;
const DIGEST_MS = 290_000;
const DIGEST_BYTES = 32;

/**
 * @param paths relative to `directory`
 * @returns SHA-256 by path, without the files that cannot be read
 * @throws SandboxError
 */
export async function digestFiles(
  context: VercelContext,
  sandboxId: string,
  directory: string,
  paths: readonly string[],
  signal: AbortSignal,
): Promise<Map<string, Buffer>> {
  const found = new Map<string, Buffer>();
  await mapConcurrent(partsOf(paths), TOGETHER, async (part) => {
    const result = await inSession(context, sandboxId, 'hash files', signal, (session) => {
      const args = [directory, ...part.map((path) => `./${path}`)];
      return runScript(session, DIGEST_FILES, args, { signal, timeoutMs: DIGEST_MS });
    });
    const refused = refusal(result, directory, 'read');
    if (refused !== null) throw refused;
    addDigests(found, new Set(part), result.stdout);
  });
  return found;
}

function partsOf(paths: readonly string[]): string[][] {
  const parts: string[][] = [];
  let bytes = Number.POSITIVE_INFINITY;
  for (const path of paths) {
    let part = parts.at(-1);
    bytes += Buffer.byteLength(path);
    if (part === undefined || bytes > PART_BYTES || part.length === PART_FILES) {
      part = [];
      parts.push(part);
      bytes = Buffer.byteLength(path);
    }
    part.push(path);
  }
  return parts;
}

/** @param output of sha256sum: for each file its hash in hexadecimal, two more characters, its path and NUL */
function addDigests(found: Map<string, Buffer>, requested: ReadonlySet<string>, output: string): void {
  for (const text of output.split('\0')) {
    const digest = Buffer.from(text.slice(0, 2 * DIGEST_BYTES), 'hex');
    const path = text.slice(2 * DIGEST_BYTES + '  ./'.length);
    if (digest.length === DIGEST_BYTES && requested.has(path)) found.set(path, digest);
  }
}
