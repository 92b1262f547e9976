/**
 * A terminal over a WebSocket. Output is sent as binary messages; binary messages from the client are input.
 * Text messages are input too, because simple clients send keys that way; with the subprotocol they are
 * control messages. The close reason contains the exit code.
 */

import type { RawData, WebSocket } from 'ws';
import { z } from 'zod';
import { onAbort } from '../../../shared/async/on-abort.ts';
import { SandboxError } from '../../../shared/errors.ts';
import type { OpenShell, Shell, Shells } from '../../engine.ts';

/** With this subprotocol a text message is `{"type": "resize", "cols": …, "rows": …}`. */
export const TERMINAL_PROTOCOL = 'sandbox-mcp.terminal.v1';

export const cells = z.int().min(1).max(1_000);
const resize = z.strictObject({ type: z.literal('resize'), cols: cells, rows: cells });

/** RFC 6455, section 7.4.1. */
const NORMAL = 1_000;
const POLICY_VIOLATION = 1_008;
const INTERNAL_ERROR = 1_011;
/** The longest close reason (RFC 6455, section 5.5). */
const MAX_REASON_BYTES = 123;

/** Opens a shell for a connection and relays until either ends. Never rejects. */
export async function serveTerminal(socket: WebSocket, shells: Shells, request: OpenShell): Promise<void> {
  const closed = new AbortController();
  socket.once('close', () => closed.abort());
  // Invalid frames and resets; `close` follows.
  socket.on('error', () => socket.terminate());
  // Nothing is read, and so no input is lost, until the terminal is open.
  socket.pause();
  let shell: Shell;
  try {
    shell = await shells.open(request, closed.signal);
  } catch (error) {
    socket.resume();
    socket.close(INTERNAL_ERROR, reason(error));
    return;
  }
  onAbort(closed.signal, () => void shell.close());
  socket.on('message', (data, isBinary) => void take(socket, shell, data, isBinary));
  socket.resume();
  for await (const chunk of shell.output) await send(socket, chunk);
  const { exitCode } = await shell.exit;
  socket.close(NORMAL, `exit_code=${exitCode}`);
}

/** One message of the client. The next ones wait in the kernel until the terminal has taken it. */
async function take(socket: WebSocket, shell: Shell, data: RawData, isBinary: boolean): Promise<void> {
  const bytes = Buffer.isBuffer(data)
    ? data
    : Buffer.concat(Array.isArray(data) ? data : [Buffer.from(data)]);
  socket.pause();
  if (isBinary || socket.protocol !== TERMINAL_PROTOCOL) await shell.write(bytes);
  else await control(socket, shell, bytes);
  socket.resume();
}

async function control(socket: WebSocket, shell: Shell, bytes: Buffer): Promise<void> {
  const message = resize.safeParse(parsed(bytes));
  if (message.success) await shell.resize(message.data.cols, message.data.rows);
  else
    socket.close(
      POLICY_VIOLATION,
      'a text message is {"type": "resize", "cols": 80, "rows": 24}, each 1 to 1000',
    );
}

function parsed(bytes: Buffer): unknown {
  try {
    return JSON.parse(bytes.toString());
  } catch {
    return undefined;
  }
}

/** Resolves when the bytes have been sent or dropped, so that a slow reader slows the program down. */
function send(socket: WebSocket, chunk: Buffer): Promise<void> {
  return new Promise((resolve) => socket.send(chunk, { binary: true }, () => resolve()));
}

function reason(error: unknown): string {
  const message = error instanceof SandboxError ? error.message : 'cannot open the terminal';
  return Buffer.from(message)
    .subarray(0, MAX_REASON_BYTES)
    .toString()
    .replace(/\uFFFD$/, '');
}
