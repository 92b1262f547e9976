/** Downloads a blob to a file: resumed after an interruption, and verified by size and digest. */
import { open } from 'node:fs/promises';
import { SandboxError, throwIfCancelled } from '../../shared/errors.ts';
import type { Answer } from './http.ts';
import { PartialBlob } from './partial-blob.ts';
import type { RegistryClient } from './registry-client.ts';
import { TransientError, untrustworthy } from './registry-errors.ts';

/** A blob as a manifest describes it. */
export interface Blob {
  digest: string;
  size: number;
}

/** Where the content of a partial answer starts (RFC 9110, `Content-Range`). */
function startOf({ statusCode, headers }: Answer): number | null {
  if (statusCode !== 206) return 0;
  const start = /^bytes (\d{1,16})-/.exec(String(headers['content-range']))?.[1];
  return start === undefined ? null : Number(start);
}

/**
 * @param onBytes is called with the number of bytes received, negative if they have to be fetched again
 * @throws `server` if size or digest differ from what the manifest says
 */
export async function downloadBlob(
  client: RegistryClient,
  blob: Blob,
  path: string,
  onBytes: (bytes: number) => void,
  signal: AbortSignal,
): Promise<void> {
  const file = await open(path, 'wx', 0o600);
  try {
    const partial = new PartialBlob(file, onBytes);
    const read = async (answer: Answer): Promise<void> => {
      const start = startOf(answer);
      if (start === 0) partial.restart();
      else if (start !== partial.bytes) {
        await answer.body.dump();
        partial.restart();
        throw new TransientError('the registry sent a different range than requested');
      }
      try {
        for await (const chunk of answer.body) {
          const part: Uint8Array = chunk;
          if (partial.bytes + part.length > blob.size) {
            throw untrustworthy(
              client.what,
              `blob ${blob.digest} has more than the ${blob.size} bytes of its manifest`,
            );
          }
          await partial.add(part);
        }
      } catch (error) {
        throwIfCancelled(signal);
        if (error instanceof SandboxError) throw error;
        throw new TransientError('the connection broke', null, error);
      }
      // A broken connection is an error above, so this is all that the registry has.
      if (partial.bytes < blob.size) {
        throw untrustworthy(client.what, `blob ${blob.digest} has ${partial.bytes} bytes, not ${blob.size}`);
      }
    };
    await client.blob(blob.digest, () => partial.bytes, read, signal);
    if (partial.digest() !== blob.digest) {
      throw untrustworthy(client.what, `blob ${blob.digest} has the digest ${partial.digest()}`);
    }
  } finally {
    await file.close();
  }
}
