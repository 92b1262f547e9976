import { once } from 'node:events';
import type { Readable } from 'node:stream';
import { Parser, type ReadEntry } from 'tar';
import { SandboxError } from '../../../shared/errors.ts';
import { describeSkipped, MAX_TAR_META_BYTES, unsupportedPaxHeader } from '../../../shared/fs/tar-limits.ts';

/**
 * The members of an uncompressed tar archive in order, in constant memory. Each must be read to its end, or `resume`d, before
 * the next is requested.
 *
 * @throws `invalid_argument` if the bytes are not a complete tar archive
 */
export async function* tarEntries(content: Readable, url: string): AsyncGenerator<ReadEntry> {
  const parser = new Parser({ strict: true, maxMetaEntrySize: MAX_TAR_META_BYTES });
  const waiting: ReadEntry[] = [];
  let failure: unknown = null;
  let over = false;
  let wake = (): void => {};
  const tell = (change: () => void): void => {
    change();
    wake();
  };
  parser.on('entry', (entry: ReadEntry) => tell(() => waiting.push(entry)));
  parser.on('ignoredEntry', (entry: ReadEntry) =>
    tell(() => {
      failure ??= new Error(`it contains ${describeSkipped(entry)}`);
    }),
  );
  parser.on('meta', (meta: string) => {
    const misread = unsupportedPaxHeader(meta);
    if (misread !== null) tell(() => (failure ??= new Error(`it contains ${misread}`)));
  });
  parser.on('error', (error: Error) => tell(() => (failure ??= error)));
  parser.on('end', () => tell(() => (over = true)));
  const feeding = feed(content, parser).catch((error: unknown) => tell(() => (failure ??= error)));
  try {
    for (;;) {
      const entry = waiting.shift();
      if (entry !== undefined) yield entry;
      else if (failure !== null) throw failure instanceof SandboxError ? failure : notATar(url, failure);
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

function notATar(url: string, cause: unknown): SandboxError {
  const reason = cause instanceof Error ? cause.message : String(cause);
  return new SandboxError('invalid_argument', `The tarball ${url} cannot be used: ${reason.slice(0, 200)}.`, {
    hint: 'Use the URL of a complete tar archive, plain or compressed with gzip, xz or zstd.',
    details: { url },
  });
}
