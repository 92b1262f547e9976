import type { Terminal } from '../../src/registry/types.ts';
import { throwIfCancelled } from '../../src/shared/errors.ts';
import { withTimeout } from '../common/with-timeout.ts';

/** Programs that are still busy pause for less while they write. */
const QUIET_MS = 250;
/** On a screen that programs paint, a text that was there before cannot be told from one painted anew: quiet for so long, it will do. */
const PAINTED_MS = 1_500;

export interface ShellWait {
  /** A text to wait for; null waits until nothing more is written for a moment. */
  waitFor: string | null;
  /** At most this long. */
  waitMs: number;
  /** How long a program may take to react at all before its silence counts as quiet. */
  reactionMs: number;
}

/** What was there before something was typed: only what comes after it is waited for. */
export interface Before {
  position: number;
  changes: number;
  /** How often the awaited text was on the screen. */
  shown: number;
  /** How often it is in what is typed, and so in the echo of a line. Full-screen programs show it as theirs. */
  echoed: number;
  /** Whether a full-screen program had a screen of its own. */
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

/** Waits as asked, a mere look (`since` null) being content with what is there; the program's end, and time that is up, end the wait as well. */
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
    // What has been cleared comes anew.
    if (isSame) shown = Math.min(shown, count);
    if (isSame && count > shown + start.echoed) return;
    // A program's own screen that has just come shows neither what was there before nor the echo.
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
  let seen = changes;
  await withTimeout(reactionMs, signal, (limited) => terminal.waitForChange(seen, limited));
  do {
    throwIfCancelled(signal);
    seen = terminal.changes;
    await withTimeout(QUIET_MS, signal, (limited) => terminal.waitForChange(seen, limited));
  } while (terminal.exit === null && terminal.changes !== seen);
}

function occurrences(text: string, part: string): number {
  return text.split(part).length - 1;
}
