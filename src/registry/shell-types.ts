/** Terminals of a session, as the tools see them. Types only. */
import type { ShellExit } from '../engines/engine.ts';
import type { ScreenView } from '../shared/text/terminal-screen.ts';

export interface ShellRequest {
  /** Program and arguments. */
  command: string[];
  cwd: string | null;
  env: Record<string, string>;
  sudo: boolean;
  cols: number;
  rows: number;
}

/** The screen of a shell and its input. */
export interface Terminal {
  /** Null while the program runs. */
  readonly exit: ShellExit | null;
  /** Increases with every write. */
  readonly changes: number;
  /** The current position in the output, for `outputSince`. */
  readonly position: number;
  /** True while the program expects arrow keys in application mode. */
  readonly applicationCursor: boolean;
  /** True if the screen has no text, as before a program has painted it. */
  readonly isBlank: boolean;
  view(): ScreenView;
  outputSince(position: number): string;
  /** Readable output since the last call. */
  takeOutput(): string;
  /** @throws `conflict` if too much of the program's input is still unread */
  type(text: string): void;
  resize(cols: number, rows: number): Promise<void>;
  /** Resolves once `changes` is past this number, when the program ends, or when the signal fires. */
  waitForChange(changes: number, signal: AbortSignal): Promise<void>;
}

export interface ShellInfo {
  shellId: string;
  sandboxId: string;
  command: string[];
  openedAt: number;
}

/** A shell that this session opened. */
export interface ShellHandle {
  readonly shellId: string;
  readonly sandboxId: string;
  readonly terminal: Terminal;
  /** Ends the shell and all processes it started. Its last screen can be read until it is forgotten. */
  end(): Promise<void>;
  forget(): void;
}
