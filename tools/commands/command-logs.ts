import { RE2JS, RE2JSException } from 're2js';
import type { Command, OutputChunk, OutputStream } from '../../src/engines/engine.ts';
import type { CommandHandle } from '../../src/registry/types.ts';
import { SandboxError } from '../../src/shared/errors.ts';
import { CpuBudget } from '../common/cpu-budget.ts';
import { sleep, withTimeout } from '../common/with-timeout.ts';
import type { LogCursor } from './log-cursor.ts';
import { type Line, LineSplitter } from './log-lines.ts';
import { type LogLine, LogPage, type PageRequest } from './log-page.ts';

const SLICE_BYTES = 65_536;
/** A page without a match ends after this much, to keep calls short; the cursor continues from there. */
const MAX_SCANNED_BYTES = 2_097_152;
/** A page that takes longer ends as well. */
const MAX_SEARCH_MS = 5_000;
/**
 * A waiting caller gets an unfinished line once nothing has followed it for this long: it is a prompt, not half a line.
 */
const PROMPT_QUIET_MS = 500;
/** The poll interval for output of processes that outlive a finished command: no engine reports it. */
const LEFT_BEHIND_POLL_MS = 250;
const MAX_PATTERN_CHARACTERS = 1_000;
/** Of a compiled pattern. At this size a 16 KiB line, whose match cannot be interrupted, takes 0.1 to 0.2 s. */
const MAX_PATTERN_STEPS = 300;

export interface Logs {
  lines: LogLine[];
  cursor: LogCursor;
  /** The command has finished, none of its processes is known to run, and every line was returned. */
  done: boolean;
  /** The command has finished, but processes that it started still run. */
  leftBehind: boolean;
  /** Everything written so far was read. */
  atEnd: boolean;
  /** Bytes before or between these lines that the bounded log no longer holds. */
  droppedBytes: number;
}

export interface LogsRequest extends PageRequest {
  cursor: LogCursor;
  waitMs: number;
}

/**
 * Reads lines from a cursor on, then the unfinished ones. If there is nothing new yet and more may come, waits for up
 * to `waitMs` milliseconds.
 */
export async function readLogs(
  handle: CommandHandle,
  request: LogsRequest,
  signal: AbortSignal,
): Promise<Logs> {
  const until = performance.now() + request.waitMs;
  let cursor = request.cursor;
  let droppedBytes = 0;
  for (;;) {
    // Checked before the page is read: once the command has finished, the page sees everything that it wrote.
    const command = await handle.get(signal);
    const page = await readPage(handle, command, { ...request, cursor }, signal);
    cursor = page.cursor;
    droppedBytes += page.droppedBytes;
    const left = until - performance.now();
    const hasLines = page.lines.some(({ partial }) => partial !== true);
    if (hasLines || page.done || !page.atEnd || left <= 0) return { ...page, droppedBytes };
    const hasNewPartial = page.lines.length > 0 && page.totalBytes > request.cursor.seen;
    const moment = hasNewPartial ? Math.min(left, PROMPT_QUIET_MS) : left;
    const isQuiet = !(await outputFollows(handle, page, moment, signal));
    if (isQuiet && hasNewPartial) return { ...page, droppedBytes };
  }
}

/** Waits for output past this page. False if none came within `moment` milliseconds; may be true without any. */
async function outputFollows(
  handle: CommandHandle,
  page: ScannedPage,
  moment: number,
  signal: AbortSignal,
): Promise<boolean> {
  if (!page.leftBehind) {
    const wait = (limited: AbortSignal) => handle.waitForOutput(page.totalBytes, limited);
    return (await withTimeout(moment, signal, wait)) !== null;
  }
  const until = performance.now() + moment;
  for (;;) {
    const left = until - performance.now();
    if (left <= 0) return false;
    await sleep(Math.min(left, LEFT_BEHIND_POLL_MS), signal);
    const { stdoutBytes, stderrBytes, hasLiveProcesses } = await handle.get(signal);
    if (stdoutBytes + stderrBytes > page.totalBytes || hasLiveProcesses !== true) return true;
  }
}

interface ScannedPage extends Logs {
  totalBytes: number;
}

