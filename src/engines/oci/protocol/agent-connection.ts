/** One connection to the agent, or to a command's supervisor. */

import type { Socket } from 'node:net';
import { constants as osConstants } from 'node:os';
import { onAbort } from '../../../shared/async/on-abort.ts';
import { SandboxError, systemErrorCode } from '../../../shared/errors.ts';
import { connectInTurn } from './connect-in-turn.ts';
import { encodeHeader, Fields, FRAME, type Frame, FrameParser, TAG } from './frames.ts';

/**
 * Limit of bytes read but not consumed, and of bytes queued but not sent, before one side waits for the
 * other.
 */
const WINDOW_BYTES = 524_288;
const NOTHING = Buffer.alloc(0);
/** How many bytes of small frames are sent together, and how large one of them may be. */
const [BLOCK_BYTES, GATHERED_BYTES] = [65_536, 16_384];
/**
 * How long the other side may take until its first frame, and to accept what is sent: an agent without
 * descriptors or memory accepts nobody. Below what a call may take, above what a busy machine takes.
 */
const FIRST_FRAME_MS = 40_000;

/** An `ERROR` frame, as thrown. */
export class AgentError extends Error {
  /** `ENOENT`, …, or `E<number>` if this host has no name for it. */
  readonly errno: string;
  /** The step that failed, e.g. `open`. */
  readonly what: string;
  readonly path: string;

  constructor(fields: Fields) {
    const number = fields.number(TAG.errno);
    const errno =
      Object.entries(osConstants.errno).find(([, value]) => value === number)?.[0] ?? `E${number}`;
    const what = fields.text(TAG.what);
    super(`${what}: ${errno}`);
    this.errno = errno;
    this.what = what;
    this.path = fields.text(TAG.errorPath);
  }
}

/** The agent or supervisor has closed the connection: it, or the sandbox, has ended. Or it is silent. */
export class AgentDisconnectedError extends Error {
  constructor(cause?: unknown) {
    super('the agent closed the connection', { cause });
  }
}

/** Options of a connection; for tests and for answers that are known to come late. */
export interface ConnectionOptions {
  /** Milliseconds until the first frame; null for any time. */
  firstFrameMs?: number | null;
}

export class AgentConnection {
  readonly #socket: Socket;
  readonly #parser = new FrameParser();
  readonly #stopListening: () => void;
  readonly #onData: (chunk: Buffer) => void;
  readonly #firstFrameMs: number | null;
  #answered = false;
  #signal: AbortSignal | null;
  #failure: unknown = null;
  /** Why nothing more will come: `end`: the other side closed; `cut`: an error. */
  #over: 'end' | 'cut' | null = null;
  #wake: () => void = () => {};
  #block = NOTHING;
  #gathered = 0;

