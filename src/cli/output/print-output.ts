import { StringDecoder } from 'node:string_decoder';
import stripAnsi from 'strip-ansi';
import type { Command, OutputChunk } from '../../engines/engine.ts';
import type { CommandHandle } from '../../registry/types.ts';
import type { Terminal } from './terminal.ts';

const SLICE_BYTES = 65_536;

/**
 * Prints what a command has written so far, both streams in order, and with `follow` what it writes next. A
 * file or pipe gets the raw bytes; a screen gets only text.
 */
export async function printOutput(
  handle: Pick<CommandHandle, 'output' | 'waitForOutput'>,
  command: Command,
  follow: boolean,
  terminal: Terminal,
  signal: AbortSignal,
): Promise<void> {
  // One decoder per stream: a character may be split where the streams interleave.
  const decoders = { stdout: new StringDecoder('utf8'), stderr: new StringDecoder('utf8') };
  const show = ({ stream, data }: OutputChunk): void =>
    terminal.out(terminal.isScreen ? printable(decoders[stream].write(data)) : data);
  let current = command;
  let offset = 0;
  for (;;) {
    const request = { stream: 'both', offset, limit: SLICE_BYTES } as const;
    const slice = await handle.output(request, signal);
    if (slice.droppedBytes > 0) terminal.err(`[${slice.droppedBytes} bytes were not kept]\n`);
    for (const chunk of slice.chunks) show(chunk);
    const moved = slice.nextOffset > offset;
    offset = slice.nextOffset;
    if (offset < slice.totalBytes && moved) continue;
    if (!follow || current.status === 'finished') return;
    current = await handle.waitForOutput(slice.totalBytes, signal);
  }
}

/** Control characters from a sandbox must not control the user's terminal. */
export function printable(text: string): string {
  // biome-ignore lint/suspicious/noControlCharactersInRegex: control characters are what this is about
  return stripAnsi(text).replace(/[\u0000-\u0008\u000b-\u001f\u007f-\u009f]/g, '');
}
