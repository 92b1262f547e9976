import type { Command, OutputChunk } from '../../engines/engine.ts';
import { CpuBudget } from '../../shared/async/cpu-budget.ts';
import { sleep, withTimeout } from '../../shared/async/with-timeout.ts';
import type { CommandHandle, LogCursor, Logs, LogsRequest } from '../types.ts';
import { type Line, LineSplitter } from './line-splitter.ts';
import { LogPage } from './log-page.ts';

const SLICE_BYTES = 65_536;
/** A page without a match ends after this much, to keep calls short; the cursor continues from there. */
const MAX_SCANNED_BYTES = 2_097_152;
/** A page that takes longer ends as well. */
const MAX_SEARCH_MS = 5_000;
/**
 * A waiting caller gets an unfinished line once nothing has followed it for this long: it is a prompt, not
 * half a line.
 */
const PROMPT_QUIET_MS = 500;
/** The poll interval for output of processes that outlive a finished command: no engine reports it. */
const LEFT_BEHIND_POLL_MS = 250;
const LOG_START: LogCursor = { stdout: 0, stderr: 0, after: 0, seen: 0 };

/** What lines are read from. */
type CommandOutput = Pick<CommandHandle, 'get' | 'output' | 'waitForOutput'>;

/**
 * Reads lines from a cursor on, then the unfinished ones. If there is nothing new yet and more may come,
 * waits for up to `waitMs` milliseconds.
 */
export async function readLogs(
  handle: CommandOutput,
  request: LogsRequest,
  signal: AbortSignal,
): Promise<Logs> {
  const until = performance.now() + request.waitMs;
  const start = request.cursor ?? LOG_START;
  let cursor = start;
  let droppedBytes = 0;
  let unsearchedBytes = 0;
  for (;;) {
    // Checked before the page is read: once the command has finished, the page sees everything that it wrote.
    const command = await handle.get(signal);
    const page = await new PageReader({ ...request, cursor }, signal).read(handle, command, signal);
    cursor = page.cursor;
    droppedBytes += page.droppedBytes;
    unsearchedBytes += page.unsearchedBytes;
    const result = { ...page, droppedBytes, unsearchedBytes };
    const left = until - performance.now();
    const hasLines = page.lines.some(({ partial }) => partial !== true);
    if (hasLines || page.done || !page.atEnd || left <= 0) return result;
    const hasNewPartial = page.lines.length > 0 && page.totalBytes > start.seen;
    const moment = hasNewPartial ? Math.min(left, PROMPT_QUIET_MS) : left;
    const isQuiet = !(await outputFollows(handle, page, moment, signal));
    if (isQuiet && hasNewPartial) return result;
  }
}

/**
 * Waits for output past this page. False if there was none within `moment` milliseconds; may be true without
 * any.
 */
async function outputFollows(
  handle: CommandOutput,
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

/** One page, read by lines. */
class PageReader {
  readonly #request: LogsRequest & { cursor: LogCursor };
  readonly #splitter: LineSplitter;
  readonly #page: LogPage;
  readonly #budget: CpuBudget;
  /** The line that filled the page; null while there is room. */
  #last: Line | null = null;
  #taken = 0;
  #droppedBytes = 0;

  constructor(request: LogsRequest & { cursor: LogCursor }, signal: AbortSignal) {
    this.#request = request;
    this.#splitter = new LineSplitter(request.cursor);
    this.#page = new LogPage(request, request.cursor.after);
    this.#budget = new CpuBudget(MAX_SEARCH_MS, signal);
  }

  async read(handle: CommandOutput, command: Command, signal: AbortSignal): Promise<ScannedPage> {
    const first = this.#splitter.offset;
    let totalBytes = 0;
    let atEnd = false;
    while (this.#last === null && !atEnd && this.#splitter.offset - first < MAX_SCANNED_BYTES) {
      const { offset } = this.#splitter;
      const slice = await handle.output({ stream: 'both', offset, limit: SLICE_BYTES }, signal);
      totalBytes = slice.totalBytes;
      if (!(await this.#takeChunks(slice.chunks))) break;
      if (!(await this.#skipTo(slice.nextOffset))) break;
      atEnd = slice.nextOffset >= slice.totalBytes || slice.nextOffset <= offset;
    }
    const leftBehind = command.status === 'finished' && command.hasLiveProcesses === true;
    const isOver = command.status === 'finished' && !leftBehind;
    const done = atEnd && isOver && (await this.#take(this.#splitter.rest()));
    const isCurrent = atEnd && this.#last === null;
    if (isCurrent && !isOver) {
      for (const line of this.#splitter.unfinished()) this.#page.offerPartial(line);
    }
    const positions = this.#page.rewind(this.#splitter.positions(this.#last));
    const seen = isCurrent ? totalBytes : this.#request.cursor.seen;
    return {
      lines: this.#page.lines,
      cursor: { ...positions, after: this.#page.after, seen },
      done,
      leftBehind,
      droppedBytes: this.#droppedBytes + this.#splitter.cutBytes,
      unsearchedBytes: this.#page.unsearchedBytes,
      isReplaced: this.#page.isReplaced,
      atEnd: isCurrent,
      totalBytes,
    };
  }

  async #takeChunks(chunks: readonly OutputChunk[]): Promise<boolean> {
    for (const chunk of chunks) {
      if (!(await this.#skipTo(chunk.offset))) return false;
      if (!(await this.#take(this.#splitter.lines(chunk)))) return false;
    }
    return true;
  }

  /** Goes on at an offset; what is missing before it was dropped. */
  async #skipTo(offset: number): Promise<boolean> {
    const missing = offset - this.#splitter.offset;
    if (!(await this.#take(this.#splitter.skipTo(offset)))) return false;
    this.#droppedBytes += Math.max(0, missing);
    return true;
  }

  /** False once the page is full, or the time for it is used up. */
  async #take(lines: Iterable<Line>): Promise<boolean> {
    for (const line of lines) {
      const hasRoom = this.#page.offer(line);
      this.#taken += 1;
      if (this.#budget.isDue) await this.#budget.rest();
      // The next page rereads some lines for their context: this page has to advance past them.
      if (hasRoom && !(this.#budget.isOver && this.#taken > this.#request.context)) continue;
      this.#last = line;
      return false;
    }
    return true;
  }
}
