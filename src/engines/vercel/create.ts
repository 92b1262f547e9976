/** The making of a sandbox, which either succeeds or leaves nothing that this machine does not know of. */
import type { Sandbox as SdkSandbox } from '@vercel/sandbox';
import { SandboxError, throwIfCancelled } from '../../shared/errors.ts';
import type { CreateSandbox, Sandbox } from '../engine.ts';
import { fromPlatform, isNotFound, mayHaveHappened } from './api-errors.ts';
import type { VercelContext } from './context.ts';
import { unknownSnapshot } from './layout.ts';
import { lookUntil, note } from './look.ts';
import { toSdkPolicy } from './network-policy.ts';
import { removeFromCloud } from './remove.ts';
import { chooseRuntime, type RuntimeChoice } from './runtime-choice.ts';
import { readRecord, removeRecord, type SandboxRecord, updateRecord, writeIntent } from './sandbox-record.ts';
import { viewOf } from './sandbox-view.ts';
import { snapshotRuntime } from './snapshot-record.ts';

/** How long who has cancelled waits for what was begun to be undone; the rest goes on behind. */
const UNDO_MS = 10_000;
const FIND_MS = 15_000;

const never = new AbortController().signal;

/** Creations under way, and the undoing of those that were given up. */
export class Creations {
  readonly #context: VercelContext;
  readonly #pending = new Map<string, Promise<unknown>>();

  constructor(context: VercelContext) {
    this.#context = context;
  }

