/**
 * Receives the intercepted connections of a relay: each arrives on a unix socket as a stream that starts with
 * its id.
 */
import { randomBytes } from 'node:crypto';
import { constants } from 'node:fs';
import { chmod, type FileHandle, mkdir, open, rm } from 'node:fs/promises';
import { createServer, type Server, type Socket } from 'node:net';
import { join } from 'node:path';
import { STREAMS_PREFIX } from '../state/state-layout.ts';

const ID_BYTES = 4;

export class RelayStreams {
  /** Passed to the relay, whose user may not be able to open it by path. */
  readonly directory: FileHandle;
  readonly #path: string;
  readonly #waiting = new Map<number, (stream: Socket) => void>();
  readonly #open = new Set<Socket>();
  #server: Promise<Server> | null = null;

  private constructor(path: string, directory: FileHandle) {
    this.#path = path;
    this.directory = directory;
  }

  /** @param sandboxDir the sandbox's directory, which is not reachable from inside */
  static async open(sandboxDir: string): Promise<RelayStreams> {
    const path = join(sandboxDir, `${STREAMS_PREFIX}${randomBytes(6).toString('hex')}`);
    await mkdir(path);
    await chmod(path, 0o711);
    return new RelayStreams(path, await open(path, constants.O_RDONLY | constants.O_DIRECTORY));
  }

  /**
   * The stream of a connection; null if the connection ends before it arrives.
   * @param ask sends the request to the relay; called once the socket is listening
   */
  async take(id: number, closed: Promise<unknown>, ask: () => void): Promise<Socket | null> {
    this.#server ??= this.#listen();
    await this.#server;
    return new Promise((resolve) => {
      this.#waiting.set(id, resolve);
      const ended = () => {
        this.#waiting.delete(id);
        resolve(null);
      };
      closed.then(ended, ended);
      ask();
    });
  }

  async close(): Promise<void> {
    for (const socket of this.#open) socket.destroy();
    const server = await this.#server;
    if (server) await new Promise<void>((resolve) => server.close(() => resolve()));
    await this.directory.close();
    await rm(this.#path, { recursive: true, force: true });
  }

  async #listen(): Promise<Server> {
    const server = createServer({ allowHalfOpen: true }, (socket) => this.#receive(socket));
    // Via /proc/self/fd: short enough for a socket address.
    const path = `/proc/self/fd/${this.directory.fd}/streams`;
    await new Promise<void>((resolve, reject) => {
      // For good: one that cannot be accepted, without descriptors left, must not end this process.
      server.on('error', reject);
      server.listen(path, resolve);
    });
    server.unref();
    await chmod(path, 0o666);
    return server;
  }

  #receive(socket: Socket): void {
    this.#open.add(socket);
    socket.once('close', () => this.#open.delete(socket));
    socket.on('error', () => socket.destroy());
    const onReadable = () => {
      const head: unknown = socket.read(ID_BYTES);
      if (!Buffer.isBuffer(head)) return;
      socket.off('readable', onReadable);
      const id = head.length === ID_BYTES ? head.readUInt32LE(0) : 0;
      const waiting = this.#waiting.get(id);
      this.#waiting.delete(id);
      if (waiting === undefined) socket.destroy();
      else waiting(socket);
    };
    socket.on('readable', onReadable);
  }
}
