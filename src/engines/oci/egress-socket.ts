/**
 * Where the agent hands over what leaves the sandbox: the socket `egress` in the agent directory (docs/agent-protocol.md).
 * The directory is the sandbox's to write once its agent is taken over, so nothing in it is followed or trusted.
 */
import { randomBytes } from 'node:crypto';
import { constants } from 'node:fs';
import { type FileHandle, lchown, lstat, open, readdir, rename, rm } from 'node:fs/promises';
import { createServer, type Server, type Socket } from 'node:net';
import { join } from 'node:path';
import type { Redirected } from '../../egress/context.ts';
import { encodeFrame, FRAME, type Frame, FrameParser } from './frames.ts';

const NAME = 'egress';
const TEMPORARY = '.egress.';
const FIRST_FRAME_MS = 5_000;
const TCP_BODY = 6;
const TOKEN = 4;
const GO = Buffer.from('G');
/** Queries of one connection being answered at once; more are dropped, as a busy resolver would. */
const MAX_QUERIES = 256;

export interface EgressHandlers {
  connection(connection: Redirected): void;
  /** Null: no answer. */
  query(bytes: Buffer): Promise<Buffer | null>;
}

export class EgressSocket {
  readonly #server: Server;
  readonly #directory: FileHandle;
  readonly #path: string;
  readonly #inode: bigint;
  readonly #sockets: Set<Socket>;

  private constructor(
    server: Server,
    directory: FileHandle,
    path: string,
    inode: bigint,
    sockets: Set<Socket>,
  ) {
    this.#server = server;
    this.#directory = directory;
    this.#path = path;
    this.#inode = inode;
    this.#sockets = sockets;
  }

  /**
   * Listens in an agent directory, in the place of whoever listened before.
   * @param owner host ids of the sandbox's root, which the agent is
   */
  static async open(
    agentDir: string,
    owner: { uid: number; gid: number },
    handlers: EgressHandlers,
  ): Promise<EgressSocket> {
    const flags = constants.O_RDONLY | constants.O_DIRECTORY | constants.O_NOFOLLOW;
    const directory = await open(agentDir, flags);
    const sockets = new Set<Socket>();
    const server = createServer({ allowHalfOpen: true, pauseOnConnect: true }, (socket) => {
      sockets.add(socket);
      socket.once('close', () => sockets.delete(socket));
      socket.on('error', () => socket.destroy());
      receive(socket, handlers);
    });
    // Through the descriptor: short enough for a socket address, and the same directory whatever its path becomes.
    const at = `/proc/self/fd/${directory.fd}`;
    const fresh = `${at}/${TEMPORARY}${randomBytes(6).toString('hex')}`;
    try {
      await new Promise<void>((resolve, reject) => {
        server.once('error', reject);
        server.listen(fresh, resolve);
      });
      server.unref();
      if (process.getuid?.() === 0) await lchown(fresh, owner.uid, owner.gid);
      const { ino } = await lstat(fresh, { bigint: true });
      await rename(fresh, `${at}/${NAME}`);
      return new EgressSocket(server, directory, `${at}/${NAME}`, ino, sockets);
    } catch (error) {
      server.close();
      await directory.close();
      throw error;
    }
  }

  /** False once another process listens in its place, or the place is gone. */
  async isCurrent(): Promise<boolean> {
    try {
      return (await lstat(this.#path, { bigint: true })).ino === this.#inode;
    } catch {
      return false;
    }
  }

  /** Stops listening and cuts what is open: from now on the sandbox is closed. */
  async close(): Promise<void> {
    const current = await this.isCurrent();
    for (const socket of this.#sockets) socket.destroy();
    await new Promise<void>((resolve) => this.#server.close(() => resolve()));
    if (current) await rm(this.#path, { force: true }).catch(() => undefined);
    await this.#directory.close();
  }
}

/** Removes what listeners have left in the directory of a sandbox that has ended. */
export async function removeEgressSockets(agentDir: string): Promise<void> {
  for (const name of await readdir(agentDir).catch(() => [])) {
    if (name === NAME || name.startsWith(TEMPORARY)) {
      await rm(join(agentDir, name), { recursive: true, force: true });
    }
  }
}

function receive(socket: Socket, handlers: EgressHandlers): void {
  const parser = new FrameParser();
  const timer = setTimeout(() => socket.destroy(), FIRST_FRAME_MS);
  const onData = (chunk: Buffer) => {
    let frame: Frame | null;
    try {
      parser.feed(chunk);
      frame = parser.take();
    } catch {
      socket.destroy();
      return;
    }
    if (frame === null) return;
    clearTimeout(timer);
    socket.off('data', onData);
    if (frame.type === FRAME.EGRESS_TCP && frame.body.length === TCP_BODY) {
      socket.pause();
      const rest = parser.rest();
      if (rest.length > 0) socket.unshift(rest);
      handlers.connection(redirected(socket, frame.body));
    } else if (frame.type === FRAME.EGRESS_DNS && frame.body.length === 0) {
      serveQueries(socket, parser, handlers);
    } else {
      socket.destroy();
    }
  };
  socket.once('close', () => clearTimeout(timer));
  socket.on('data', onData);
  socket.resume();
}

function redirected(socket: Socket, body: Buffer): Redirected {
  let opened = false;
  return {
    address: [...body.subarray(0, 4)].join('.'),
    port: body.readUInt16BE(4),
    stream: socket,
    open() {
      if (opened || socket.destroyed) return;
      opened = true;
      socket.write(GO);
    },
  };
}

function serveQueries(socket: Socket, parser: FrameParser, handlers: EgressHandlers): void {
  let answering = 0;
  const answer = async (body: Buffer): Promise<void> => {
    const token = body.subarray(0, TOKEN);
    const bytes = await handlers.query(body.subarray(TOKEN));
    if (bytes === null || socket.destroyed) return;
    socket.write(encodeFrame(FRAME.EGRESS_DATAGRAM, Buffer.concat([token, bytes])));
  };
  const drain = () => {
    for (let frame = parser.take(); frame !== null; frame = parser.take()) {
      if (frame.type !== FRAME.EGRESS_DATAGRAM || frame.body.length <= TOKEN) {
        socket.destroy();
        return;
      }
      if (answering >= MAX_QUERIES) continue;
      answering++;
      answer(frame.body)
        .catch(() => socket.destroy())
        .finally(() => {
          answering--;
        });
    }
  };
  socket.on('data', (chunk: Buffer) => {
    try {
      parser.feed(chunk);
      drain();
    } catch {
      socket.destroy();
    }
  });
  socket.once('end', () => socket.destroy());
  drain();
}
