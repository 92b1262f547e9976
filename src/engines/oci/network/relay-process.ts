/**
 * `agent relay`: the process that holds a sandbox's connections, controlled by this one
 * (docs/agent-protocol.md).
 */
import { type ChildProcess, spawn } from 'node:child_process';
import { randomInt } from 'node:crypto';
import { constants } from 'node:fs';
import { type FileHandle, lstat, open, rm } from 'node:fs/promises';
import { Socket } from 'node:net';
import type { ByteCounts, RedirectedConnection } from '../../../egress/connection/context.ts';
import { whenSpawned } from '../../../shared/async/when-spawned.ts';
import { verifyAgent } from '../host/agent-program.ts';
import { encodeFrame, type Frame } from '../protocol/frames.ts';
import { FrameTurns } from './frame-turns.ts';
import { RelayConnection } from './relay-connection.ts';
import { errorCode, numbered, RELAY_FRAME } from './relay-frames.ts';
import { RelayStreams } from './relay-streams.ts';

/** Queries being answered at once; more are dropped, as a busy resolver would. */
const MAX_QUERIES = 256;
const MAX_STDERR_CHARACTERS = 1_000;
const QUERY_HEAD = 8;
/** Ids inside a sandbox above those of its accounts, and below `nobody`. */
const COUNTED_IDS = [2_000, 65_534] as const;

export interface RelayHandlers {
  connection(connection: RedirectedConnection): void;
  /** Null: no answer. */
  query(bytes: Buffer): Promise<Buffer | null>;
  /** Bytes transferred since the last call. */
  moved(bytes: ByteCounts): void;
  /** The quota is used up: all connections were reset. */
  quotaExceeded(): void;
  /** The relay that replaced this one has exited. */
  freed(): void;
  /** The relay exited unexpectedly; its connections are lost. */
  died(stderr: string): void;
}

export interface RelayLocation {
  /** The agent's executable. */
  readonly program: string;
  /** The sandbox's directory, and the agent directory in it. */
  readonly dir: string;
  readonly agentDir: string;
  /** Host ids of the sandbox's root, which the agent runs as. */
  readonly owner: { uid: number; gid: number };
}

export class RelayProcess {
  readonly #child: ChildProcess;
  readonly #control: Socket;
  readonly #directory: FileHandle;
  readonly #streams: RelayStreams;
  readonly #handlers: RelayHandlers;
  readonly #links = new Map<number, RelayConnection>();
  readonly #exited: Promise<void>;
  #listening: { resolve(): void; reject(error: Error): void } | null = null;
  #inode: bigint | null = null;
  #closing = false;
  #answering = 0;
  #moved: ByteCounts = { in: 0, out: 0 };

  private constructor(
    child: ChildProcess,
    directory: FileHandle,
    streams: RelayStreams,
    handlers: RelayHandlers,
  ) {
    const control = child.stdio[3];
    if (!(control instanceof Socket)) throw new Error('the relay has no control connection');
    this.#child = child;
    this.#control = control;
    this.#directory = directory;
    this.#streams = streams;
    this.#handlers = handlers;
    let stderr = '';
    child.stderr?.on('data', (chunk: Buffer) => {
      stderr = (stderr + chunk.toString()).slice(0, MAX_STDERR_CHARACTERS);
    });
    // What a sandbox does on its network must not delay the answers to others.
    new FrameTurns(
      control,
      (frame) => this.#take(frame),
      (error) => {
        // It reads what programs send, and may be in their hands. Its end is reported as that of any relay.
        stderr = `malformed frame: ${error}`;
        control.destroy();
        child.kill('SIGKILL');
      },
    );
    control.on('error', () => control.destroy());
    this.#exited = new Promise((resolve) => {
      child.once('error', (error) => this.#end(error.message, resolve));
      child.once('close', (code, signal) => this.#end(stderr.trim() || `${signal ?? code}`, resolve));
    });
    // It does not keep this process alive, and ends with it.
    child.unref();
    control.unref();
    if (child.stderr instanceof Socket) child.stderr.unref();
  }

  /** Starts the process. It holds no connections until it is told to listen. */
  static async start(place: RelayLocation, handlers: RelayHandlers): Promise<RelayProcess> {
    await verifyAgent(place.program);
    const flags = constants.O_RDONLY | constants.O_DIRECTORY | constants.O_NOFOLLOW;
    const directory = await open(place.agentDir, flags);
    let streams: RelayStreams | null = null;
    try {
      streams = await RelayStreams.open(place.dir);
      const { uid, gid } = place.owner;
      const ids = process.getuid?.() !== uid ? [uid, gid, uid + randomInt(...COUNTED_IDS)] : [];
      const starting = spawn(place.program, ['relay', ...ids.map(String)], {
        stdio: ['ignore', 'ignore', 'pipe', 'pipe', directory.fd, streams.directory.fd],
        env: {},
        cwd: '/',
      });
      return new RelayProcess(await whenSpawned(starting), directory, streams, handlers);
    } catch (error) {
      await Promise.all([directory.close(), streams?.close()]);
      throw error;
    }
  }

