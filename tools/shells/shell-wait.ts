import type { Terminal } from '../../src/registry/types.ts';
import { withTimeout } from '../../src/shared/async/with-timeout.ts';
import { throwIfCancelled } from '../../src/shared/errors.ts';

/** Busy programs print more often than this. */
const QUIET_MS = 250;
/**
 * On a full-screen program's screen, text that was already there cannot be told from text repainted; after
 * this long without output it counts.
 */
const PAINTED_MS = 1_500;

export interface ShellWait {
  /** Text to wait for; null waits until output stops for a moment. */
  waitFor: string | null;
  /** The longest wait, in milliseconds. */
  waitMs: number;
  /**
   * How long a program may take to react, or to put text on a blank screen, before its silence counts as the
   * end of its output.
   */
  reactionMs: number;
}

/** The state before something was typed: only later output counts. */
export interface Before {
  position: number;
  changes: number;
  /** Occurrences of the awaited text on the screen. */
  shown: number;
  /** Occurrences of it in the typed text, which the terminal echoes. Full-screen programs do not echo. */
  echoed: number;
  /** Whether a full-screen program was using the alternate screen. */
  alternateScreen: boolean;
}

/** The state just before `text` is typed. */
export function screenBefore(terminal: Terminal, text: string, waitFor: string | null): Before {
  const screen = terminal.view();
  return {
    position: terminal.position,
    changes: terminal.changes,
    shown: waitFor === null ? 0 : occurrences(screen.text, waitFor),
    echoed: waitFor === null || screen.alternateScreen ? 0 : occurrences(text, waitFor),
    alternateScreen: screen.alternateScreen,
  };
}

/**
 * Waits for the text, or for output to stop on a screen that is painted. With `since` null, text already on
 * the screen counts. Also ends when the program exits or `waitMs` is over.
 */
export async function waitForScreen(
  terminal: Terminal,
  wait: ShellWait,
  since: Before | null,
  signal: AbortSignal,
): Promise<void> {
  const { waitFor } = wait;
  await withTimeout(wait.waitMs, signal, (limited) =>
    waitFor === null
      ? untilQuiet(terminal, since?.changes ?? terminal.changes, wait.reactionMs, limited)
      : untilShown(terminal, waitFor, since, limited),
  );
}

async function untilShown(
  terminal: Terminal,
  waitFor: string,
  since: Before | null,
  signal: AbortSignal,
): Promise<void> {
  const start = since ?? { shown: 0, echoed: 0, alternateScreen: false };
  let { shown } = start;
  for (;;) {
    const { changes } = terminal;
    if (terminal.exit !== null) return;
    if (since !== null && occurrences(terminal.outputSince(since.position), waitFor) > start.echoed) return;
    const { text, alternateScreen } = terminal.view();
    const count = occurrences(text, waitFor);
    const isSame = alternateScreen === start.alternateScreen;
    // After a clear, the text counts when it appears again.
    if (isSame) shown = Math.min(shown, count);
    if (isSame && count > shown + start.echoed) return;
    // A new alternate screen contains neither earlier text nor the echo.
    if (!isSame && alternateScreen && count > 0) return;
    const isPainted = alternateScreen || start.alternateScreen;
    const maySuffice = since !== null && isPainted && count > 0 && changes !== since.changes;
    if (maySuffice)
      await withTimeout(PAINTED_MS, signal, (limited) => terminal.waitForChange(changes, limited));
    else await terminal.waitForChange(changes, signal);
    throwIfCancelled(signal);
    if (maySuffice && terminal.changes === changes) return;
  }
}

async function untilQuiet(
  terminal: Terminal,
  changes: number,
  reactionMs: number,
  signal: AbortSignal,
): Promise<void> {
  const until = performance.now() + reactionMs;
  let seen = changes;
  await withTimeout(reactionMs, signal, (limited) => terminal.waitForChange(seen, limited));
  do {
    throwIfCancelled(signal);
    seen = terminal.changes;
    const wait = (limited: AbortSignal) => terminal.waitForChange(seen, limited);
    if (willPaint(terminal)) await wait(signal);
    else {
      const reaction = terminal.isBlank ? until - performance.now() : 0;
      await withTimeout(Math.max(QUIET_MS, reaction), signal, wait);
    }
  } while (terminal.exit === null && terminal.changes !== seen);
}

/**
 * A full-screen program has taken over the screen and has not painted it yet: editors load their files first.
 */
function willPaint(terminal: Terminal): boolean {
  return terminal.exit === null && terminal.isBlank && terminal.view().alternateScreen;
}

function occurrences(text: string, part: string): number {
  return text.split(part).length - 1;
}
