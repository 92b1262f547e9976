import type { Readable } from 'node:stream';

/** The content of a file in transit, whether it is there as a whole or comes as a stream. */
export async function* contentChunks(content: Buffer | Readable): AsyncGenerator<Buffer> {
  if (Buffer.isBuffer(content)) {
    if (content.length > 0) yield content;
    return;
  }
  for await (const chunk of content) yield Buffer.isBuffer(chunk) ? chunk : Buffer.from(String(chunk));
}
