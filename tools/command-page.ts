import type { Command, Commands, OutputStream } from '../src/engines/engine.ts';
import { outputText } from '../src/shared/output-text.ts';
import { characterEnd } from '../src/shared/utf8.ts';
import { readRange } from './byte-range.ts';

export interface OutputPageRequest {
  stream: OutputStream | 'both';
  /** Negative counts from the end; past the end means the end. */
  offset: number;
  limit: number;
  encoding: 'utf8' | 'base64';
}

export interface OutputPage {
  offset: number;
  content: string;
  /** Null when the command has finished and nothing follows. */
  nextOffset: number | null;
  totalBytes: number;
  /** Bytes before `offset` that were asked for and are no longer held. */
  droppedBytes: number;
}

/** One page of a command's bytes; as text it begins and ends with whole characters. */
export async function readOutputPage(
  commands: Commands,
  command: Command,
  request: OutputPageRequest,
  signal: AbortSignal,
): Promise<OutputPage> {
  const totalBytes = totalOf(command, request.stream);
  const asked = startOf(request.offset, totalBytes);
  const range = { stream: request.stream, start: asked, end: asked + request.limit };
  const [span] = await readRange(commands, command.commandId, range, signal);
  // Nothing is held up to the end of the range, or nothing is there yet.
  const start = span?.start ?? Math.min(range.end, totalBytes);
  const bytes = span?.bytes ?? Buffer.alloc(0);
  const end = start + bytes.length;
  const last = command.status === 'finished' && end >= totalBytes;
  const shown = request.encoding === 'base64' ? bytes : wholeCharacters(bytes, last);
  const exact = `command_output command_id=${command.commandId} stream=${request.stream} offset=${start} encoding=base64`;
  return {
    offset: start,
    content: request.encoding === 'base64' ? shown.toString('base64') : outputText(shown, exact),
    nextOffset: last ? null : end - (bytes.length - shown.length),
    // More may have been written since the totals were taken.
    totalBytes: Math.max(totalBytes, end),
    droppedBytes: start - Math.min(start, asked),
  };
}

/** An offset past the end means the end: nothing lies between, and what comes next starts there. */
function startOf(offset: number, totalBytes: number): number {
  return offset < 0 ? Math.max(0, totalBytes + offset) : Math.min(offset, totalBytes);
}

function totalOf(command: Command, stream: OutputStream | 'both'): number {
  if (stream === 'stdout') return command.stdoutBytes;
  if (stream === 'stderr') return command.stderrBytes;
  return command.stdoutBytes + command.stderrBytes;
}

/** A character whose end has not been read yet is left to the next page. */
function wholeCharacters(bytes: Buffer, last: boolean): Buffer {
  const end = last ? bytes.length : characterEnd(bytes);
  return bytes.subarray(0, end);
}
