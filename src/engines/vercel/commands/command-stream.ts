/** One command followed by this process: its live output, its end, and the waiters for either. */

import { setTimeout as delay } from 'node:timers/promises';
import type { Command as SdkCommand } from '@vercel/sandbox';
import { anySignal } from '../../../shared/async/any-signal.ts';
import { onAbort } from '../../../shared/async/on-abort.ts';
import { whenAborted } from '../../../shared/async/when-aborted.ts';
import type { Totals } from '../../output-log/log-format.ts';
import { LogWriter } from '../../output-log/log-writer.ts';
import { isPassing } from '../http/api-errors.ts';
import type { HttpTuning } from '../http/dispatchers.ts';
import { newDigests, ResumedReading } from './stream-resume.ts';

/** How long to wait for the last output after a command's end; processes it left running may keep writing. */
const LAST_OUTPUT_MS = 2_000;
/** The same in a sandbox that has ended: output in flight still arrives. */
const CUT_OUTPUT_MS = 100;
/** A new reading has caught up when nothing arrives for this long, or at the latest after the second. */
const QUIET_MS = 120;
const SILENT_MS = 600;
/** Interval between checks for more output of an ended command, and the most output that is reread for it. */
const REFRESH_MS = 500;
const MAX_REFRESHED = 1_048_576;
/** Interval between retries while the platform does not respond. */
const LONGEST_PAUSE_MS = 15_000;

/** The end as the platform reported it; null if the sandbox's end cut the command off. */
export interface PlatformExit {
  exitCode: number;
  durationMs: number;
}

export class CommandFollow {
  readonly log: LogWriter;
  /**
   * Resolves with the platform's report, or with null if its sandbox's end cut it off; rejects if the
   * platform reports nothing.
   */
  readonly exit: Promise<PlatformExit | null>;
  /** False once some of the output is known to be missing. */
  complete = true;
  /** The error that reading the output failed with, if it ended before all output was read. */
  readFailure: { error: unknown } | null = null;
  readonly #command: SdkCommand;
  readonly #pauseMs: number;
  readonly #attempts: number;
  readonly #digests = newDigests();
  readonly #closing = new AbortController();
  readonly #listeners = new Set<() => void>();
  #reading: Promise<void>;
  #exited = false;
  /** Pending until the platform has sent the first line of output, or the end. */
  #silent = true;
  #notifying = false;
  #isCut = false;
  #cut: () => void = () => {};
  #caughtUp: () => void = () => {};
  #refreshed = Date.now();
  #refreshing: Promise<void> | null = null;

