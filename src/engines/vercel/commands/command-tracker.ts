/** The commands that this process follows, and the state of those that it does not. */
import { randomBytes } from 'node:crypto';
import { join } from 'node:path';
import type { Command as SdkCommand } from '@vercel/sandbox';
import { anySignal } from '../../../shared/async/any-signal.ts';
import { whenAborted } from '../../../shared/async/when-aborted.ts';
import { SandboxError, throwIfCancelled } from '../../../shared/errors.ts';
import { unknownCommand } from '../../../shared/id-errors.ts';
import { TIMEOUT_GRACE_MS } from '../../../shared/signals.ts';
import type { Command, Sandbox } from '../../engine.ts';
import type { VercelContext } from '../context.ts';
import { isNotFound, isStopped } from '../http/api-errors.ts';
import { explain, getSandbox, pollUntil, runningSession } from '../sandbox/get-sandbox.ts';
import { hasEnded } from '../sandbox/sandbox-view.ts';
import {
  type CommandRecord,
  isPartial,
  readRecord,
  updateRecord,
  withOutput,
} from '../state/command-record.ts';
import { readRecord as readSandboxRecord } from '../state/sandbox-record.ts';
import type { CommandPaths } from '../state/state-layout.ts';
import { endedBy, sandboxEndOf } from './command-end.ts';
import { sendSignal } from './command-kill.ts';
import { CommandFollow, type PlatformExit } from './command-stream.ts';
import { finishedView, runningView } from './command-view.ts';
import { captureName, fullestCapture, hasCapture, isOf, shareCapture } from './output-captures.ts';

/** How long to wait for the end of a command that was sent SIGKILL. */
const DEATH_MS = 5_000;
/** Finished commands are followed for processes they left running; older ones are read from disk. */
const MAX_TRACKED = 200;
/** How long the end of a command is withheld while its output could not be read. */
const LAST_READING_MS = 5_000;

const never = new AbortController().signal;

export interface TrackedCommand {
  command: Command;
  follow: CommandFollow | null;
}

interface Entry {
  record: CommandRecord;
  readonly paths: CommandPaths;
  readonly follow: CommandFollow;
  /** Settles when the end is stored on disk. */
  readonly ended: Promise<void>;
  timer: NodeJS.Timeout | null;
}

export class CommandTracker {
  readonly #context: VercelContext;
  readonly #entries = new Map<string, Entry>();
  readonly #ends = new WeakMap<CommandFollow, Promise<void>>();
  readonly #taking = new Map<string, Promise<Entry>>();

  constructor(context: VercelContext) {
    this.#context = context;
  }

  /** Starts following a command. */
  follow(record: CommandRecord, paths: CommandPaths, command: SdkCommand): CommandFollow {
    return this.#add(record, paths, command).follow;
  }