  /** Listens for the agent, replacing any earlier relay. */
  async listen(): Promise<void> {
    // Keep this process alive until the answer arrives.
    this.#control.ref();
    try {
      await new Promise<void>((resolve, reject) => {
        this.#listening = { resolve, reject };
        this.#send(RELAY_FRAME.LISTEN);
      });
    } finally {
      this.#control.unref();
    }
  }

  /** False once another relay has replaced the socket, or it was removed. */
  async isCurrent(): Promise<boolean> {
    try {
      return (await lstat(this.#socketPath, { bigint: true })).ino === this.#inode;
    } catch {
      return false;
    }
  }

  /** Requests a notification (`freed`) once the relay that replaced this one has exited. */
  watchSuccessor(): void {
    this.#send(RELAY_FRAME.WATCH_SUCCESSOR);
  }

  /** Sets the quota: total bytes, in and out together, since the relay's start. */
  limit(bytes: number): void {
    const body = Buffer.allocUnsafe(8);
    body.writeBigUInt64LE(BigInt(bytes));
    this.#send(RELAY_FRAME.QUOTA, body);
  }

  /** Closes all connections and waits until the process has exited. */
  async close(): Promise<void> {
    const current = await this.isCurrent();
    this.#closing = true;
    // Keep this process alive until then.
    this.#child.ref();
    this.#child.kill('SIGKILL');
    await this.#exited;
    if (current) await rm(this.#socketPath, { force: true }).catch(() => undefined);
    await Promise.all([this.#directory.close(), this.#streams.close()]);
  }

  /** Via the descriptor: the same directory even if its path changes. */
  get #socketPath(): string {
    return `/proc/self/fd/${this.#directory.fd}/egress`;
  }

  #send(type: number, body?: Buffer): void {
    if (!this.#control.destroyed) this.#control.write(encodeFrame(type, body));
  }

  #end(stderr: string, resolve: () => void): void {
    this.#control.destroy();
    this.#listening?.reject(new Error(`the relay exited: ${stderr}`));
    for (const link of this.#links.values()) link.over({ in: 0, out: 0 });
    this.#links.clear();
    if (!this.#closing) this.#handlers.died(stderr);
    this.#closing = true;
    resolve();
  }

  #take({ type, body }: Frame): void {
    if (type === RELAY_FRAME.LISTENING) {
      this.#inode = body.readBigUInt64LE();
      this.#listening?.resolve();
    } else if (type === RELAY_FRAME.LISTEN_FAILED) {
      this.#listening?.reject(new Error(`the relay cannot listen: ${errorCode(body.readUInt32LE())}`));
    } else if (type === RELAY_FRAME.SUCCESSOR_EXITED) this.#handlers.freed();
    else if (type === RELAY_FRAME.QUOTA_EXCEEDED) this.#handlers.quotaExceeded();
    else if (type === RELAY_FRAME.TOTALS) this.#count(movedAt(body, 0));
    else if (type === RELAY_FRAME.DNS_QUERY) this.#query(body);
    else if (type === RELAY_FRAME.OPENED) this.#opened(body);
    else this.#dispatch(type, body);
  }

  #count(total: ByteCounts): void {
    const since = { in: total.in - this.#moved.in, out: total.out - this.#moved.out };
    this.#moved = total;
    this.#handlers.moved(since);
  }

  #opened(body: Buffer): void {
    const link = new RelayConnection(body.readUInt32LE(), body.subarray(4), {
      send: (type, bytes) => this.#send(type, bytes),
      take: (id, closed) =>
        this.#streams.take(id, closed, () => this.#send(RELAY_FRAME.INTERCEPT, numbered(id))),
    });
    this.#links.set(body.readUInt32LE(), link);
    this.#handlers.connection(link);
  }

  #dispatch(type: number, body: Buffer): void {
    const id = body.readUInt32LE();
    const link = this.#links.get(id);
    if (type === RELAY_FRAME.SNIFFED) link?.sent(body.subarray(4));
    else if (type === RELAY_FRAME.CONNECTED) link?.dialled(errorCode(body.readUInt32LE(4)));
    else if (type === RELAY_FRAME.CLOSED) {
      this.#links.delete(id);
      link?.over(movedAt(body, 4));
    }
  }

  #query(body: Buffer): void {
    if (this.#answering >= MAX_QUERIES) return;
    this.#answering++;
    const head = body.subarray(0, QUERY_HEAD);
    this.#handlers
      .query(body.subarray(QUERY_HEAD))
      .then((answer) => answer !== null && this.#send(RELAY_FRAME.DNS_ANSWER, Buffer.concat([head, answer])))
      // No answer: to the program it looks like a resolver that is down.
      .catch(() => undefined)
      .finally(() => {
        this.#answering--;
      });
  }
}

function movedAt(body: Buffer, at: number): ByteCounts {
  return { in: Number(body.readBigUInt64LE(at)), out: Number(body.readBigUInt64LE(at + 8)) };
}
