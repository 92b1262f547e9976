import type { Shell, ShellExit } from '../engines/engine.ts';
import { CombiningLimit } from '../shared/combining-limit.ts';
import { SandboxError } from '../shared/errors.ts';
import { type ScreenView, TerminalScreen } from '../shared/terminal-screen.ts';
import { TerminalTranscript } from '../shared/terminal-transcript.ts';

/** Bytes on their way to a program that does not read its input. */
const MAX_UNREAD_INPUT = 1_048_576;
/** Emulating costs this process's time: a flood is slowed down, as any terminal slows its program. */
const WINDOW_MS = 100;
const WINDOW_BYTES = 204_800;

/** A shell of the engine with the screen that it writes on. The one reader of its output. */
export class ShellTerminal {
  readonly #shell: Shell;
  readonly #screen: TerminalScreen;
  readonly #transcript = new TerminalTranscript();
  readonly #combining = new CombiningLimit();
  readonly #listeners = new Set<() => void>();
  #unreadInput = 0;
  #chunks = 0;
  #exit: ShellExit | null = null;
  /** Resolves when the program has ended and its last output is on the screen. */
  readonly done: Promise<ShellExit>;

  constructor(shell: Shell, cols: number, rows: number) {
    this.#shell = shell;
    this.#screen = new TerminalScreen(cols, rows, (answer) => this.#write(Buffer.from(answer, 'latin1')));
    this.done = this.#follow();
  }

  /** Null while it runs. */
  get exit(): ShellExit | null {
    return this.#exit;
  }

  /** Grows with whatever is written, on either screen. */
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

  view(): ScreenView {
    return this.#screen.view();
  }

  /** Readable output since a position. */
  outputSince(position: number): string {
    return this.#transcript.since(position);
  }

  /** Readable output since the last call. */
  takeOutput(): string {
    return this.#transcript.take();
  }

  /** @throws `conflict` where the program has left too much of its input unread */
  type(text: string): void {
    if (this.#write(Buffer.from(text))) return;
    throw new SandboxError('conflict', 'The program in the terminal does not read what is typed.', {
      hint: 'Call shell_send with keys ["ctrl-c"], or shell_close and sandbox_shell for a new terminal.',
    });
  }

  async resize(cols: number, rows: number): Promise<void> {
    // Emulator first: the program paints anew as soon as it hears of it.
    this.#screen.resize(cols, rows);
    await this.#shell.resize(cols, rows);
  }

  /** Resolves once `changes` is past this number, at the end, or when the signal fires. */
  news(changes: number, signal: AbortSignal): Promise<void> {
    if (this.#chunks !== changes || this.#exit !== null || signal.aborted) return Promise.resolve();
    return new Promise((resolve) => {
      const done = (): void => {
        this.#listeners.delete(done);
        signal.removeEventListener('abort', done);
        resolve();
      };
      this.#listeners.add(done);
      signal.addEventListener('abort', done, { once: true });
    });
  }

  /** Ends the program and everything it started. */
  async close(): Promise<ShellExit> {
    await this.#shell.close();
    return this.done;
  }

  dispose(): void {
    this.#screen.dispose();
  }

  /** False where it was dropped: what a program asks for and does not read must not pile up here. */
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
    let windowEnds = 0;
    let bytes = 0;
    for await (const chunk of this.#shell.output) {
      const text = this.#combining.pass(decoder.decode(chunk, { stream: true }));
      this.#transcript.add(text);
      await this.#screen.write(text);
      this.#tell();
      if (Date.now() >= windowEnds) {
        windowEnds = Date.now() + WINDOW_MS;
        bytes = 0;
      }
      bytes += chunk.length;
      if (bytes > WINDOW_BYTES) await pause(windowEnds - Date.now());
    }
    this.#exit = await this.#shell.exit;
    this.#tell();
    return this.#exit;
  }

  #tell(): void {
    this.#chunks += 1;
    for (const listener of [...this.#listeners]) listener();
  }
}

function pause(ms: number): Promise<void> {
  return new Promise((resolve) => setTimeout(resolve, ms));
}