  private constructor(socket: Socket, signal: AbortSignal | null, { firstFrameMs }: ConnectionOptions) {
    this.#socket = socket;
    this.#firstFrameMs = firstFrameMs === undefined ? FIRST_FRAME_MS : firstFrameMs;
    this.#signal = signal;
    // Reads and writes report the error; this listener only keeps it from being unhandled.
    socket.on('error', (error) => {
      this.#failure ??= error;
    });
    const over = (how: 'end' | 'cut') => () => {
      this.#over ??= how;
      this.#wake();
    };
    socket.once('end', over('end'));
    socket.once('close', over('cut'));
    this.#onData = (chunk) => {
      this.#parser.feed(chunk);
      if (this.#parser.length >= WINDOW_BYTES) socket.pause();
      this.#wake();
    };
    socket.pause();
    socket.on('data', this.#onData);
    this.#stopListening = signal === null ? () => {} : onAbort(signal, () => socket.destroy());
  }

  /**
   * Connects; an abort closes the connection and rejects every wait on it. Rejects with
   * `AgentDisconnectedError` if nobody listens, with `unavailable` if nobody accepts in time.
   */
  static async open(
    path: string,
    signal: AbortSignal | null,
    options: ConnectionOptions = {},
  ): Promise<AgentConnection> {
    if (signal?.aborted) throw new SandboxError('cancelled', 'The call was cancelled.');
    let socket: Socket;
    try {
      socket = await connectInTurn(path, signal, options.firstFrameMs ?? FIRST_FRAME_MS);
    } catch (error) {
      const code = systemErrorCode(error);
      if (code === 'ENOENT' || code === 'ECONNREFUSED' || code === 'ENOTDIR')
        throw new AgentDisconnectedError(error);
      throw error;
    }
    if (signal?.aborted) {
      socket.destroy();
      throw new SandboxError('cancelled', 'The call was cancelled.');
    }
    return new AgentConnection(socket, signal, options);
  }

  /** Detaches the connection from its signal. */
  unbind(): void {
    this.#stopListening();
    this.#signal = null;
  }

  /** Sends a frame and waits until the socket has taken it. */
  send(type: number, body: Buffer = NOTHING): Promise<void> {
    const sent = new Promise<void>((resolve, reject) => {
      this.#write(type, body, (error) => (error ? reject(this.#ending(error)) : resolve()));
    });
    return this.#inTime(sent);
  }

  /**
   * Sends one of many frames; waits only if too many bytes are queued. The body must not change afterwards. A
   * failure may only surface at a later call.
   */
  push(type: number, body: Buffer = NOTHING): Promise<void> {
    const isFull = this.#socket.writableLength + this.#gathered >= WINDOW_BYTES;
    if (!this.#socket.writable || isFull) return this.send(type, body);
    if (body.length > GATHERED_BYTES) this.#write(type, body, () => {});
    else this.#gather(type, body);
    return Promise.resolve();
  }

  /**
   * The next frame, `DATA` in pieces as they arrive; null at the end of the stream. Throws an `ERROR` frame
   * as `AgentError`.
   */
  next(): Promise<Frame | null> {
    return this.#answered ? this.#next() : this.#inTime(this.#next());
  }

  async #next(): Promise<Frame | null> {
    for (;;) {
      const frame = this.#parser.take();
      if (frame !== null) {
        this.#answered = true;
        if (frame.type === FRAME.ERROR) throw new AgentError(new Fields(frame.body));
        return frame;
      }
      if (this.#over !== null) {
        if (this.#over === 'cut' || this.#signal?.aborted || this.#failure) throw this.#ending(this.#failure);
        return null;
      }
      await new Promise<void>((resolve) => {
        this.#wake = resolve;
        this.#socket.resume();
      });
    }
  }

  /**
   * The next frame, which must have one of these types. Throws `AgentDisconnectedError` at the end of the
   * stream.
   */
  async expect(...types: number[]): Promise<Frame> {
    const frame = await this.next();
    if (frame === null) throw new AgentDisconnectedError();
    if (!types.includes(frame.type)) {
      throw new SandboxError('server', `The sandbox's agent sent an unexpected frame of type ${frame.type}.`);
    }
    return frame;
  }

  /** Sends a request and awaits its `OK`. */
  async request(type: number, body?: Buffer): Promise<Fields> {
    await this.send(type, body);
    return new Fields((await this.expect(FRAME.OK)).body);
  }

  /** Ends framing: returns the raw socket and the bytes that arrived after the last frame. */
  detach(): { socket: Socket; rest: Buffer } {
    this.#stopListening();
    this.#flush();
    this.#socket.pause();
    this.#socket.off('data', this.#onData);
    return { socket: this.#socket, rest: this.#parser.rest() };
  }

  /** Half-closes the connection: sends nothing more, still reads. */
  end(): void {
    this.#flush();
    this.#socket.end();
  }

  /** Reads to the end of the stream; by then the other side has finished its work. Never rejects. */
  async drained(): Promise<void> {
    try {
      while ((await this.next()) !== null);
    } catch {
      // An error frame or a broken connection is an end too.
    }
  }

  close(): void {
    this.#stopListening();
    this.#socket.destroy();
  }

  /** Lets the connection keep the process alive, which is the default. */
  ref(): void {
    this.#socket.ref();
  }

  /** Stops the connection from keeping the process alive. */
  unref(): void {
    this.#socket.unref();
  }

  /** Closes the connection if nothing comes of `work` in time, which makes it reject. */
  async #inTime<Result>(work: Promise<Result>): Promise<Result> {
    if (this.#firstFrameMs === null) return work;
    const silent = new Error(`the agent was silent for ${this.#firstFrameMs} ms`);
    const timer = setTimeout(() => this.#socket.destroy(silent), this.#firstFrameMs);
    // The connection decides whether this process lives on.
    timer.unref();
    try {
      return await work;
    } finally {
      clearTimeout(timer);
    }
  }

  #write(type: number, body: Buffer, done: (error?: Error | null) => void): void {
    this.#flush();
    const socket = this.#socket;
    // One system call for everything sent in one turn of the event loop, without copying bodies to add
    // headers.
    socket.cork();
    const header = encodeHeader(type, body.length);
    if (body.length === 0) {
      socket.write(header, done);
    } else {
      socket.write(header);
      socket.write(body, done);
    }
    process.nextTick(() => socket.uncork());
  }

  /** Copies a small frame, since a write to the socket costs more than the copy. */
  #gather(type: number, body: Buffer): void {
    const header = encodeHeader(type, body.length);
    if (this.#block.length - this.#gathered < header.length + body.length) this.#flush();
    if (this.#gathered === 0) {
      this.#block = Buffer.allocUnsafeSlow(BLOCK_BYTES);
      process.nextTick(() => this.#flush());
    }
    for (const part of [header, body]) this.#gathered += part.copy(this.#block, this.#gathered);
  }

  #flush(): void {
    const length = this.#gathered;
    this.#gathered = 0;
    if (length > 0 && this.#socket.writable) this.#socket.write(this.#block.subarray(0, length), () => {});
    this.#block = NOTHING;
  }

  #ending(error: unknown): Error {
    if (this.#signal?.aborted)
      return new SandboxError('cancelled', 'The call was cancelled.', { cause: error });
    return new AgentDisconnectedError(error);
  }
}

/** Whether anything listens on an agent socket; the file alone may be left over from a killed process. */
export async function isListening(socket: string): Promise<boolean> {
  try {
    (await AgentConnection.open(socket, null, { firstFrameMs: 0 })).close();
    return true;
  } catch (error) {
    if (error instanceof AgentDisconnectedError) return false;
    // Its queue is full.
    if (error instanceof SandboxError && error.code === 'unavailable') return true;
    throw error;
  }
}
