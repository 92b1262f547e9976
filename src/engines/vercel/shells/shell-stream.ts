/** A program on a terminal of the platform, as the contract defines it. */
import type { RawData, WebSocket } from 'ws';
import type { Shell, ShellExit } from '../../engine.ts';
import { signalOf } from '../commands/command-view.ts';

/**
 * High and low water marks of unread output: past the first the platform is paused, below the second it
 * resumes.
 */
const PAUSE_AT = 1_048_576;
const RESUME_AT = 262_144;
/** How long to wait for the platform to report the end of a killed program. */
const LAST_WORD_MS = 2_000;
/** The program ends with its terminal. */
const KILLED: ShellExit = { exitCode: 137, signal: 'SIGKILL' };

export class ShellStream implements Shell {
  readonly exit: Promise<ShellExit>;
  readonly output: AsyncIterable<Buffer>;
  readonly #socket: WebSocket;
  readonly #end: () => Promise<unknown>;
  readonly #waiting: Buffer[] = [];
  readonly #closed: Promise<void>;
  #waitingBytes = 0;
  #reported: ShellExit | null = null;
  #ended = false;
  #closing: Promise<ShellExit> | null = null;
  #wake: () => void = () => {};
  #resolveExit: (exit: ShellExit) => void = () => {};

  /**
   * Takes over a connection on which the program was started. Without a reader of `output` the end shows only
   * at `close`.
   *
   * @param end kills what the terminal's program has started; never rejects
   */
  constructor(socket: WebSocket, end: () => Promise<unknown>) {
    this.#socket = socket;
    this.#end = end;
    this.exit = new Promise((resolve) => {
      this.#resolveExit = resolve;
    });
    this.output = this.#read();
    socket.on('message', (data, isBinary) => this.#take(data, isBinary));
    this.#closed = new Promise((resolve) => {
      socket.once('close', () => {
        this.#ended = true;
        // Disconnected without an exit: kill what still runs, since no one owns it any more.
        if (this.#reported === null && this.#closing === null) void this.#end();
        this.#wake();
        resolve();
      });
    });
  }

  write(data: Buffer): Promise<void> {
    return this.#send(data);
  }

  resize(cols: number, rows: number): Promise<void> {
    return this.#send(JSON.stringify({ type: 'resize', cols, rows }));
  }

  close(): Promise<ShellExit> {
    this.#closing ??= this.#close();
    return this.#closing;
  }

  async #close(): Promise<ShellExit> {
    // The remaining output has no reader once the terminal is being closed.
    this.#drop();
    if (!this.#ended || this.#reported === null) await this.#end();
    let timer: NodeJS.Timeout | undefined;
    const timeUp = new Promise<void>((resolve) => {
      timer = setTimeout(resolve, LAST_WORD_MS);
    });
    await Promise.race([this.#closed, timeUp]);
    clearTimeout(timer);
    this.#socket.terminate();
    this.#ended = true;
    this.#wake();
    const exit = this.#reported ?? KILLED;
    this.#resolveExit(exit);
    return exit;
  }

  async *#read(): AsyncGenerator<Buffer> {
    for (;;) {
      const next = this.#waiting.shift();
      if (next !== undefined) {
        this.#waitingBytes -= next.length;
        if (this.#waitingBytes < RESUME_AT && this.#socket.isPaused) this.#socket.resume();
        yield next;
      } else if (this.#ended) {
        this.#resolveExit(this.#reported ?? KILLED);
        return;
      } else {
        await new Promise<void>((resolve) => {
          this.#wake = resolve;
        });
      }
    }
  }

  #take(data: RawData, isBinary: boolean): void {
    const bytes = Array.isArray(data)
      ? Buffer.concat(data)
      : Buffer.isBuffer(data)
        ? data
        : Buffer.from(new Uint8Array(data));
    if (!isBinary && this.#takeWord(bytes)) return;
    if (this.#closing !== null) return;
    this.#waiting.push(bytes);
    this.#waitingBytes += bytes.length;
    if (this.#waitingBytes > PAUSE_AT) this.#socket.pause();
    this.#wake();
  }

  /** True for a message of the platform's own. */
  #takeWord(bytes: Buffer): boolean {
    let word: unknown;
    try {
      word = JSON.parse(bytes.toString('utf8'));
    } catch {
      return false;
    }
    if (typeof word !== 'object' || word === null || !('type' in word)) return false;
    if (word.type !== 'exit') return true;
    const code = 'code' in word && typeof word.code === 'number' ? word.code : KILLED.exitCode;
    this.#reported = { exitCode: code, signal: signalOf(code) };
    // The platform closes next; if it does not, nothing waits for it.
    this.#socket.close();
    return true;
  }

  #drop(): void {
    this.#waiting.length = 0;
    this.#waitingBytes = 0;
    if (this.#socket.isPaused) this.#socket.resume();
  }

  #send(data: Buffer | string): Promise<void> {
    if (this.#ended || this.#closing !== null || this.#socket.readyState !== this.#socket.OPEN)
      return Promise.resolve();
    // A shell that has ended meanwhile gets no input; `exit` reports it.
    return new Promise((resolve) =>
      this.#socket.send(data, { binary: typeof data !== 'string' }, () => resolve()),
    );
  }
}