  /** @throws SandboxError `not_found`, or the platform's error */
  async get(commandId: string, signal: AbortSignal): Promise<TrackedCommand> {
    throwIfCancelled(signal);
    const paths = this.#context.layout.command(commandId);
    const known = this.#entries.get(commandId);
    if (known !== undefined && !isPartial(known.record)) {
      await this.#noticeEnd(known, signal);
      return this.#view(known);
    }
    const record = await readRecord(paths, commandId);
    const { layout } = this.#context;
    if (record.end !== null && !isPartial(record) && (await hasCapture(layout, commandId, record.end)))
      return { command: finishedView(record, paths.sandboxId, record.end), follow: null };
    if (record.platformId === null) throw unknownCommand(commandId);
    const sandbox = await getSandbox(this.#context, paths.sandboxId, signal);
    if (hasEnded(sandbox)) {
      if (record.end === null) return this.#sandboxEnded(record, paths, sandbox);
      return { command: finishedView(record, paths.sandboxId, record.end), follow: null };
    }
    // Output that was incomplete when the command ended is read again, as long as the platform has it.
    if (known !== undefined) this.#drop(known);
    const entry = await this.#takeUp(record, record.platformId, paths, signal);
    if (record.end !== null) await Promise.race([Promise.allSettled([entry.ended]), whenAborted(signal)]);
    return this.#view(entry);
  }

  /** Resolves at the next change of a command; its end counts once it is on disk. */
  async waitForChange(follow: CommandFollow, signal: AbortSignal): Promise<void> {
    await follow.waitForChange(signal);
    // Not by the entry: one whose following has failed meanwhile is gone, and its failure is the change to
    // report.
    const ended = this.#ends.get(follow);
    if (ended !== undefined && follow.exited && !signal.aborted)
      await Promise.race([ended, whenAborted(signal)]);
  }

  /** Waits briefly for the end of a command that was sent SIGKILL. */
  async endsSoon(commandId: string, signal: AbortSignal): Promise<void> {
    const entry = this.#entries.get(commandId);
    if (entry === undefined) return;
    await Promise.race([entry.ended, whenAborted(anySignal([signal, AbortSignal.timeout(DEATH_MS)]))]);
  }

  /** Continues reading after the end of a command: processes it left running may have written more. */
  async refresh(commandId: string, follow: CommandFollow, signal: AbortSignal): Promise<void> {
    const before = follow.totals;
    await follow.refresh(signal);
    const { stdout, stderr } = follow.totals;
    if (stdout === before.stdout && stderr === before.stderr) return;
    const updated = await updateRecord(this.#context.layout.command(commandId), commandId, (record) =>
      record.end === null || !isOf(record.end, follow.log)
        ? record
        : { ...record, end: { ...record.end, stdoutBytes: stdout, stderrBytes: stderr } },
    );
    const entry = this.#entries.get(commandId);
    if (entry?.follow === follow) entry.record = updated;
  }

  close(): void {
    for (const { follow, timer } of this.#entries.values()) {
      if (timer !== null) clearTimeout(timer);
      follow.close();
    }
    this.#entries.clear();
  }

  /** After the end of the sandbox, callers get the end of the command along with it. */
  async #noticeEnd({ record, paths, follow, ended }: Entry, signal: AbortSignal): Promise<void> {
    if (record.end !== null) return;
    const sandbox = await readSandboxRecord(this.#context.layout, paths.sandboxId);
    if (sandbox?.lastSeen == null || !hasEnded(sandbox.lastSeen)) return;
    follow.sandboxEnded();
    await Promise.race([ended, whenAborted(signal)]);
  }

  #view({ record, paths, follow }: Entry): TrackedCommand {
    const { sandboxId } = paths;
    if (record.end !== null) return { command: finishedView(record, sandboxId, record.end), follow };
    return { command: runningView(record, sandboxId, follow.totals), follow };
  }

