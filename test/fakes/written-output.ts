import type {
  Command,
  OutputChunk,
  OutputSlice,
  OutputStream,
  ReadOutput,
} from '../../src/engines/engine.ts';
import { readLogs } from '../../src/registry/logs/read-logs.ts';
import type { CommandHandle } from '../../src/registry/types.ts';
import { throwIfCancelled } from '../../src/shared/errors.ts';

interface Written {
  stream: OutputStream;
  data: Buffer;
  lost: boolean;
}

/** What was written to one stream or to both, with where each piece starts. */
class Pieces {
  readonly #pieces: (Written & { start: number })[] = [];
  totalBytes = 0;

  add(written: Written): void {
    this.#pieces.push({ ...written, start: this.totalBytes });
    this.totalBytes += written.data.length;
  }

  /** Those that end after `from`, found by bisection: a test may write tens of thousands. */
  *after(from: number): Generator<Written & { start: number }> {
    let [low, high] = [0, this.#pieces.length];
    while (low < high) {
      const middle = (low + high) >> 1;
      const { start = 0, data = Buffer.alloc(0) } = this.#pieces[middle] ?? {};
      if (start + data.length <= from) low = middle + 1;
      else high = middle;
    }
    for (let at = low; at < this.#pieces.length; at++) {
      const piece = this.#pieces[at];
      if (piece !== undefined) yield piece;
    }
  }
}

/** The captured output of one stand-in command, written by the test; runs until the test says otherwise. */
export class WrittenOutput {
  readonly commandId = 'cmd_222222222222_abcdefgh';
  readonly #written = { stdout: new Pieces(), stderr: new Pieces(), both: new Pieces() };
  readonly #changed = new EventTarget();
  #finished = false;
  #leftBehind = false;

  write(stream: OutputStream, data: string | Buffer): this {
    this.#add({ stream, data: Buffer.from(data), lost: false });
    this.#changed.dispatchEvent(new Event('change'));
    return this;
  }

  /** Output that the bounded log has dropped. */
  lose(stream: OutputStream, bytes: number): this {
    this.#add({ stream, data: Buffer.alloc(bytes), lost: true });
    return this;
  }

  /**
   * @param leftBehind whether processes that it started still run; call again without it once they are gone
   */
  finish({ leftBehind = false } = {}): this {
    this.#finished = true;
    this.#leftBehind = leftBehind;
    this.#changed.dispatchEvent(new Event('change'));
    return this;
  }

  get command(): Command {
    return {
      commandId: this.commandId,
      sandboxId: 'sbx_222222222222',
      cmd: 'program',
      args: [],
      cwd: '/vercel/sandbox',
      status: this.#finished ? 'finished' : 'running',
      exitCode: this.#finished ? 0 : null,
      signal: null,
      endedBy: this.#finished ? 'exit' : null,
      startedAt: 1_000,
      durationMs: 5,
      stdoutBytes: this.#total('stdout'),
      stderrBytes: this.#total('stderr'),
      ...(this.#finished && { hasLiveProcesses: this.#leftBehind }),
    };
  }

  get handle(): CommandHandle {
    const handle: CommandHandle = {
      commandId: this.commandId,
      get sandbox(): never {
        throw new Error('the stand-in command has no sandbox');
      },
      get: async () => this.command,
      wait: (signal) => this.#until(() => this.#finished, signal),
      kill: async () => this.command,
      output: async (request) => this.#read(request),
      waitForOutput: (totalBytes, signal) =>
        this.#until(() => this.#finished || this.#total('both') > totalBytes, signal),
      logs: (request, signal) => readLogs(handle, request, signal),
      countLines: async () => null,
      addWaiter: () => () => {},
    };
    return handle;
  }

  #add(written: Written): void {
    this.#written.both.add(written);
    this.#written[written.stream].add(written);
  }

  #total(stream: ReadOutput['stream']): number {
    return this.#written[stream].totalBytes;
  }

  #read({ stream, offset, limit }: ReadOutput): OutputSlice {
    const totalBytes = this.#total(stream);
    const from = offset < 0 ? Math.max(0, totalBytes + offset) : offset;
    const chunks: OutputChunk[] = [];
    let room = limit;
    let nextOffset = from;
    let droppedBytes = 0;
    for (const written of this.#written[stream].after(from)) {
      const start = Math.max(from, written.start);
      const held = written.data.subarray(start - written.start);
      if (room === 0) break;
      if (written.lost) {
        droppedBytes += held.length;
        nextOffset = written.start + written.data.length;
        continue;
      }
      const data = held.subarray(0, room);
      chunks.push({ stream: written.stream, offset: start, data });
      room -= data.length;
      nextOffset = start + data.length;
    }
    return { chunks, nextOffset, totalBytes, droppedBytes };
  }

  async #until(done: () => boolean, signal: AbortSignal): Promise<Command> {
    while (!done()) {
      throwIfCancelled(signal);
      await new Promise<void>((resolve) => {
        this.#changed.addEventListener('change', () => resolve(), { once: true });
        signal.addEventListener('abort', () => resolve(), { once: true });
      });
      throwIfCancelled(signal);
    }
    return this.command;
  }
}
