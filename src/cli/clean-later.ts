/** The clean-up that a server starts for what it cannot finish before it has to exit. */
import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { Socket } from 'node:net';
import { completesWithin, systemClock } from '../shared/clock.ts';
import type { Logger } from '../shared/log.ts';

/** A server has ended 2 s after its client; a clean-up has 10 s in all. */
const SERVER_END_MS = 3_000;

let isCleaning = false;

/**
 * `sandbox-mcp clean` with the settings of this server, in a process of its own that needs nobody to wait for
 * it. It begins when this process has ended, which may still be working on what it left.
 */
export function startClean(log: Logger): void {
  // It finds what all sessions left. Over HTTP many may end at once, and regular recoveries find the rest.
  if (isCleaning) return;
  isCleaning = true;
  const [, program = ''] = process.argv;
  const args = [...process.execArgv, program, ...process.argv.slice(2), 'clean', '--after-input'];
  const child = spawn(process.execPath, args, { detached: true, stdio: ['pipe', 'ignore', 'ignore'] });
  child
    .on('error', (error) => {
      isCleaning = false;
      log.error({ err: error }, 'Could not start the clean-up; the next start does it.');
    })
    .once('close', () => {
      isCleaning = false;
    })
    .unref();
  // The end of this process closes it. Nothing is written, and it does not keep this process alive.
  // Without descriptors to spare there is none; the error above says so.
  child.stdin?.on('error', () => {});
  if (child.stdin instanceof Socket) child.stdin.unref();
}

/** Resolves when standard input ends, or after a while: over HTTP, a server lives on when a session ends. */
export async function endOfInput(): Promise<void> {
  const closed = once(process.stdin.resume(), 'close').catch(() => undefined);
  await completesWithin(systemClock, SERVER_END_MS, closed);
}
