/**
 * One terminal's connection: receives output and exit, sends keys and window sizes (docs/agent-protocol.md,
 * `SHELL`).
 */
import type { Shell, ShellExit } from '../../engine.ts';
import type { AgentConnection } from '../protocol/agent-connection.ts';
import { encodeFields, Fields, FRAME, MAX_DATA, TAG } from '../protocol/frames.ts';
import { endingSignal } from './command-state.ts';
import { encodedSize } from './exec-request.ts';

/** Longer than the agent's SIGHUP and SIGKILL take on a busy machine. */
const CLOSE_MS = 5_000;
/** The result when the sandbox ends: the kernel kills the rest of its PID namespace. */
const DISCONNECTED: ShellExit = { exitCode: 137, signal: 'SIGKILL' };

export class ShellConnection implements Shell {
  readonly exit: Promise<ShellExit>;
  readonly output: AsyncIterable<Buffer>;
  readonly #connection: AgentConnection;
  #resolveExit: (exit: ShellExit) => void = () => {};
  #reading = false;
  #ended = false;
  #closing = false;

  /**
   * Takes over a connection after `STARTED`. Without a reader of `output`, the end is only noticed at
   * `close`.
   */
  constructor(connection: AgentConnection) {
    this.#connection = connection;
    this.exit = new Promise((resolve) => {
      this.#resolveExit = resolve;
    });
    this.output = this.#read();
  }

  async write(data: Buffer): Promise<void> {
    for (let at = 0; at < data.length; at += MAX_DATA) {
      await this.#send(FRAME.DATA, data.subarray(at, at + MAX_DATA));
    }
  }

  resize(cols: number, rows: number): Promise<void> {
    return this.#send(FRAME.RESIZE, encodeFields(encodedSize(cols, rows)));
  }

  async close(): Promise<ShellExit> {
    if (!this.#ended && !this.#closing) {
      this.#closing = true;
      this.#connection.end();
      if (!this.#reading) void this.#read().next();
    }
    const timer = setTimeout(() => this.#end(DISCONNECTED), CLOSE_MS);
    try {
      return await this.exit;
    } finally {
      clearTimeout(timer);
    }
  }

  async *#read(): AsyncGenerator<Buffer> {
    let exit = DISCONNECTED;
    this.#reading = true;
    try {
      for (;;) {
        const frame = await this.#connection.next();
        if (frame === null) return;
        if (frame.type === FRAME.EXIT) {
          const fields = new Fields(frame.body);
          exit = {
            exitCode: fields.number(TAG.exitCode),
            signal: endingSignal(fields.number(TAG.exitSignal)),
          };
          return;
        }
        // Nobody reads the rest of a connection that is closing.
        if (frame.type === FRAME.DATA && !this.#closing) yield frame.body;
      }
    } catch {
      // Disconnected, or a protocol error: nothing more will come, and closing ends what runs.
    } finally {
      this.#end(exit);
    }
  }

  #end(exit: ShellExit): void {
    this.#ended = true;
    // What the program has left running ends with the connection.
    this.#connection.close();
    this.#resolveExit(exit);
  }

  async #send(type: number, body: Buffer): Promise<void> {
    if (this.#ended || this.#closing) return;
    try {
      await this.#connection.send(type, body);
    } catch {
      // The shell has ended; `exit` reports it.
    }
  }
}
