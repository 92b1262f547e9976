import { describe, expect, it } from 'vitest';
import type { Session, Transfer, TransferResult, TransferWork } from '../../src/registry/types.ts';
import { SandboxError } from '../../src/shared/errors.ts';
import { neverAborted, openWorld, plainRequest, rejection } from './support/registry.ts';

const KEPT_MS = 600_000;

function resultOf(name: string): TransferResult {
  return {
    localPath: name,
    remotePath: name,
    files: 1,
    bytes: 1,
    sha256: null,
    skipped: 0,
    skippedPaths: [],
    executesOnHost: [],
  };
}

/** Work that the test completes, or that ends when its signal fires. */
function work(name: string): { work: TransferWork; finish: () => void; runs: () => number } {
  let finish = (): void => {};
  let runs = 0;
  const finished = new Promise<void>((resolve) => {
    finish = resolve;
  });
  return {
    finish,
    runs: () => runs,
    async work(signal) {
      runs += 1;
      const aborted = new Promise<void>((resolve) =>
        signal.addEventListener('abort', () => resolve(), { once: true }),
      );
      await Promise.race([finished, aborted]);
      if (signal.aborted) throw new SandboxError('cancelled', 'The call was cancelled.');
      return resultOf(name);
    },
  };
}

async function open(session: Session, name: string, work: TransferWork): Promise<Transfer> {
  const handle = await session.sandbox(undefined);
  return handle.transfer({ direction: 'upload', arguments: [name] }, work, neverAborted);
}

async function openSession() {
  const world = openWorld();
  const session = world.registry.openSession('ann');
  await session.create({ ...plainRequest, timeoutMs: 60_000 }, neverAborted);
  return { ...world, session };
}

describe('a transfer', () => {
  it('starts once for identical calls, until its result is fetched', async () => {
    const { session } = await openSession();
    const { work: body, finish, runs } = work('a');
    const first = await open(session, 'a', body);
    const second = await open(session, 'a', body);
    expect([first.begun, second.begun]).toEqual([true, false]);
    // A running transfer is not forgotten, whatever a caller says.
    first.fetched();
    expect((await open(session, 'a', body)).begun).toBe(false);
    finish();
    expect(await second.result).toEqual(resultOf('a'));
    expect((await open(session, 'a', body)).begun).toBe(false);
    second.fetched();
    expect((await open(session, 'a', body)).begun).toBe(true);
    expect(runs()).toBe(2);
  });

  it('keeps an unfetched result for ten minutes', async () => {
    const { session, clock } = await openSession();
    const { work: body, finish } = work('a');
    const first = await open(session, 'a', body);
    finish();
    await first.result;
    clock.advance(KEPT_MS - 1);
    await session.create(plainRequest, neverAborted);
    const again = work('b');
    const other = await open(session, 'b', again.work);
    again.finish();
    await other.result;
    clock.advance(KEPT_MS - 1);
    expect((await open(session, 'b', again.work)).begun).toBe(false);
    clock.advance(1);
    expect((await open(session, 'b', again.work)).begun).toBe(true);
  });

  it('is limited to 16 at once and 32 unfetched results', async () => {
    const { session } = await openSession();
    const held = Array.from({ length: 16 }, (_, index) => work(`held ${index}`));
    for (const [index, each] of held.entries()) await open(session, `held ${index}`, each.work);
    const error = await rejection(open(session, 'one more', work('x').work));
    expect(error).toMatchObject({ code: 'limit_exceeded', details: { max: 16, used: 16 } });
    for (const each of held) each.finish();
    for (const [index, each] of held.entries())
      await (await open(session, `held ${index}`, each.work)).result;
    for (let index = 0; index < 17; index++) {
      const quick = work(`quick ${index}`);
      quick.finish();
      await (await open(session, `quick ${index}`, quick.work)).result;
    }
    // 33 results: the oldest was dropped.
    expect((await open(session, 'held 1', work('x').work)).begun).toBe(false);
    expect((await open(session, 'held 0', work('x').work)).begun).toBe(true);
  });

  it('keeps its sandbox alive while it runs', async () => {
    const { session, clock, engine } = await openSession();
    const { work: body, finish } = work('a');
    const transfer = await open(session, 'a', body);
    const { sandboxId } = await session.sandbox(undefined);
    const armed = clock.nextTimer();
    clock.advance(50_000);
    await armed;
    expect(engine.calls).toContain(`extendTimeout ${sandboxId}`);
    finish();
    await transfer.result;
    clock.advance(3_600_000);
    expect(await (await session.sandbox(undefined)).view(neverAborted)).toMatchObject({
      status: 'stopped',
      stopCause: 'deadline',
    });
  });

  it('is undone by its cancellation, by the end of its sandbox, and by the end of the session', async () => {
    const { session } = await openSession();
    const begin = (name: string) => open(session, name, work(name).work);
    const cancelled = await begin('cancelled');
    const undone = cancelled.cancel();
    // Requested while it is being undone: starts again after that.
    expect((await begin('cancelled')).begun).toBe(true);
    await undone;
    expect(await rejection(cancelled.result)).toMatchObject({ code: 'cancelled' });
    expect((await begin('cancelled')).begun).toBe(false);
    const stopped = await begin('stopped');
    await (await session.sandbox(undefined)).stop(neverAborted);
    const failure = await rejection((await begin('stopped')).result);
    expect(failure).toMatchObject({
      code: 'conflict',
      message: expect.stringContaining('ended with sandbox'),
    });
    expect(stopped.begun).toBe(true);
    await session.create(plainRequest, neverAborted);
    const last = await begin('last');
    await session.end('shutdown');
    expect(await rejection(last.result)).toMatchObject({ code: 'cancelled' });
    expect(await rejection(begin('late'))).toMatchObject({ code: 'conflict' });
  });
});