  /** Resolves when nothing of this process is making or undoing the sandbox any more. */
  async settled(sandboxId: string): Promise<void> {
    await Promise.allSettled([this.#pending.get(sandboxId)]);
  }

  /** @throws SandboxError of the request, of the platform, or `cancelled` */
  async create(request: CreateSandbox, signal: AbortSignal): Promise<Sandbox> {
    const { sandboxId } = request;
    throwIfCancelled(signal);
    const { teamId, projectId } = this.#context.cloud.credentials();
    const plan = await planOf(this.#context, request);
    throwIfCancelled(signal);
    const record: SandboxRecord = {
      version: 1,
      sandboxId,
      state: 'creating',
      teamId,
      projectId,
      askedAt: Date.now(),
      runtime: plan.runtime,
      stopAsked: null,
      lastSeen: null,
    };
    await writeIntent(this.#context.layout, record);
    // Not the caller's signal: a request that is cut may still be carried out, one that is waited for tells.
    const making = this.#make(request, plan.choice, signal);
    this.#pending.set(sandboxId, making);
    try {
      return await orUndone(making, signal);
    } finally {
      void Promise.allSettled([making]).then(() => this.#pending.delete(sandboxId));
    }
  }

  async #make(request: CreateSandbox, choice: RuntimeChoice, signal: AbortSignal): Promise<Sandbox> {
    const { sandboxId } = request;
    const { cloud, layout } = this.#context;
    let made: SdkSandbox;
    try {
      made = await cloud.create(paramsOf(request, choice), never);
    } catch (error) {
      made = await this.#foundOrThrow(request, error);
    }
    try {
      throwIfCancelled(signal);
      const view = viewOf(made, await readRecord(layout, sandboxId));
      await note(this.#context, view, await readRecord(layout, sandboxId));
      const running = await lookUntil(this.#context, sandboxId, ({ status }) => status !== 'pending', signal);
      if (running.status === 'running') return running;
      throw new SandboxError('server', `Vercel could not make the sandbox: it is ${running.status}.`, {
        hint: 'Call sandbox_create again; a source that cannot be fetched is the usual reason.',
      });
    } catch (error) {
      await this.#undo(sandboxId);
      throw fromPlatform(error, { doing: 'create a sandbox', sandboxId }, signal);
    }
  }

  /** After a creation without a clear answer: the sandbox, where it came to be; otherwise what to tell. */
  async #foundOrThrow({ sandboxId, source }: CreateSandbox, error: unknown): Promise<SdkSandbox> {
    const { cloud, layout } = this.#context;
    const failure = fromPlatform(error, { doing: 'create a sandbox', sandboxId });
    if (!mayHaveHappened(error)) {
      await removeRecord(layout, sandboxId);
      if (source?.type === 'snapshot' && failure.code === 'not_found')
        throw unknownSnapshot(source.snapshotId);
      throw failure;
    }
    try {
      return await cloud.get(sandboxId, AbortSignal.timeout(FIND_MS));
    } catch (second) {
      if (!isNotFound(second))
        this.#context.log.warn({ sandbox_id: sandboxId, err: second }, 'a creation in doubt');
      await updateRecord(layout, sandboxId, (record) => ({ ...record, state: 'doubtful' }));
    }
    throw new SandboxError(
      failure.code,
      `${failure.message} Whether sandbox ${sandboxId} came to be is not known; it is removed as soon as it shows.`,
      { hint: failure.hint, details: { ...failure.details, sandbox_id: sandboxId }, cause: error },
    );
  }

  async #undo(sandboxId: string): Promise<void> {
    const { layout, log } = this.#context;
    await updateRecord(layout, sandboxId, (record) => ({ ...record, state: 'doubtful', lastSeen: null }));
    try {
      await removeFromCloud(this.#context, sandboxId, AbortSignal.timeout(UNDO_MS));
      await removeRecord(layout, sandboxId);
    } catch (error) {
      log.error({ sandbox_id: sandboxId, err: error }, 'A sandbox could not be undone yet.');
    }
  }
}

/** What `making` comes to; once the signal has fired it is waited for no longer than `UNDO_MS`. */
async function orUndone(making: Promise<Sandbox>, signal: AbortSignal): Promise<Sandbox> {
  let timer: NodeJS.Timeout | undefined;
  let onAbort = (): void => {};
  const givenUp = new Promise<never>((_resolve, reject) => {
    onAbort = () => {
      timer = setTimeout(() => reject(cancelled(signal)), UNDO_MS);
    };
    signal.addEventListener('abort', onAbort, { once: true });
  });
  try {
    return await Promise.race([making, givenUp]);
  } catch (error) {
    if (signal.aborted) throw cancelled(signal);
    throw error;
  } finally {
    clearTimeout(timer);
    signal.removeEventListener('abort', onAbort);
  }
}

function cancelled(signal: AbortSignal): SandboxError {
  return new SandboxError('cancelled', 'The call was cancelled.', { cause: signal.reason });
}

/** What it starts from, and how that is told. A snapshot brings its runtime along; naming another one is refused. */
async function planOf(
  context: VercelContext,
  { runtime, source }: CreateSandbox,
): Promise<{ choice: RuntimeChoice; runtime: string | null }> {
  if (source?.type !== 'snapshot') return { choice: chooseRuntime(runtime), runtime };
  const own = await snapshotRuntime(context.layout, source.snapshotId);
  if (runtime === null || runtime === own) return { choice: null, runtime: own };
  const message = own === null ? '' : ` (it is ${own})`;
  throw new SandboxError(
    'invalid_argument',
    `A snapshot brings its own runtime${message}; runtime is "${runtime}".`,
    {
      hint: 'Call sandbox_create with this source and without runtime.',
      details: { runtime, snapshot_id: source.snapshotId },
    },
  );
}

function paramsOf(request: CreateSandbox, choice: RuntimeChoice) {
  const { sandboxId, ports, timeoutMs, vcpus, env, networkPolicy, source } = request;
  const common = {
    name: sandboxId,
    persistent: false,
    ports,
    timeout: timeoutMs,
    resources: { vcpus },
    env,
    networkPolicy: toSdkPolicy(networkPolicy),
  };
  if (source === null) return { ...common, ...choice };
  if (source.type === 'snapshot') {
    return { ...common, source: { type: 'snapshot' as const, snapshotId: source.snapshotId } };
  }
  if (source.type === 'tarball') {
    return { ...common, ...choice, source: { type: 'tarball' as const, url: source.url } };
  }
  return { ...common, ...choice, source: gitSource(source) };
}

function gitSource(source: Extract<CreateSandbox['source'], { type: 'git' }>) {
  const { url, revision, depth, username, password } = source;
  const repository = {
    type: 'git' as const,
    url,
    ...(revision !== undefined && { revision }),
    ...(depth !== undefined && { depth }),
  };
  if (username === undefined && password === undefined) return repository;
  // Hosts of repositories take a token as the password of any name.
  return { ...repository, username: username ?? 'git', password: password ?? '' };
}
