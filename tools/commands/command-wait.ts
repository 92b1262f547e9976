import type { Command } from '../../src/engines/engine.ts';
import type { CommandHandle } from '../../src/registry/types.ts';
import { abortWith } from '../../src/shared/async/on-abort.ts';
import { withTimeout } from '../../src/shared/async/with-timeout.ts';
import { lastVisibleLine } from '../../src/shared/text/terminal-text.ts';
import { characterEnd, characterStart, decodeUtf8 } from '../../src/shared/text/utf8.ts';
import type { ToolContext } from '../common/tool.ts';

/** The number of bytes searched for a line of progress. */
const TAIL_BYTES = 4_096;

/**
 * Waits for the command, at most `waitMs` milliseconds, and returns its state then. Shows its newest line
 * meanwhile.
 */
export async function waitForCommand(
  handle: CommandHandle,
  waitMs: number,
  context: ToolContext,
): Promise<Command> {
  const finished = await withTimeout(context.boundWait(waitMs), context.signal, (signal) => {
    const wait = handle.wait(signal);
    return context.wantsProgress ? withProgress(handle, wait, signal, context) : wait;
  });
  return finished ?? (await handle.get(context.signal));
}

async function withProgress(
  handle: CommandHandle,
  wait: Promise<Command>,
  signal: AbortSignal,
  context: ToolContext,
): Promise<Command> {
  const { controller: showing, release } = abortWith(signal);
  // Progress is optional: its failures never fail the call.
  const shown = showNewestLines(handle, showing.signal, context.progress).catch(() => {});
  try {
    const command = await wait;
    // The last line comes before the answer.
    await shown;
    return command;
  } finally {
    release();
    showing.abort();
    await shown;
  }
}

async function showNewestLines(
  handle: CommandHandle,
  signal: AbortSignal,
  progress: (line: string) => void,
): Promise<void> {
  let seen = 0;
  let shown: string | null = null;
  while (!signal.aborted) {
    const command = await handle.waitForOutput(seen, signal);
    const total = command.stdoutBytes + command.stderrBytes;
    if (total > seen) {
      // Starts before the new output, which may be only the end of a line.
      const offset = Math.max(0, total - TAIL_BYTES);
      const slice = await handle.output({ stream: 'both', offset, limit: TAIL_BYTES }, signal);
      // Reads one stream: parts of lines of both streams do not form a line.
      const newest = slice.chunks.at(-1)?.stream;
      const parts = slice.chunks.filter(({ stream }) => stream === newest).map(({ data }) => data);
      const bytes = Buffer.concat(parts);
      const line = lastVisibleLine(decodeUtf8(bytes.subarray(characterStart(bytes), characterEnd(bytes))));
      if (line !== null && line !== shown) progress(line);
      shown = line;
      seen = Math.max(total, slice.nextOffset);
    }
    if (command.status === 'finished') return;
  }
}
