import type { Shell, ShellExit } from '../../engines/engine.ts';
import { onAbort } from '../../shared/async/on-abort.ts';
import { SandboxError } from '../../shared/errors.ts';
import { CombiningLimit } from '../../shared/text/combining-limit.ts';
import { ControlLimit } from '../../shared/text/control-limit.ts';
import { type ScreenView, TerminalScreen } from '../../shared/text/terminal-screen.ts';
import { TerminalTranscript } from '../../shared/text/terminal-transcript.ts';

/** Limit in bytes of pending input for a program that does not read it. */
const MAX_UNREAD_INPUT = 1_048_576;
/** Emulating uses this process's CPU time: after a slice of work it pauses for several times as long. */
const TURN_MS = 20;
const PAUSES = 4;
const WINDOW_MS = 100;
/** Characters per slice: fewer when they are expensive, so that other work runs in between. */
const MIN_PIECE = 64;
const MAX_PIECE = 16_384;

/** A shell of the engine with its emulated screen. It is the only reader of the shell's output. */
export class ShellTerminal {
  readonly #shell: Shell;
  readonly #screen: TerminalScreen;
  readonly #transcript = new TerminalTranscript();
  readonly #combining = new CombiningLimit();
  readonly #controls = new ControlLimit();
  readonly #listeners = new Set<() => void>();
  #unreadInput = 0;
  #piece = MIN_PIECE;
  #busyMs = 0;
  #busySince = 0;
  #chunks = 0;
  #exit: ShellExit | null = null;
  /** Resolves when the program has ended and its last output is on the screen. */
  readonly done: Promise<ShellExit>;

  constructor(shell: Shell, cols: number, rows: number) {
    this.#shell = shell;
    this.#screen = new TerminalScreen(cols, rows, (answer) => this.#write(Buffer.from(answer, 'latin1')));
    this.done = this.#follow();
  }

  /** Null while the program runs. */
  get exit(): ShellExit | null {
    return this.#exit;
  }

  /** Increases with every write to either screen. */
  get changes(): number {
    return this.#chunks;
  }

  /** The transcript's length, for `outputSince`. */
  get position(): number {
    return this.#transcript.total;
  }

  get applicationCursor(): boolean {
    return this.#screen.applicationCursor;
  }

  get isBlank(): boolean {
    return this.#screen.isBlank;
  }

  view(): ScreenView {
    return this.#screen.view();
  }

  /** Readable output since a position of the transcript. */
  outputSince(position: number): string {
    return this.#transcript.since(position);
  }

  /** Readable output since the last call. */
  takeOutput(): string {
    return this.#transcript.take();
  }

  /** @throws `conflict` if too much of the program's input is still unread */
  type(text: string): void {
    if (this.#write(Buffer.from(text))) return;
    throw new SandboxError('conflict', 'The program in the terminal is not reading its input.', {
      hint: 'Call shell_send with keys ["ctrl-c"], or shell_close and sandbox_shell for a new terminal.',
    });
  }

  async resize(cols: number, rows: number): Promise<void> {
    // Resize the emulator first: the program repaints as soon as it is notified.
    this.#screen.resize(cols, rows);
    await this.#shell.resize(cols, rows);
  }

  /** Resolves once `changes` is past this number, when the program ends, or when the signal fires. */
  waitForChange(changes: number, signal: AbortSignal): Promise<void> {
    if (this.#chunks !== changes || this.#exit !== null || signal.aborted) return Promise.resolve();
    return new Promise((resolve) => {
      const done = (): void => {
        this.#listeners.delete(done);
        release();
        resolve();
      };
      this.#listeners.add(done);
      const release = onAbort(signal, done);
    });
  }

  /** Ends the program and all processes it started. */
  async close(): Promise<ShellExit> {
    await this.#shell.close();
    return this.done;
  }

  dispose(): void {
    this.#screen.dispose();
  }

  /**
   * False if the bytes were dropped: replies that the program requests and does not read must not accumulate
   * here.
   */
  #write(data: Buffer): boolean {
    if (this.#unreadInput + data.length > MAX_UNREAD_INPUT) return false;
    this.#unreadInput += data.length;
    void this.#shell.write(data).finally(() => {
      this.#unreadInput -= data.length;
    });
    return true;
  }

  async #follow(): Promise<ShellExit> {
    const decoder = new TextDecoder('utf-8', { ignoreBOM: true });
    for await (const chunk of this.#shell.output) {
      const text = this.#combining.pass(decoder.decode(chunk, { stream: true }));
      await this.#show(this.#controls.pass(text, this.#screen.rows));
      this.#transcript.add(text);
      this.#notify();
    }
    this.#exit = await this.#shell.exit;
    this.#notify();
    return this.#exit;
  }

  async #show(text: string): Promise<void> {
    for (let at = 0; at < text.length; ) {
      const piece = text.slice(at, at + this.#piece);
      at += piece.length;
      const started = performance.now();
      if (started - this.#busySince > WINDOW_MS) {
        this.#busySince = started;
        this.#busyMs = 0;
      }
      await this.#screen.write(piece);
      const took = performance.now() - started;
      this.#piece =
        took > TURN_MS ? Math.max(MIN_PIECE, this.#piece / 4) : Math.min(MAX_PIECE, this.#piece * 4);
      this.#busyMs += took;
      if (this.#busyMs < TURN_MS) continue;
      await pause(this.#busyMs * PAUSES);
      this.#busyMs = 0;
    }
  }

  #notify(): void {
    this.#chunks += 1;
    for (const listener of [...this.#listeners]) listener();
  }
}

function pause(ms: number): Promise<void> {
  return new Promise((resolve) => setTimeout(resolve, ms));
}
