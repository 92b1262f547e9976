import { posix, resolve } from 'node:path';
import { z } from 'zod';
import type { SandboxHandle, Transfer, TransferResult, TransferWork } from '../../src/registry/types.ts';
import { raceAbort, withTimeout } from '../../src/shared/async/with-timeout.ts';
import { plural } from '../../src/shared/text/text.ts';
import type { ToolContext } from '../common/tool.ts';

/** The fields of a result about a transfer. */
export const transferOutput = z.object({
  local_path: z.string(),
  remote_path: z.string(),
  status: z.string(),
  files: z.number(),
  bytes: z.number(),
  sha256: z.string().nullable(),
  skipped: z.number(),
  skipped_paths: z.array(z.string()),
  next: z.string().nullable(),
});

/** Of a download, which can bring files that run on the host. */
export const downloadOutput = transferOutput.extend({ executes_on_host: z.array(z.string()) });

type TransferAnswer = z.output<typeof transferOutput>;

export interface TransferCall {
  tool: string;
  direction: 'upload' | 'download';
  request: { localPath: string; remotePath: string; cwd: string | null };
  /** Further arguments that make this a different transfer. */
  more: readonly unknown[];
}

/**
 * Starts a transfer, or joins the one that an equal call has started, and returns its result, or the progress
 * after the soft timeout, while the transfer continues. Cancelling the call that started it undoes it.
 */
export async function runTransfer(
  handle: SandboxHandle,
  { tool, direction, request, more }: TransferCall,
  context: ToolContext,
  work: TransferWork,
): Promise<{ structured: TransferAnswer; executesOnHost: string[] }> {
  const { signal, config } = context;
  const { cwd } = await handle.view(signal);
  const localPath = resolve(config.allowDirs[0] ?? '/', request.localPath);
  const remotePath = posix.resolve(cwd, request.cwd ?? '', request.remotePath);
  const wanted = { direction, arguments: [localPath, remotePath, ...more] };
  const transfer = await handle.transfer(wanted, work, signal);
  const result = await resultInTime(transfer, context);
  if (result !== null) return { structured: doneAnswer(result), executesOnHost: result.executesOnHost };
  return {
    executesOnHost: [],
    structured: {
      local_path: localPath,
      remote_path: remotePath,
      status: 'running',
      ...transfer.soFar(),
      sha256: null,
      skipped: 0,
      skipped_paths: [],
      next: `Still transferring: call ${tool} with the same arguments and sandbox_id=${handle.sandboxId} to wait for the end; nothing is transferred twice`,
    },
  };
}

/** Null when time was up first. */
async function resultInTime(transfer: Transfer, context: ToolContext): Promise<TransferResult | null> {
  const { signal, softTimeoutMs, progress } = context;
  const show = (): void => {
    const { files, bytes } = transfer.soFar();
    progress(`${plural(files, 'file')}, ${plural(bytes, 'byte')}`);
  };
  const unwatch = context.wantsProgress ? transfer.watch(show) : () => {};
  // A call that joins a running transfer shows the progress made before it.
  if (context.wantsProgress && transfer.soFar().bytes > 0) show();
  try {
    let result = await withTimeout(softTimeoutMs, signal, (limited) => raceAbort(transfer.result, limited));
    if (result === null && context.continueAsTask !== null) {
      context.continueAsTask(null);
      result = await raceAbort(transfer.result, signal);
    }
    if (result !== null) transfer.fetched();
    return result;
  } catch (error) {
    if (!signal.aborted) transfer.fetched();
    else if (transfer.begun) await transfer.cancel();
    throw error;
  } finally {
    unwatch();
  }
}

function doneAnswer(result: TransferResult): TransferAnswer {
  return {
    local_path: result.localPath,
    remote_path: result.remotePath,
    status: 'done',
    files: result.files,
    bytes: result.bytes,
    sha256: result.sha256,
    skipped: result.skipped,
    skipped_paths: result.skippedPaths,
    next: null,
  };
}
