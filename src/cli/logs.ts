import { StringDecoder } from 'node:string_decoder';
import stripAnsi from 'strip-ansi';
import type { Command, Commands, OutputChunk } from '../engines/engine.ts';
import type { Session } from '../registry/contract.ts';
import type { Terminal } from './parts.ts';

const SLICE_BYTES = 65_536;

/** Prints what a command wrote, or each command of a sandbox with a head line. Rejects with `not_found` for an unknown id. */
export async function logs(
  session: Session,
  id: string,
  follow: boolean,
  terminal: Terminal,
): Promise<number> {
  const { signal } = new AbortController();
  if (id.startsWith('cmd_')) {
    const handle = await session.command(id);
    await printOutput(handle.engine.commands, await handle.get(signal), follow, terminal, signal);
    return 0;
  }
  const handle = await session.sandbox(id);
  for (const command of await handle.engine.commands.list(handle.sandboxId, signal)) {
    terminal.out(`== ${command.commandId}  ${headline(command)}\n`);
    await printOutput(handle.engine.commands, command, follow, terminal, signal);
  }
  return 0;
}

function headline(command: Command): string {
  const outcome = command.exitCode === null ? 'running' : `exit code ${command.exitCode}`;
  return `${printable([command.cmd, ...command.args].join(' '))}  (${outcome})`;
}

async function printOutput(
  commands: Commands,
  command: Command,
  follow: boolean,
  terminal: Terminal,
  signal: AbortSignal,
): Promise<void> {
  // One decoder a stream: a character may be cut where the other stream comes between.
  const decoders = { stdout: new StringDecoder('utf8'), stderr: new StringDecoder('utf8') };
  const show = ({ stream, data }: OutputChunk): void =>
    terminal.out(terminal.isScreen ? printable(decoders[stream].write(data)) : data);
  let current = command;
  let offset = 0;
  for (;;) {
    const request = { stream: 'both', offset, limit: SLICE_BYTES } as const;
    const slice = await commands.readOutput(command.commandId, request, signal);
    if (slice.droppedBytes > 0) terminal.err(`[${slice.droppedBytes} bytes were not kept]\n`);
    for (const chunk of slice.chunks) show(chunk);
    const moved = slice.nextOffset > offset;
    offset = slice.nextOffset;
    if (offset < slice.totalBytes && moved) continue;
    if (!follow || current.status === 'finished') break;
    current = await commands.waitForOutput(command.commandId, slice.totalBytes, signal);
  }
}

/** Control characters of a sandbox must not drive the screen of the person who looks. */
function printable(text: string): string {
  // biome-ignore lint/suspicious/noControlCharactersInRegex: control characters are what this is about
  return stripAnsi(text).replace(/[\u0000-\u0008\u000b-\u001f\u007f-\u009f]/g, '');
}
