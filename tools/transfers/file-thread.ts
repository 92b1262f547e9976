/**
 * Reads and writes small files by synchronous calls on a worker thread: a promise for each step of each file
 * takes many times as long as the step, and a file system that does not answer must not stop the server.
 */
import { Worker } from 'node:worker_threads';

/** Larger files are left to the caller. */
export const SMALL_BYTES = 65_536;
/** The memory for the contents of one `read`; files beyond it are left to the caller. */
const READ_BYTES = 1_048_576;
/** Numbers in a reply for each file: its index, mode, modification time and length. */
const FACTS = 4;

/** Messages are requests (see `Request`), answered in order; files are opened with the flags that they name. */
const PROGRAM = `
const fs = require('node:fs');
const { parentPort, workerData } = require('node:worker_threads');
const { smallBytes, readBytes } = workerData;
const zeros = Buffer.alloc(smallBytes);
const contents = Buffer.allocUnsafe(readBytes);

function readInto(at, path, flags) {
  const listed = fs.lstatSync(path);
  if (!listed.isFile() || listed.size > smallBytes) return null;
  const fd = fs.openSync(path, flags);
  try {
    const { size, mode, mtimeMs } = fs.fstatSync(fd);
    if ((mode & fs.constants.S_IFMT) !== fs.constants.S_IFREG || at + size >= readBytes) return null;
    // One byte more than its size: a file that has grown is left to the caller.
    const length = fs.readSync(fd, contents, at, size + 1, 0);
    return length > size ? null : [mode, mtimeMs, length];
  } finally {
    fs.closeSync(fd);
  }
}

function read({ paths, flags }) {
  const facts = [];
  let at = 0;
  for (const [index, path] of paths.entries()) {
    try {
      const found = readInto(at, path, flags);
      if (found === null) continue;
      facts.push(index, ...found);
      at += found[2];
    } catch {
      // The caller tries again, and gets the error.
    }
  }
  const reply = { facts: Float64Array.from(facts), bytes: new Uint8Array(contents.subarray(0, at)) };
  parentPort.postMessage(reply, [reply.facts.buffer, reply.bytes.buffer]);
}

function writeWhole(fd, piece) {
  // As a hole: a sparse file of the sandbox must not fill the disk here.
  if (zeros.compare(piece, 0, piece.length, 0, piece.length) === 0) return fs.ftruncateSync(fd, piece.length);
  for (let at = 0; at < piece.length; ) at += fs.writeSync(fd, piece, at, piece.length - at, at);
}

function write({ paths, flags, facts, bytes }) {
  let at = 0;
  for (const [index, path] of paths.entries()) {
    const [mode, mtimeMs, length] = facts.subarray(index * 3, index * 3 + 3);
    const fd = fs.openSync(path, flags, mode);
    try {
      writeWhole(fd, bytes.subarray(at, at + length));
      if (!Number.isNaN(mtimeMs)) fs.futimesSync(fd, mtimeMs / 1000, mtimeMs / 1000);
    } finally {
      fs.closeSync(fd);
    }
    at += length;
  }
  parentPort.postMessage({});
}

parentPort.on('message', (request) => {
  try {
    if (request.bytes === undefined) read(request);
    else write(request);
  } catch ({ code, message }) {
    parentPort.postMessage({ failure: { code, message } });
  }
});
`;

export interface SmallFile {
  /** Of a file that was read, with its type. */
  readonly mode: number;
  /** Milliseconds since 1970; undefined for the time of writing. */
  readonly mtimeMs: number | undefined;
  readonly content: Buffer;
}

interface Request {
  paths: readonly string[];
  flags: number;
  /** Of files to write: the mode, the modification time or NaN, and the length of each. */
  facts?: Float64Array;
  /** Their contents, one after the other. */
  bytes?: Uint8Array;
}

interface Reply {
  failure?: { code: string; message: string };
  facts?: Float64Array;
  bytes?: Uint8Array;
}

interface Waiting {
  resolve(reply: Reply): void;
  reject(error: unknown): void;
}

/** Starts with the first request. Close it after use. */
export class FileThread {
  #worker: Worker | null = null;
  #failure: { error: unknown } | null = null;
  readonly #waiting: Waiting[] = [];

  /**
   * Reads regular files of at most 64 KiB each. Anything else, and what cannot be read, is missing in the
   * result.
   * @param flags with which each is opened, of open(2)
   * @returns files by the index of their paths
   */
  async read(paths: readonly string[], flags: number): Promise<Map<number, SmallFile>> {
    // Without a thread, as on a machine that can start no more of them, all files are left to the caller.
    const { facts, bytes } = await this.#request({ paths, flags }, []).catch((): Reply => ({}));
    const files = new Map<number, SmallFile>();
    if (facts === undefined || bytes === undefined) return files;
    const all = Buffer.from(bytes.buffer, bytes.byteOffset, bytes.length);
    let at = 0;
    for (let from = 0; from < facts.length; from += FACTS) {
      const [index = 0, mode = 0, mtimeMs = 0, length = 0] = facts.subarray(from, from + FACTS);
      files.set(index, { mode, mtimeMs, content: all.subarray(at, at + length) });
      at += length;
    }
    return files;
  }

  /**
   * Creates files of at most 64 KiB each, in this order.
   * @param flags with which each is created, of open(2)
   * @throws the system's error for the first file that cannot be written
   */
  async write(files: readonly (SmallFile & { path: string })[], flags: number): Promise<void> {
    const bytes = new Uint8Array(files.reduce((sum, { content }) => sum + content.length, 0));
    const facts = new Float64Array(files.length * (FACTS - 1));
    let at = 0;
    for (const [index, { mode, mtimeMs, content }] of files.entries()) {
      bytes.set(content, at);
      facts.set([mode, mtimeMs ?? Number.NaN, content.length], index * (FACTS - 1));
      at += content.length;
    }
    const request: Request = { paths: files.map(({ path }) => path), flags, facts, bytes };
    const { failure } = await this.#request(request, [facts.buffer, bytes.buffer]);
    if (failure !== undefined) throw Object.assign(new Error(failure.message), { code: failure.code });
  }

  /** Ends the thread; what it has not answered is rejected. */
  async close(): Promise<void> {
    await this.#worker?.terminate();
  }

  #request(request: Request, transferred: ArrayBuffer[]): Promise<Reply> {
    return new Promise<Reply>((resolve, reject) => {
      if (this.#failure !== null) return reject(this.#failure.error);
      this.#worker ??= this.#start();
      this.#waiting.push({ resolve, reject });
      this.#worker.postMessage(request, transferred);
    });
  }

  #start(): Worker {
    const workerData = { smallBytes: SMALL_BYTES, readBytes: READ_BYTES };
    // The thread needs neither this process's flags nor its environment.
    const worker = new Worker(PROGRAM, { eval: true, execArgv: [], env: {}, workerData });
    worker.on('message', (reply: Reply) => this.#waiting.shift()?.resolve(reply));
    worker.on('error', (error) => this.#fail(error));
    worker.on('exit', () => this.#fail(new Error('the thread for files has exited')));
    return worker;
  }

  #fail(error: unknown): void {
    this.#failure ??= { error };
    for (const { reject } of this.#waiting.splice(0)) reject(error);
  }
}
