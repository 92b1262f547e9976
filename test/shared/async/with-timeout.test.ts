import { describe, expect, it } from 'vitest';
import { raceAbort, sleep, withTimeout } from '../../../src/shared/async/with-timeout.ts';
import { SandboxError } from '../../../src/shared/errors.ts';
import { neverAborted } from '../../registry/support/registry.ts';

/** Ends only when its signal fires, as an engine's waits do. */
function endless(signal: AbortSignal): Promise<string> {
  return raceAbort(new Promise<string>(() => {}), signal);
}

describe('withTimeout', () => {
  it('returns what resolves in time', async () => {
    expect(await withTimeout(10_000, neverAborted, async () => 'done')).toBe('done');
  });

  it('returns null on timeout', async () => {
    expect(await withTimeout(10, neverAborted, endless)).toBeNull();
    expect(await withTimeout(0, neverAborted, endless)).toBeNull();
  });

  it('passes errors on', async () => {
    const failure = new SandboxError('conflict', 'no');
    await expect(withTimeout(10_000, neverAborted, () => Promise.reject(failure))).rejects.toBe(failure);
  });

  it('passes cancellation on, before and during the work', async () => {
    const controller = new AbortController();
    const waiting = withTimeout(10_000, controller.signal, endless);
    controller.abort();
    await expect(waiting).rejects.toMatchObject({ code: 'cancelled' });
    await expect(withTimeout(10_000, controller.signal, endless)).rejects.toMatchObject({
      code: 'cancelled',
    });
  });
});

describe('sleep', () => {
  it('rejects when the signal fires', async () => {
    const controller = new AbortController();
    const sleeping = sleep(60_000, controller.signal);
    controller.abort();
    await expect(sleeping).rejects.toMatchObject({ code: 'cancelled' });
  });
});
