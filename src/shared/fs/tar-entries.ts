import { once } from 'node:events';
import type { Readable } from 'node:stream';
import { Parser, type ReadEntry } from 'tar';
import { SandboxError } from '../errors.ts';
import { describeSkipped, MAX_TAR_META_BYTES, unsupportedPaxHeader } from './tar-limits.ts';

/**
 * The members of an uncompressed tar archive in order, in constant memory. Each must be read to its end, or
 * `resume`d, before the next is requested.
 *
 * @param notATar the error for bytes that are not a complete tar archive
 */
export async function* tarEntries(
  content: Readable,
  notATar: (reason: string, cause: unknown) => SandboxError,
): AsyncGenerator<ReadEntry> {
  const parser = new Parser({ strict: true, maxMetaEntrySize: MAX_TAR_META_BYTES });
  const waiting: ReadEntry[] = [];
  let failure: unknown = null;
  let over = false;
  let wake = (): void => {};
  const notify = (change: () => void): void => {
    change();
    wake();
  };
  parser.on('entry', (entry: ReadEntry) => notify(() => waiting.push(entry)));
  parser.on('ignoredEntry', (entry: ReadEntry) =>
    notify(() => {
      failure ??= new Error(`it contains ${describeSkipped(entry)}`);
    }),
  );
  parser.on('meta', (meta: string) => {
    const misread = unsupportedPaxHeader(meta);
    if (misread !== null) notify(() => (failure ??= new Error(`it contains ${misread}`)));
  });
  parser.on('error', (error: Error) => notify(() => (failure ??= error)));
  parser.on('end', () => notify(() => (over = true)));
  let current: ReadEntry | null = null;
  const feeding = feed(content, parser).catch((error: unknown) =>
    notify(() => {
      failure ??= error;
      // Its reader waits for bytes that never come.
      current?.destroy(error);
    }),
  );
  try {
    for (;;) {
      const entry = waiting.shift();
      if (entry !== undefined) {
        current = entry;
        // Whoever reads the content gets the error; without a reader it must not be an uncaught one.
        entry.on('error', () => {});
        yield entry;
        current = null;
      } else if (failure !== null)
        throw failure instanceof SandboxError ? failure : notATar(reasonOf(failure), failure);
      else if (over) break;
      else await new Promise<void>((resolve) => (wake = resolve));
    }
    await feeding;
  } finally {
    content.destroy();
  }
}

async function feed(content: Readable, parser: Parser): Promise<void> {
  for await (const chunk of content) {
    if (!Buffer.isBuffer(chunk)) throw new Error('the archive was not received as bytes');
    if (!parser.write(chunk)) await once(parser, 'drain');
  }
  parser.end();
}

function reasonOf(failure: unknown): string {
  return failure instanceof Error ? failure.message : String(failure);
}