  #add(record: CommandRecord, paths: CommandPaths, command: SdkCommand): Entry {
    const { commandId } = record;
    const directory = join(paths.dir, captureName(randomBytes(6).toString('hex')));
    const follow = new CommandFollow(command, directory, this.#context.tuning);
    const ended = follow.exit.then(
      (exit) => this.#end(commandId, exit),
      (error: unknown) => this.#endOrThrow(commandId, error),
    );
    const entry: Entry = { record, paths, follow, ended, timer: null };
    entry.timer = this.#limitTime(record);
    this.#entries.set(record.commandId, entry);
    this.#ends.set(follow, ended);
    ended.catch((error: unknown) => {
      // The next caller attaches again.
      if (this.#entries.get(commandId) !== entry) return;
      this.#drop(entry);
      this.#context.log.debug({ command_id: commandId, err: error }, 'lost track of a command');
    });
    this.#dropOldest();
    return entry;
  }

  /** Follows a command that was started by another process, or by this one before a failure. */
  #takeUp(
    record: CommandRecord,
    platformId: string,
    paths: CommandPaths,
    signal: AbortSignal,
  ): Promise<Entry> {
    const { commandId } = record;
    const taking = this.#taking.get(commandId);
    if (taking !== undefined) return taking;
    const doing = 'get a command';
    const made = (async () => {
      const session = await runningSession(this.#context, paths.sandboxId, doing, signal);
      try {
        const entry = this.#add(record, paths, await session.getCommand(platformId, { signal }));
        await entry.follow.caughtUp(signal);
        return entry;
      } catch (error) {
        throw await explain(this.#context, paths.sandboxId, doing, signal, error);
      }
    })().finally(() => this.#taking.delete(commandId));
    this.#taking.set(commandId, made);
    return made;
  }

  /**
   * After the platform refused to report the end: the sandbox's own end explains it, or else it is an error.
   */
  async #endOrThrow(commandId: string, error: unknown): Promise<void> {
    const { sandboxId } = this.#context.layout.command(commandId);
    if (isStopped(error) || isNotFound(error)) {
      const sandbox = await getSandbox(this.#context, sandboxId, never);
      if (sandbox.status !== 'running') return this.#end(commandId, null);
    }
    throw await explain(this.#context, sandboxId, 'get a command', never, error);
  }

  /** Stores how a command ended. */
  async #end(commandId: string, exit: PlatformExit | null): Promise<void> {
    const entry = this.#entries.get(commandId);
    if (entry === undefined) return;
    await entry.follow.drained();
    // The end was reported: the output may be readable again by now.
    if (exit !== null) await entry.follow.readOn(AbortSignal.timeout(LAST_READING_MS));
    const { log, complete, readFailure, totals } = entry.follow;
    const kept = await fullestCapture(entry.paths.dir, log);
    // Another process has read more before this one: the platform no longer returned all of it.
    const more = kept.stdoutBytes > totals.stdout || kept.stderrBytes > totals.stderr;
    const about = { ...kept, complete: complete && readFailure === null && !more };
    const cut = await this.#sandboxOf(entry, exit);
    entry.record = await updateRecord(entry.paths, commandId, (record) => {
      if (record.end !== null) return withOutput(record, record.end, about);
      const end =
        cut === null && exit !== null
          ? { ...exit, endedBy: endedBy(record, exit) }
          : sandboxEndOf(record, cut);
      return { ...record, end: { ...about, ...end } };
    });
    if (entry.timer !== null) clearTimeout(entry.timer);
    if (entry.record.end !== null)
      await shareCapture(this.#context.layout, commandId, entry.record.end).catch((error: unknown) =>
        this.#context.log.warn({ command_id: commandId, err: error }, 'cannot share the output of a command'),
      );
  }

  /** The sandbox, if its end is what ended the command; null if the command ended by itself. */
  async #sandboxOf(entry: Entry, exit: PlatformExit | null): Promise<Sandbox | null> {
    if (exit !== null && exit.exitCode >= 0 && exit.exitCode <= 128) return null;
    const { sandboxId } = entry.paths;
    if (exit !== null) {
      const { killedFor } = await readRecord(entry.paths, entry.record.commandId);
      if (killedFor !== null) return null;
    }
    const sandbox = await getSandbox(this.#context, sandboxId, never);
    if (exit !== null && sandbox.status === 'running') return null;
    return hasEnded(sandbox)
      ? sandbox
      : pollUntil(this.#context, sandboxId, hasEnded, AbortSignal.timeout(60_000));
  }

  /** A command that no process followed when its sandbox ended: what was captured before is all there is. */
  async #sandboxEnded(record: CommandRecord, paths: CommandPaths, sandbox: Sandbox): Promise<TrackedCommand> {
    const about = { ...(await fullestCapture(paths.dir, null)), complete: false };
    const written = await updateRecord(paths, record.commandId, (known) =>
      known.end === null ? { ...known, end: { ...about, ...sandboxEndOf(known, sandbox) } } : known,
    );
    if (written.end === null) throw new SandboxError('internal', 'Could not record the end of a command.');
    return { command: finishedView(written, paths.sandboxId, written.end), follow: null };
  }

  /**
   * SIGTERM at the timeout, SIGKILL after a grace period; the platform's own limit is a fallback for both.
   */
  #limitTime({ commandId, timeoutMs, startedAt }: CommandRecord): NodeJS.Timeout | null {
    if (timeoutMs === null) return null;
    const end = (signalName: string) => {
      sendSignal(this.#context, commandId, signalName, 'timeout', never).catch((error: unknown) =>
        this.#context.log.warn(
          { command_id: commandId, err: error },
          'cannot enforce the timeout of a command',
        ),
      );
    };
    return setTimeout(
      () => {
        end('SIGTERM');
        const entry = this.#entries.get(commandId);
        if (entry !== undefined) entry.timer = setTimeout(() => end('SIGKILL'), TIMEOUT_GRACE_MS).unref();
      },
      Math.max(0, startedAt + timeoutMs - Date.now()),
    ).unref();
  }

  #drop({ record, follow, timer }: Entry): void {
    if (this.#entries.get(record.commandId)?.follow === follow) this.#entries.delete(record.commandId);
    if (timer !== null) clearTimeout(timer);
    follow.close();
  }

  #dropOldest(): void {
    if (this.#entries.size <= MAX_TRACKED) return;
    for (const [id, { record, follow }] of this.#entries) {
      if (record.end === null) continue;
      follow.close();
      this.#entries.delete(id);
      return;
    }
  }
}