async function readPage(
  handle: CommandHandle,
  command: Command,
  request: LogsRequest,
  signal: AbortSignal,
): Promise<ScannedPage> {
  const splitter = new LineSplitter(request.cursor);
  const page = new LogPage(request, request.cursor.after);
  const first = splitter.offset;
  let totalBytes = 0;
  let droppedBytes = 0;
  let atEnd = false;
  let last: Line | null = null;

  const pace = new CpuBudget(MAX_SEARCH_MS, signal);
  let taken = 0;
  const take = async (lines: Iterable<Line>): Promise<boolean> => {
    for (const line of lines) {
      const room = page.offer(line);
      taken += 1;
      if (pace.isDue) await pace.rest();
      // The next page rereads some lines for their context: this page has to advance past them.
      if (room && !(pace.isOver && taken > request.context)) continue;
      last = line;
      return false;
    }
    return true;
  };
  const takeChunk = async (chunk: OutputChunk): Promise<boolean> => {
    const missing = chunk.offset - splitter.offset;
    if (!(await take(splitter.skipTo(chunk.offset)))) return false;
    droppedBytes += Math.max(0, missing);
    return take(splitter.lines(chunk));
  };
  const takeChunks = async (chunks: readonly OutputChunk[]): Promise<boolean> => {
    for (const chunk of chunks) if (!(await takeChunk(chunk))) return false;
    return true;
  };

  while (last === null && !atEnd && splitter.offset - first < MAX_SCANNED_BYTES) {
    const { offset } = splitter;
    const slice = await handle.output({ stream: 'both', offset, limit: SLICE_BYTES }, signal);
    totalBytes = slice.totalBytes;
    if (!(await takeChunks(slice.chunks))) break;
    const missing = slice.nextOffset - splitter.offset;
    if (!(await take(splitter.skipTo(slice.nextOffset)))) break;
    droppedBytes += Math.max(0, missing);
    atEnd = slice.nextOffset >= slice.totalBytes || slice.nextOffset <= offset;
  }
  const leftBehind = command.status === 'finished' && command.hasLiveProcesses === true;
  const isOver = command.status === 'finished' && !leftBehind;
  const done = atEnd && isOver && (await take(splitter.rest()));
  const isCurrent = atEnd && last === null;
  if (isCurrent && !isOver) for (const line of splitter.unfinished()) page.offerPartial(line);
  const seen = isCurrent ? totalBytes : request.cursor.seen;
  return {
    lines: page.lines,
    cursor: { ...page.rewind(splitter.positions(last)), after: page.after, seen },
    done,
    leftBehind,
    droppedBytes: droppedBytes + splitter.cutBytes,
    atEnd: isCurrent,
    totalBytes,
  };
}

/**
 * Compiles an RE2 pattern to a predicate over lines. Matching takes linear time for any pattern and line.
 *
 * @throws `invalid_argument` for a pattern that RE2 does not accept, or one that is too large
 */
export function lineMatcher(pattern: string): (text: string) => boolean {
  if (pattern.length > MAX_PATTERN_CHARACTERS) {
    throw new SandboxError(
      'invalid_argument',
      `\`grep\` has ${pattern.length} characters; the maximum is ${MAX_PATTERN_CHARACTERS}.`,
    );
  }
  try {
    const expression = RE2JS.compile(pattern);
    const steps = expression.programSize();
    if (steps > MAX_PATTERN_STEPS) throw tooLarge(steps);
    return (text) => expression.matcher(text).find();
  } catch (error) {
    if (!(error instanceof RE2JSException)) throw error;
    throw new SandboxError(
      'invalid_argument',
      `Invalid \`grep\` pattern ${JSON.stringify(pattern)}: ${error.message}.`,
      {
        hint: 'Use RE2 syntax (no backreferences, no lookaround); escape special characters with \\.',
      },
    );
  }
}

function tooLarge(steps: number): SandboxError {
  return new SandboxError(
    'invalid_argument',
    `The \`grep\` pattern compiles to ${steps} steps; the maximum is ${MAX_PATTERN_STEPS}.`,
    { hint: 'Use fewer alternatives, and .* or + instead of large counts such as {0,500}.' },
  );
}

/** Valid values of `stream`. */
export const LOG_STREAMS = ['both', 'stdout', 'stderr'] as const satisfies (OutputStream | 'both')[];
