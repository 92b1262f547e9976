import type { FileExplorer } from '../../../src/engines/engine.ts';
import type { SandboxFiles } from '../../../src/registry/types.ts';
import type { PathPosition } from '../../common/path-cursor.ts';
import type { PathFilter } from '../walk/path-filter.ts';
import { Walk } from '../walk/walk.ts';
import type { LinePattern } from './line-pattern.ts';
import { type PageLimits, SearchPage } from './search-page.ts';

const MAX_DEPTH = 200;
/** Files of one scan: few at first, so that a page with many matches ends early. */
const FIRST_BATCH = 64;
const BATCH_FILES = 512;
/** A request of an engine that passes names as arguments has to hold them. */
const BATCH_BYTES = 49_152;

export interface SearchRequest {
  /** Absolute, one character per byte. */
  root: string;
  /** The only file below the root to search; null for all. */
  file: string | null;
  pattern: LinePattern;
  isWanted: PathFilter;
  resume: PathPosition;
  limits: PageLimits;
}

interface Batch {
  files: readonly (readonly string[])[];
  /** Where the walk was when the batch was complete. */
  last: readonly string[];
}

/**
 * Searches files in the order of a walk. Two scans run while the walk goes on. Null if the root is no
 * directory that can be read.
 */
export async function search(
  files: SandboxFiles,
  request: SearchRequest,
  signal: AbortSignal,
): Promise<SearchPage | null> {
  const explorers = await Promise.all([1, 2, 3].map(() => files.explore(signal)));
  const [lister, ...scanners] = explorers;
  try {
    return lister === undefined ? null : await searchWith(lister, scanners, request, signal);
  } finally {
    for (const explorer of explorers) explorer.close();
  }
}

async function searchWith(
  lister: FileExplorer,
  scanners: readonly FileExplorer[],
  request: SearchRequest,
  signal: AbortSignal,
): Promise<SearchPage | null> {
  const { root, pattern, limits, resume } = request;
  const page = new SearchPage(pattern, limits, resume, signal);
  const batches = batchesOf(lister, request);
  const pending: (Batch & { records: ReturnType<FileExplorer['scan']> })[] = [];
  let next = await batches.next();
  if (next.done === true && next.value === null) return null;
  for (let started = 0; ; ) {
    while (next.done !== true && pending.length < scanners.length) {
      const scanner = scanners[started++ % scanners.length];
      const names = next.value.files.map((parts) => parts.join('/'));
      const scan = {
        directory: root,
        files: names,
        literals: pattern.literals,
        ignoreCase: pattern.ignoreCase,
      };
      if (scanner !== undefined) pending.push({ ...next.value, records: scanner.scan(scan) });
      next = await batches.next();
    }
    const batch = pending.shift();
    if (batch === undefined) return page;
    await page.take(batch.files, batch.records);
    if (page.end === null && page.isOutOfTime && (pending.length > 0 || next.done !== true)) {
      page.end = { parts: batch.last, line: 0 };
    }
    if (page.end !== null) return page;
  }
}

/** The files to scan. Returns null if the root cannot be read. */
async function* batchesOf(
  lister: FileExplorer,
  { root, file, isWanted, resume, limits }: SearchRequest,
): AsyncGenerator<Batch, null | 'done'> {
  if (file !== null) {
    yield { files: [[file]], last: [file] };
    return 'done';
  }
  const options = { root, after: resume.parts, depth: MAX_DEPTH, ignored: false, details: false };
  const walk = await Walk.open(lister, options);
  if (walk === null) return null;
  // A page that ended within a file goes on in it.
  let files: (readonly string[])[] = resume.line > 0 ? [resume.parts] : [];
  let bytes = 0;
  for (let most = FIRST_BATCH; ; ) {
    const walked = await walk.next();
    if (walked === null) break;
    const { parts, entry } = walked;
    if (entry.type === 'file' && isWanted(parts)) {
      files.push(parts);
      for (const part of parts) bytes += part.length + 1;
    }
    const isOutOfTime = performance.now() >= limits.until;
    if (files.length < most && bytes < BATCH_BYTES && !isOutOfTime) continue;
    yield { files, last: parts };
    files = [];
    bytes = 0;
    most = BATCH_FILES;
  }
  if (files.length > 0) yield { files, last: files.at(-1) ?? [] };
  return 'done';
}
