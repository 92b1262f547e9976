/** Writes a tree of files into the sandbox: packed as it is read, transferred in parts, placed as a whole. */
import type { Session } from '@vercel/sandbox';
import { absolutePath } from '../../../shared/fs/sandbox-path.ts';
import type { TreeEntry } from '../../engine.ts';
import type { VercelContext } from '../context.ts';
import { PLACE_TREE, REMOVE, refusal } from '../guest/file-scripts.ts';
import { runScript } from '../guest/run-script.ts';
import { stageName } from '../guest/stage-name.ts';
import { inSession } from '../sandbox/get-sandbox.ts';
import { type Counted, packTree } from './pack-tree.ts';

/** Limit for one call to the platform, in bytes; it is packed in memory. */
const PART_BYTES = 8 * 1_048_576;
const CLEAN_MS = 10_000;
const PLACE_MS = 290_000;

/** @throws SandboxError; what `entries` throws. An incomplete tree is removed. */
export async function writeTree(
  context: VercelContext,
  sandboxId: string,
  name: string,
  cwd: string | null,
  entries: AsyncIterable<TreeEntry>,
  signal: AbortSignal,
): Promise<Counted & { path: string }> {
  const stage = stageName();
  let parts = 0;
  // Outside the session's error mapping: what the source of the entries throws is the caller's.
  let sourceFailure: { error: unknown } | null = null;
  const own = async function* () {
    try {
      yield* entries;
    } catch (error) {
      sourceFailure = { error };
      throw error;
    }
  };
  try {
    return await inSession(context, sandboxId, 'write a file tree', signal, async (session) => {
      const path = absolutePath(name, cwd, session.cwd);
      try {
        const counted: Counted = { files: 0, bytes: 0 };
        for await (const part of packed(context, own(), counted, signal)) {
          await session.writeFiles([{ path: `${stage}-${parts++}`, content: part }], { signal });
        }
        const args = [path, stage, String(parts)];
        const result = await runScript(session, PLACE_TREE, args, { signal, timeoutMs: PLACE_MS });
        const refused = refusal(result, path, 'write');
        if (refused !== null) throw refused;
        return { path, ...counted };
      } catch (error) {
        await removeParts(context, session, stage, parts);
        throw error;
      }
    });
  } catch (error) {
    throw sourceFailure === null ? error : thrownBy(sourceFailure);
  }
}

function thrownBy({ error }: { error: unknown }): unknown {
  return error;
}

/** Never rejects. */
async function removeParts(
  context: VercelContext,
  session: Session,
  stage: string,
  parts: number,
): Promise<void> {
  const paths = Array.from({ length: parts }, (_, index) => `${stage}-${index}`);
  if (paths.length === 0) return;
  try {
    await runScript(session, REMOVE, paths, { signal: AbortSignal.timeout(CLEAN_MS) });
  } catch (error) {
    context.log.debug({ err: error }, 'cannot remove the parts of a file tree');
  }
}

/** The archive of these entries, in parts. */
async function* packed(
  context: VercelContext,
  entries: AsyncIterable<TreeEntry>,
  counted: Counted,
  signal: AbortSignal,
): AsyncGenerator<Buffer> {
  let waiting: Buffer[] = [];
  let length = 0;
  for await (const bytes of packTree(context.layout.uploads, entries, counted, signal)) {
    waiting.push(bytes);
    length += bytes.length;
    if (length < PART_BYTES) continue;
    yield Buffer.concat(waiting);
    waiting = [];
    length = 0;
  }
  if (length > 0) yield Buffer.concat(waiting);
}
