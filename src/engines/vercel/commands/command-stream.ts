/** One command as this process follows it: its output as it comes, its end, and who waits for either. */

import { setTimeout as delay } from 'node:timers/promises';
import type { Command as SdkCommand } from '@vercel/sandbox';
import { anySignal } from '../../../shared/async/any-signal.ts';
import { onAbort } from '../../../shared/async/on-abort.ts';
import { whenAborted } from '../../../shared/async/when-aborted.ts';
import { isPassing } from '../http/api-errors.ts';
import type { HttpTuning } from '../http/dispatchers.ts';
import { CaptureLog, type Totals } from './output-log.ts';
import { newDigests, Replay } from './stream-resume.ts';

/** After the end of a command its last output is waited for; what it left running may go on writing. */
const LAST_OUTPUT_MS = 2_000;
/** The same in a sandbox that has ended: what is on its way still comes. */
const CUT_OUTPUT_MS = 100;
/** A new reading is caught up when nothing comes for this long, or nothing at all for so long. */
const QUIET_MS = 120;
const SILENT_MS = 600;
/** Between two looks for more output of a command that has ended, and the most output that is read anew for it. */
const REFRESH_MS = 500;
const MAX_REFRESHED = 1_048_576;
/** Between two tries while the platform does not answer. */
const LONGEST_PAUSE_MS = 15_000;

/** How the platform told its end; null where the sandbox's end cut it off. */
export interface PlatformExit {
  exitCode: number;
  durationMs: number;
}

export class CommandFollow {
  readonly log: CaptureLog;
  /** Resolves with the platform's word, or with null when its sandbox cut it off; rejects when the platform does not tell. */
  readonly exit: Promise<PlatformExit | null>;
  /** False once something of the output is known to be missing. */
  complete = true;
  /** What reading the output ended in, where it ended without all of it. */
  readFailure: { error: unknown } | null = null;
  readonly #command: SdkCommand;
  readonly #pauseMs: number;
  readonly #attempts: number;
  readonly #digests = newDigests();
  readonly #closing = new AbortController();
  readonly #listeners = new Set<() => void>();
  #reading: Promise<void>;
  #exited = false;
  /** Until the platform has said the first line of the output, or its end. */
  #silent = true;
  #telling = false;
  #isCut = false;
  #cut: () => void = () => {};
  #caughtUp: () => void = () => {};
  #refreshed = Date.now();
  #refreshing: Promise<void> | null = null;

  /**
   * @param directory of its own; what is captured is kept there
   * @param tuning how long to wait before the first new try after a failure, and how many failures in a row are the end
   */
  constructor(command: SdkCommand, directory: string, tuning: Pick<HttpTuning, 'retryBaseMs' | 'attempts'>) {
    this.#command = command;
    this.#pauseMs = tuning.retryBaseMs;
    this.#attempts = tuning.attempts;
    this.log = new CaptureLog(directory);
    const cut = new Promise<null>((resolve) => {
      this.#cut = () => {
        this.#isCut = true;
        resolve(null);
      };
    });
    this.exit = Promise.race([this.#wait(), cut]).finally(() => {
      this.#exited = true;
      this.#tell();
    });
    // Whoever asks is told; without anybody a failure is no news.
    this.exit.catch(() => {});
    this.#reading = this.#readAll();
  }

  /** True once `exit` has settled. */
  get exited(): boolean {
    return this.#exited;
  }

  /** True where the end of the sandbox was that of the command: what was on its way then is lost with it. */
  get isCut(): boolean {
    return this.#isCut;
  }

  get totals(): Totals {
    return { ...this.log.totals };
  }

  /** Resolves once what was written before is read: after a start at once, after taking up a running command soon. */
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

  /** Resolves when all output is read that there is at the end of the command, or the wait for it is over. */
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
        // Not a word of it, not even its end: whatever there is, is missing.
        if (this.#silent && !this.#isCut) this.complete = false;
      }
    } finally {
      waiting.abort();
      this.log.flush();
    }
  }

  /** Takes up reading where it was given up. Resolves when it has caught up, or has failed again. */
  async readOn(signal: AbortSignal): Promise<void> {
    if (this.readFailure === null || this.#closing.signal.aborted) return;
    this.readFailure = null;
    this.#reading = this.#readAll();
    if (this.#exited) await Promise.race([this.#reading, whenAborted(signal)]);
    else await this.caughtUp(signal);
    this.log.flush();
  }

  /** Reads what a command that has ended left behind and that went on writing; seldom, and small logs alone. */
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

  /** Resolves at the next output, at the end, or when the signal fires. */
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

  /** Takes the end of the sandbox for that of the command: the platform may go on to say nothing. */
  cutOff(): void {
    this.#cut();
  }

  /** Stops following; the command itself goes on. */
  close(): void {
    this.#closing.abort();
    this.log.close();
    this.#tell();
  }

  /** The platform lets go of a wait after some minutes; waiting goes on. */
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
        // One that was held for long was cut by a limit, not refused.
        if (Date.now() - began > LONGEST_PAUSE_MS) {
          pause = this.#pauseMs;
          failures = 0;
        }
        if (failures >= this.#attempts) throw error;
        await delay(pause, undefined, { signal });
      }
    }
  }

  /** Never rejects: what reading ended in is kept for who asks for the output. */
  async #readAll(): Promise<void> {
    try {
      await this.#readToEnd();
    } catch (error) {
      // Who stops reading does not know what would have come.
      if (this.#closing.signal.aborted) this.complete = false;
      else this.readFailure = { error };
      this.#tell();
    }
  }

  /** Reads output until the platform says that there is no more of it after the command's end. */
  async #readToEnd(): Promise<void> {
    const { signal } = this.#closing;
    let failures = 0;
    for (let pause = this.#pauseMs; ; pause = Math.min(pause * 2, LONGEST_PAUSE_MS)) {
      const exitedBefore = this.#exited;
      const before = this.log.totals.stdout + this.log.totals.stderr;
      let ended = false;
      try {
        ended = await this.#readOnce();
        // The end of the stream and that of the command are told by two answers; either may come first.
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

  /** True when the platform ended the stream in order. */
  async #readOnce(): Promise<boolean> {
    const replay = new Replay(this.log, this.#digests);
    // One of its own: the SDK leaves its listeners on the signal behind.
    const signal = anySignal([this.#closing.signal]);
    for await (const line of this.#command.logs({ signal })) {
      this.#silent = false;
      this.#caughtUp();
      if (replay.take(line.stream, line.data)) this.#tell();
      if (!replay.consistent) this.complete = false;
    }
    return true;
  }

  /** Once for all that comes in one turn of the event loop. */
  #tell(): void {
    if (this.#telling) return;
    this.#telling = true;
    setImmediate(() => {
      this.#telling = false;
      if (!this.#closing.signal.aborted) this.log.flush();
      for (const listener of [...this.#listeners]) listener();
    });
  }
}