  /**
   * @param directory for this command alone; captured output is stored there
   * @param tuning how long to wait before the first retry after a failure, and how many consecutive failures
   *   are final
   */
  constructor(command: SdkCommand, directory: string, tuning: Pick<HttpTuning, 'retryBaseMs' | 'attempts'>) {
    this.#command = command;
    this.#pauseMs = tuning.retryBaseMs;
    this.#attempts = tuning.attempts;
    this.log = new LogWriter(directory);
    const cut = new Promise<null>((resolve) => {
      this.#cut = () => {
        this.#isCut = true;
        resolve(null);
      };
    });
    this.exit = Promise.race([this.#wait(), cut]).finally(() => {
      this.#exited = true;
      this.#notify();
    });
    // Callers get the error; without a caller, it must not become an unhandled rejection.
    this.exit.catch(() => {});
    this.#reading = this.#readAll();
  }

  /** True once `exit` has settled. */
  get exited(): boolean {
    return this.#exited;
  }

  /** True if the command ended with its sandbox: output in flight at that time is lost. */
  get isCut(): boolean {
    return this.#isCut;
  }

  get totals(): Totals {
    return { ...this.log.totals };
  }

  /**
   * Resolves once earlier output is read: at once after a start, soon after attaching to a running command.
   */
  async caughtUp(signal: AbortSignal): Promise<void> {
    const quiet = new Promise<void>((resolve) => {
      let timer = setTimeout(resolve, SILENT_MS);
      this.#caughtUp = () => {
        clearTimeout(timer);
        timer = setTimeout(resolve, QUIET_MS);
      };
    });
    await Promise.race([quiet, this.#reading, whenAborted(signal)]);
    this.#caughtUp = () => {};
  }

  /** Resolves when all output up to the command's end is read, or the wait for it has timed out. */
  async drained(): Promise<void> {
    const waiting = new AbortController();
    let seen = -1;
    try {
      for (;;) {
        const now = this.log.totals.stdout + this.log.totals.stderr;
        if (now === seen) return;
        seen = now;
        const over = await Promise.race([
          this.#reading.then(() => true),
          delay(this.#isCut ? CUT_OUTPUT_MS : LAST_OUTPUT_MS, false, { signal: waiting.signal }),
        ]);
        if (over) return;
        // The platform reported nothing, not even the end: any output there is, is missing.
        if (this.#silent && !this.#isCut) this.complete = false;
      }
    } finally {
      waiting.abort();
      this.log.flush();
    }
  }

  /** Resumes reading after it was given up. Resolves when it has caught up, or has failed again. */
  async readOn(signal: AbortSignal): Promise<void> {
    if (this.readFailure === null || this.#closing.signal.aborted) return;
    this.readFailure = null;
    this.#reading = this.#readAll();
    if (this.#exited) await Promise.race([this.#reading, whenAborted(signal)]);
    else await this.caughtUp(signal);
    this.log.flush();
  }

  /**
   * Reads output written after a command's end by processes it left behind; seldom, and for small logs only.
   */
  async refresh(signal: AbortSignal): Promise<void> {
    const { stdout, stderr } = this.log.totals;
    if (!this.#exited || this.#closing.signal.aborted || stdout + stderr > MAX_REFRESHED) return;
    if (this.#refreshing === null) {
      if (Date.now() - this.#refreshed < REFRESH_MS) return;
      this.#refreshing = this.#reading
        .then(() => this.#readOnce())
        .then(
          () => {},
          () => {},
        )
        .finally(() => {
          this.#refreshed = Date.now();
          this.#refreshing = null;
        });
    }
    await Promise.race([this.#refreshing, whenAborted(signal), delay(LAST_OUTPUT_MS)]);
    this.log.flush();
  }

  /** Resolves at the next output, at the end, or when the signal aborts. */
  waitForChange(signal: AbortSignal): Promise<void> {
    if (this.#exited || signal.aborted) return Promise.resolve();
    return new Promise((resolve) => {
      const done = () => {
        this.#listeners.delete(done);
        release();
        resolve();
      };
      this.#listeners.add(done);
      const release = onAbort(signal, done);
    });
  }

  /** Treats the end of the sandbox as the end of the command: the platform may report nothing further. */
  sandboxEnded(): void {
    this.#cut();
  }

  /** Stops following; the command itself keeps running. */
  close(): void {
    this.#closing.abort();
    this.log.close();
    this.#notify();
  }

  /** The platform ends a wait after some minutes; this waits again. */
  async #wait(): Promise<PlatformExit | null> {
    const { signal } = this.#closing;
    let failures = 0;
    for (let pause = this.#pauseMs; ; pause = Math.min(pause * 2, LONGEST_PAUSE_MS)) {
      const began = Date.now();
      try {
        const { exitCode, durationMs } = await this.#command.wait({ signal });
        return { exitCode, durationMs: durationMs ?? Math.max(0, Date.now() - this.#command.startedAt) };
      } catch (error) {
        signal.throwIfAborted();
        if (!isPassing(error)) throw error;
        failures += 1;
        // A wait that lasted long was cut by a limit, not refused.
        if (Date.now() - began > LONGEST_PAUSE_MS) {
          pause = this.#pauseMs;
          failures = 0;
        }
        if (failures >= this.#attempts) throw error;
        await delay(pause, undefined, { signal });
      }
    }
  }

  /** Never rejects: the result of reading is kept for callers that ask for the output. */
  async #readAll(): Promise<void> {
    try {
      await this.#readToEnd();
    } catch (error) {
      // After reading was stopped, what would have come is unknown.
      if (this.#closing.signal.aborted) this.complete = false;
      else this.readFailure = { error };
      this.#notify();
    }
  }

  /** Reads output until the platform reports that there is no more after the command's end. */
  async #readToEnd(): Promise<void> {
    const { signal } = this.#closing;
    let failures = 0;
    for (let pause = this.#pauseMs; ; pause = Math.min(pause * 2, LONGEST_PAUSE_MS)) {
      const exitedBefore = this.#exited;
      const before = this.log.totals.stdout + this.log.totals.stderr;
      let ended = false;
      try {
        ended = await this.#readOnce();
        // The end of the stream and that of the command come in two responses; either may arrive first.
        if (ended && !exitedBefore) ended = await this.#exitsSoon();
      } catch (error) {
        signal.throwIfAborted();
        failures = this.log.totals.stdout + this.log.totals.stderr > before ? 0 : failures + 1;
        if (!isPassing(error) || failures >= this.#attempts) throw error;
      }
      if (ended) return;
      await delay(pause, undefined, { signal });
    }
  }

  async #exitsSoon(): Promise<boolean> {
    const over = this.exit.then(
      () => true,
      () => true,
    );
    return Promise.race([over, delay(LAST_OUTPUT_MS, false)]);
  }

  /** True if the platform ended the stream properly. */
  async #readOnce(): Promise<boolean> {
    const reading = new ResumedReading(this.log, this.#digests);
    // A separate signal: the SDK leaves its listeners attached.
    const signal = anySignal([this.#closing.signal]);
    for await (const line of this.#command.logs({ signal })) {
      this.#silent = false;
      this.#caughtUp();
      if (reading.take(line.stream, line.data)) this.#notify();
      if (!reading.consistent) this.complete = false;
    }
    return true;
  }

  /** Once for everything that arrives in one turn of the event loop. */
  #notify(): void {
    if (this.#notifying) return;
    this.#notifying = true;
    setImmediate(() => {
      this.#notifying = false;
      if (!this.#closing.signal.aborted) this.log.flush();
      for (const listener of [...this.#listeners]) listener();
    });
  }
}
