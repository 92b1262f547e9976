/**
 * Drives the agent's `unpack` (agent/host/unpack.c), which creates a tree with the owners that sandboxes see.
 */
import type { Writable } from 'node:stream';
import { SandboxError } from '../shared/errors.ts';

/**
 * One operation on the tree. Paths are relative to its root, without `..`, with one character per byte
 * (latin1).
 */
export interface TreeStep {
  /**
   * `times` sets the times of a directory that is complete; `clear` empties a directory; `shared` links a file of the
   * layers, with `link` as its path there, and `copied` copies it.
   */
  kind: 'file' | 'shared' | 'copied' | 'directory' | 'times' | 'symlink' | 'hardlink' | 'remove' | 'clear';
  path: string;
  mode?: number;
  uid?: number;
  gid?: number;
  /** Seconds since the epoch. */
  mtime?: number;
  /** Exact size of a file's content in bytes. */
  size?: number;
  /** Target of a link, as bytes like `path`. */
  link?: string;
}

/** A running `unpack`. */
export interface UnpackProcess {
  readonly stdin: Writable;
  /** Its output, once it has exited. */
  readonly ended: Promise<{ exitCode: number | null; output: string; errors: string }>;
  kill(): void;
}

const KINDS = {
  file: 'f',
  shared: 's',
  copied: 'p',
  directory: 'd',
  times: 't',
  symlink: 'l',
  hardlink: 'h',
  remove: 'r',
  clear: 'c',
  end: 'e',
};
const HEADER_BYTES = 40;
const MAX_PATH_BYTES = 4_095;
/** Entries are written together: a write costs more than a small file does. */
const BATCH_BYTES = 131_072;
/** Longer content is written as it is instead of copied. */
const MAX_COPIED_BYTES = 16_384;

/** The bytes of an entry before its content. */
function encode(kind: keyof typeof KINDS, step: Omit<TreeStep, 'kind'>): Buffer {
  const { path, link = '' } = step;
  const bytes = Buffer.allocUnsafe(HEADER_BYTES + path.length + link.length);
  // Some of it is padding.
  bytes.fill(0, 0, HEADER_BYTES);
  bytes.write(KINDS[kind], 0, 'latin1');
  bytes.writeUInt32LE(step.mode ?? 0o644, 4);
  bytes.writeUInt32LE(step.uid ?? 0, 8);
  bytes.writeUInt32LE(step.gid ?? 0, 12);
  bytes.writeBigInt64LE(BigInt(Math.trunc(step.mtime ?? 0)), 16);
  bytes.writeBigUInt64LE(BigInt(step.size ?? 0), 24);
  bytes.writeUInt32LE(path.length, 32);
  bytes.writeUInt32LE(link.length, 36);
  bytes.write(path, HEADER_BYTES, 'latin1');
  bytes.write(link, HEADER_BYTES + path.length, 'latin1');
  return bytes;
}

/** True if the kernel accepts this as a path or link target, with one character per byte. */
export function isUsablePath(path: string): boolean {
  return path.length <= MAX_PATH_BYTES && !path.includes('\0');
}

/** Fills one tree. Must be closed, also after an error. */
export class Unpacker {
  readonly #process: UnpackProcess;
  #sizeBytes = 0;
  /** What has not been written yet. */
  #batch = Buffer.allocUnsafe(BATCH_BYTES);
  #batched = 0;
  /**
   * Set while a write waits. One listener serves all writes: racing a promise per write would leak memory.
   */
  #wake = (): void => {};
  #hasEnded = false;

  constructor(process: UnpackProcess) {
    this.#process = process;
    const { stdin, ended } = process;
    // A child that exited reports the reason itself; the broken pipe is only a symptom.
    stdin.on('error', () => {});
    for (const event of ['drain', 'close']) stdin.on(event, () => this.#wake());
    const end = (): void => {
      this.#hasEnded = true;
      this.#wake();
    };
    ended.then(end, end);
  }

  /** Bytes of all files so far. */
  get sizeBytes(): number {
    return this.#sizeBytes;
  }

  /**
   * Adds an entry, now or together with later ones.
   * @throws `unavailable` if an entry could not be made, this one or one before
   */
  async step(
    step: TreeStep,
    content: AsyncIterable<Uint8Array> | Iterable<Uint8Array> | null = null,
  ): Promise<void> {
    await this.#add(encode(step.kind, step));
    const isFile = ['file', 'shared', 'copied'].includes(step.kind);
    this.#sizeBytes += isFile ? (step.size ?? 0) : 0;
    let left = step.kind === 'file' ? (step.size ?? 0) : 0;
    if (content !== null) {
      for await (const chunk of content) {
        left -= chunk.length;
        if (left < 0) throw new Error(`${step.path} has more content than its header declares`);
        await this.#add(chunk);
      }
    }
    if (left > 0) throw new Error(`${step.path} has less content than its header declares`);
  }

  /** Adds a small file, modified now. */
  async file(path: string, text: string, mode = 0o644): Promise<void> {
    const bytes = Buffer.from(text);
    const mtime = Math.floor(Date.now() / 1_000);
    await this.step({ kind: 'file', path, mode, mtime, size: bytes.length }, [bytes]);
  }

  /** Ends the tree; all of it is on disk then. Returns how many entries could not be given their owner. */
  async finish(): Promise<number> {
    await this.#add(encode('end', { path: '' }));
    await this.#flush();
    const { exitCode, output, errors } = await this.#process.ended;
    if (exitCode !== 0) throw failure(errors);
    return Number(output.trim());
  }

  /** Kills the process if it is still running. */
  async close(): Promise<void> {
    this.#process.kill();
    await this.#process.ended;
  }

  async #add(bytes: Uint8Array): Promise<void> {
    if (bytes.length > BATCH_BYTES - this.#batched || bytes.length > MAX_COPIED_BYTES) await this.#flush();
    if (bytes.length > MAX_COPIED_BYTES) return this.#write(bytes);
    this.#batch.set(bytes, this.#batched);
    this.#batched += bytes.length;
  }

  async #flush(): Promise<void> {
    if (this.#batched === 0) return;
    const bytes = this.#batch.subarray(0, this.#batched);
    // The process may read it later.
    this.#batch = Buffer.allocUnsafe(BATCH_BYTES);
    this.#batched = 0;
    await this.#write(bytes);
  }

  async #write(bytes: Uint8Array): Promise<void> {
    const { stdin, ended } = this.#process;
    if (!stdin.destroyed && stdin.write(bytes)) return;
    if (!stdin.destroyed && !this.#hasEnded) await new Promise<void>((resolve) => (this.#wake = resolve));
    // If the pipe breaks or stays full, the child has already reported why.
    if (stdin.destroyed || stdin.writableNeedDrain) throw failure((await ended).errors);
  }
}

/** Parses the agent's message, `path: reason`: the path is the archive's, the reason the kernel's. */
function failure(errors: string): SandboxError {
  const reason = errors.trim().slice(0, 500) || 'the unpacking process was killed';
  return new SandboxError('unavailable', `The files could not be written: ${reason}`, {
    hint: 'Check the free space of the state directory, and run `sandbox-mcp doctor` to check this machine.',
  });
}
