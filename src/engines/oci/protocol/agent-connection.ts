/** One connection to the agent, or to a command's supervisor. */

import { open } from 'node:fs/promises';
import { connect, type Socket } from 'node:net';
import { constants as osConstants } from 'node:os';
import { basename, dirname } from 'node:path';
import { onAbort } from '../../../shared/async/on-abort.ts';
import { SandboxError, systemErrorCode } from '../../../shared/errors.ts';
import { encodeHeader, Fields, FRAME, type Frame, FrameParser, TAG } from './frames.ts';

/** sun_path of unix(7) holds 108 bytes, its NUL included. */
const MAX_SOCKET_PATH = 107;
/** As much may have been read and not taken, and as much given to send and not sent, before one side waits for the other. */
const WINDOW_BYTES = 524_288;
const NOTHING = Buffer.alloc(0);

function connectPath(path: string): Promise<Socket> {
  return new Promise((resolve, reject) => {
    const socket = connect({ path, allowHalfOpen: true });
    socket.once('error', reject);
    socket.once('connect', () => {
      socket.off('error', reject);
      resolve(socket);
    });
  });
}

/** Connects to a unix socket whose path may be longer than the system's limit. Rejects with the system's error. */
async function connectUnixSocket(path: string): Promise<Socket> {
  if (Buffer.byteLength(path) <= MAX_SOCKET_PATH) return connectPath(path);
  const directory = await open(dirname(path), 'r');
  try {
    return await connectPath(`/proc/self/fd/${directory.fd}/${basename(path)}`);
  } finally {
    await directory.close();
  }
}

/** An `ERROR` frame, as thrown. */
export class AgentError extends Error {
  /** `ENOENT`, …, or `E<number>` where this host does not know the number. */
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

/** Gone while it was needed: the sandbox or the supervisor has ended. */
export class AgentDisconnectedError extends Error {
  constructor(cause?: unknown) {
    super('the agent closed the connection', { cause });
  }
}

export class AgentConnection {
  readonly #socket: Socket;
  readonly #parser = new FrameParser();
  readonly #stopListening: () => void;
  readonly #onData: (chunk: Buffer) => void;
  #signal: AbortSignal | null;
  #failure: unknown = null;
  /** Nothing more can come: `end` by the other side's will, `cut` otherwise. */
  #over: 'end' | 'cut' | null = null;
  #wake: () => void = () => {};

  private constructor(socket: Socket, signal: AbortSignal | null) {
    this.#socket = socket;
    this.#signal = signal;
    // Reads and writes meet the error themselves; this one keeps it from being thrown as unhandled.
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

  /** Connects; an abort closes the connection and ends every wait on it. Rejects with `AgentGone` where nobody listens. */
  static async open(path: string, signal: AbortSignal | null): Promise<AgentConnection> {
    if (signal?.aborted) throw new SandboxError('cancelled', 'The call was cancelled.');
    let socket: Socket;
    try {
      socket = await connectUnixSocket(path);
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
    return new AgentConnection(socket, signal);
  }

  /** From now on the connection outlives its signal. */
  unbind(): void {
    this.#stopListening();
    this.#signal = null;
  }

  /** Sends a frame and waits until the socket has taken it. */
  send(type: number, body: Buffer = NOTHING): Promise<void> {
    return new Promise((resolve, reject) => {
      this.#write(type, body, (error) => (error ? reject(this.#ending(error)) : resolve()));
    });
  }

  /**
   * Sends a frame of many, and waits only where too much is on its way already. Each body has to stay as it is; a failure may
   * show at a later call alone.
   */
  push(type: number, body: Buffer = NOTHING): Promise<void> {
    const socket = this.#socket;
    if (!socket.writable || socket.writableLength >= WINDOW_BYTES) return this.send(type, body);
    this.#write(type, body, () => {});
    return Promise.resolve();
  }

  /** The next frame, `DATA` in the pieces in which it comes; null at the end of the stream. An `ERROR` frame is thrown as `AgentError`. */
  async next(): Promise<Frame | null> {
    for (;;) {
      const frame = this.#parser.take();
      if (frame !== null) {
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

  /** The next frame, which has to be of one of these types. Throws `AgentGone` at the end of the stream. */
  async expect(...types: number[]): Promise<Frame> {
    const frame = await this.next();
    if (frame === null) throw new AgentDisconnectedError();
    if (!types.includes(frame.type)) {
      throw new SandboxError('server', `The sandbox's agent sent frame ${frame.type} out of turn.`);
    }
    return frame;
  }

  /** Sends a request and awaits its `OK`. */
  async request(type: number, body?: Buffer): Promise<Fields> {
    await this.send(type, body);
    return new Fields((await this.expect(FRAME.OK)).body);
  }

  /** Ends the framed part: the bare socket, and the bytes that arrived after the last frame. */
  detach(): { socket: Socket; rest: Buffer } {
    this.#stopListening();
    this.#socket.pause();
    this.#socket.off('data', this.#onData);
    return { socket: this.#socket, rest: this.#parser.rest() };
  }

  /** Says that nothing more will be sent; what comes is still read. */
  end(): void {
    this.#socket.end();
  }

  /** Reads on to the end of the stream, however it comes: what the other side had to do is done then. Never rejects. */
  async drained(): Promise<void> {
    try {
      while ((await this.next()) !== null);
    } catch {
      // A refusal or a broken connection is an end as well.
    }
  }

  close(): void {
    this.#stopListening();
    this.#socket.destroy();
  }

  /** Lets the connection hold the process alive, as it does at first. */
  ref(): void {
    this.#socket.ref();
  }

  /** Keeps the connection from holding the process alive. */
  unref(): void {
    this.#socket.unref();
  }

  #write(type: number, body: Buffer, done: (error?: Error | null) => void): void {
    const socket = this.#socket;
    // What is sent in one turn of the event loop leaves in one system call, and no body is copied for its header.
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

  #ending(error: unknown): Error {
    if (this.#signal?.aborted)
      return new SandboxError('cancelled', 'The call was cancelled.', { cause: error });
    return new AgentDisconnectedError(error);
  }
}

/** Whether anybody listens at a socket of the agent's; the file alone may be what a killed process has left. */
export async function isListening(socket: string): Promise<boolean> {
  try {
    (await AgentConnection.open(socket, null)).close();
    return true;
  } catch (error) {
    if (error instanceof AgentDisconnectedError) return false;
    throw error;
  }
}
