import type { Readable, Writable } from 'node:stream';
import type { SessionEndReason } from '../../registry/types.ts';

const PARENT_CHECK_MS = 1_000;
const SIGNALS = ['SIGTERM', 'SIGINT', 'SIGHUP'] as const;

/** What `watchSessionEnd` observes; tests pass their own. */
export interface SessionEndSources {
  input: Readable;
  output: Writable;
  /** The process that started this one. */
  parent: number;
  process: {
    readonly ppid: number;
    on(event: NodeJS.Signals, listener: () => void): unknown;
  };
}

/**
 * Resolves once, with the first of: input ended or broken, output broken (the reader is gone), a termination
 * signal, the parent process gone. Later signals are ignored, so that they do not cut the clean-up short.
 */
export function watchSessionEnd({
  input,
  output,
  parent,
  process,
}: SessionEndSources): Promise<SessionEndReason> {
  return new Promise((resolve) => {
    const timer = setInterval(() => {
      if (process.ppid !== parent) end('parent_gone');
    }, PARENT_CHECK_MS);
    // Polling for the parent must not keep the process alive.
    timer.unref();
    const end = (reason: SessionEndReason): void => {
      clearInterval(timer);
      resolve(reason);
    };
    const closed = (): void => end('stdin_closed');
    input.once('end', closed).once('close', closed).on('error', closed);
    output.once('close', closed).on('error', closed);
    for (const signal of SIGNALS) process.on(signal, () => end('signal'));
  });
}
