/**
 * The lease of a cloud sandbox: short at the platform, renewed by its owner, and never visible to callers.
 */
import { mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { setTimeout as delay } from 'node:timers/promises';
import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import { z } from 'zod';
import type { CreateSandbox, Engine, Sandbox } from '../../../../src/engines/engine.ts';
import { systemClock } from '../../../../src/shared/clock.ts';
import { createLogger } from '../../../../src/shared/log.ts';
import { FilesStore } from '../../../../src/shared/store/files-store.ts';
import { Replica } from '../../../../src/shared/store/replica.ts';
import { createRequest, timeoutSignal } from '../../../conformance/support/requests.ts';
import {
  SCRIPTED_CREDENTIALS,
  type ScriptedApi,
  startScriptedApi,
} from '../../../fakes/vercel/scripted-api.ts';
import { type OpenedVercel, openVercelEngine } from '../support/vercel-engines.ts';

/** Renewed after one second. */
const LEASE_MS = 2_000;
const HOUR_MS = 3_600_000;
const createBody = z.object({ timeout: z.number() });
const extendBody = z.object({ duration: z.number() });

describe('the lease of a sandbox', () => {
  let api: ScriptedApi;
  /** What the platform has granted. */
  let grantedMs = 0;
  let startedAt = 0;
  const opened: OpenedVercel[] = [];

  beforeEach(async () => {
    api = await startScriptedApi();
    startedAt = Date.now();
    api.answers.push(({ method, path, body }) => {
      if (method === 'POST' && path.endsWith('/sandboxes'))
        grantedMs = createBody.parse(JSON.parse(body)).timeout;
      if (path.endsWith('/extend-timeout')) grantedMs += extendBody.parse(JSON.parse(body)).duration;
      api.session = { ...api.session, timeout: grantedMs, startedAt, createdAt: startedAt };
      return null;
    });
  });

  afterEach(async () => {
    for (const { engine } of opened) await engine.close();
    for (const { remove } of opened.splice(0)) await remove();
    await api.close();
  });

  async function open(stateDir?: string, replica?: Replica): Promise<OpenedVercel> {
    const access = { url: api.url, credentials: SCRIPTED_CREDENTIALS };
    const tuning = { retryBaseMs: 1, pollMs: 5, leaseMs: LEASE_MS };
    const made = await openVercelEngine(access, {
      ...tuning,
      ...(stateDir !== undefined && { stateDir }),
      ...(replica !== undefined && { replica }),
    });
    opened.push(made);
    return made;
  }

  const create = (engine: Engine, more: Partial<CreateSandbox> = {}): Promise<Sandbox> =>
    engine.create(createRequest({ timeoutMs: HOUR_MS, ...more }), timeoutSignal());
  const extensions = () => api.requestsTo('POST', '/extend-timeout');
  async function untilExtended(times: number): Promise<void> {
    while (extensions().length < times) await delay(10);
  }

  it('is short at the platform and renewed, while callers see the requested lifetime', async () => {
    const { engine } = await open();
    const made = await create(engine);
    expect(grantedMs).toBe(LEASE_MS);
    expect(made).toMatchObject({ timeoutMs: HOUR_MS, expiresAt: startedAt + HOUR_MS });
    await untilExtended(2);
    const left = startedAt + grantedMs - Date.now();
    expect(left).toBeLessThanOrEqual(LEASE_MS);
    expect(await engine.get(made.sandboxId, timeoutSignal())).toMatchObject({
      timeoutMs: HOUR_MS,
      expiresAt: startedAt + HOUR_MS,
    });
  });

  it('is never renewed past the requested lifetime', async () => {
    const { engine } = await open();
    await create(engine, { timeoutMs: LEASE_MS + 1_500 });
    while (grantedMs < LEASE_MS + 1_500) await delay(10);
    expect(grantedMs).toBe(LEASE_MS + 1_500);
  });

  it('grows with an extension, of which the platform is only asked for what is needed now', async () => {
    const { engine } = await open();
    const { sandboxId } = await create(engine);
    const extended = await engine.extendTimeout(sandboxId, HOUR_MS, timeoutSignal());
    expect(extended).toMatchObject({ timeoutMs: 2 * HOUR_MS, expiresAt: startedAt + 2 * HOUR_MS });
    expect(startedAt + grantedMs - Date.now()).toBeLessThanOrEqual(2 * LEASE_MS);
  });

  it('does not exist for a kept sandbox, which runs to its deadline', async () => {
    const { engine } = await open();
    await create(engine, { keep: true });
    expect(grantedMs).toBe(HOUR_MS);
  });

  it('runs out when its owner has exited, and the sandbox counts as ended with its session', async () => {
    const first = await open();
    const { sandboxId } = await create(first.engine);
    await first.engine.close();
    const before = extensions().length;
    const end = new Date(startedAt + grantedMs);
    api.session = { ...api.session, status: 'stopped', stoppedAt: end.getTime() };
    const second = await open(first.stateDir);
    expect(await second.engine.get(sandboxId, timeoutSignal())).toMatchObject({
      status: 'stopped',
      stopCause: 'session_end',
      statusReason: expect.stringContaining('lease'),
    });
    expect(extensions()).toHaveLength(before);
  });

  it('is renewed by another process that has become an owner', async () => {
    const first = await open();
    const { sandboxId } = await create(first.engine);
    const second = await open(first.stateDir);
    await second.engine.ownership?.take(sandboxId, timeoutSignal());
    await first.engine.close();
    await untilExtended(1);
    expect(grantedMs).toBeGreaterThan(LEASE_MS);
  });

  it('is renewed by the replica that took it over last, and by no other', async () => {
    const folder = await mkdtemp(join(tmpdir(), 'lease-'));
    try {
      const replica = () =>
        new Replica({ store: new FilesStore(folder), log: createLogger('silent'), clock: systemClock });
      const [first, second] = [await open(undefined, replica()), await open(undefined, replica())];
      const { sandboxId } = await create(first.engine);
      await second.engine.ownership?.take(sandboxId, timeoutSignal());
      await second.engine.close();
      // The first one would have renewed it by now.
      await delay(LEASE_MS);
      expect(extensions()).toEqual([]);
      await first.engine.ownership?.take(sandboxId, timeoutSignal());
      await untilExtended(1);
    } finally {
      for (const { engine } of opened) await engine.close();
      await rm(folder, { recursive: true, force: true });
    }
  });

  it('ends a promise that the platform refuses to keep', async () => {
    const { engine } = await open();
    const { sandboxId } = await create(engine);
    const message = 'The timeout exceeds the maximum of the plan';
    const refusal = { status: 400, body: { error: { code: 'sandbox_timeout_invalid', message } } };
    api.answers.unshift(({ path }) => (path.endsWith('/extend-timeout') ? refusal : null));
    await untilExtended(1);
    const granted = async () => (await engine.get(sandboxId, timeoutSignal())).timeoutMs;
    // The refused request is counted by the script above before it is refused.
    while ((await granted()) === HOUR_MS) await delay(10);
    expect(await granted()).toBe(grantedMs);
  });
});
