import { describe, expect, it } from 'vitest';
import { STATUSES, waitForStatus } from '../../../tools/sandboxes/sandbox-status.ts';
import { neverAborted, openWorld, plainRequest } from '../../registry/support/registry.ts';

async function stoppedSandbox() {
  const { registry } = openWorld();
  const session = registry.openSession('local');
  const { sandboxId } = await session.create(plainRequest, neverAborted);
  const handle = await session.sandbox(sandboxId);
  return { handle, stop: () => handle.stop(neverAborted) };
}

describe('waitForStatus', () => {
  const wait = { timeoutMs: 20_000, pollIntervalMs: 1 };

  it('returns at once if the status is reached, otherwise later', async () => {
    const { handle, stop } = await stoppedSandbox();
    expect(await waitForStatus(handle, { ...wait, status: 'running' }, neverAborted)).toMatchObject({
      status: 'running',
    });
    const waiting = waitForStatus(handle, { ...wait, status: 'stopped' }, neverAborted);
    await stop();
    expect(await waiting).toMatchObject({ status: 'stopped' });
  });

  it('returns null if the status is not reached', async () => {
    const { handle } = await stoppedSandbox();
    expect(
      await waitForStatus(handle, { ...wait, timeoutMs: 5, status: 'stopped' }, neverAborted),
    ).toBeNull();
  });

  it('returns null in time if the engine never answers and ignores its signal', async () => {
    const handle = { view: () => new Promise<never>(() => {}) };
    expect(
      await waitForStatus(handle, { ...wait, timeoutMs: 5, status: 'stopped' }, neverAborted),
    ).toBeNull();
  });

  it.each(STATUSES.filter((status) => status !== 'stopped'))(
    'does not wait for a stopped sandbox to be %s',
    async (status) => {
      const { handle, stop } = await stoppedSandbox();
      await stop();
      await expect(waitForStatus(handle, { ...wait, status }, neverAborted)).rejects.toMatchObject({
        code: 'conflict',
        hint: expect.stringContaining('sandbox_create'),
      });
    },
  );
});
