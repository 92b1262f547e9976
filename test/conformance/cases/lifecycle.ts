import { expect } from 'vitest';
import type { Sandbox } from '../../../src/engines/engine.ts';
import { newSandboxId } from '../../../src/shared/ids.ts';
import { describeCases } from '../support/contract-cases.ts';
import { createRequest, timeoutSignal } from '../support/requests.ts';
import { run } from '../support/run.ts';
import type { Extent, Subject } from '../support/subject.ts';

/** Create, look up, list, extend, stop, forget. */
export function lifecycleCases(get: () => Subject, extent: Extent): void {
  /** One with a deadline soon after its start, however long that takes on this machine. */
  async function createShortLived(): Promise<Sandbox> {
    for (let timeoutMs = 1_000; ; timeoutMs *= 4) {
      try {
        return await get().create({ timeoutMs });
      } catch (error) {
        // It ended before it had started.
        if (timeoutMs > 60_000) throw error;
      }
    }
  }

  describeCases('the life of a sandbox', extent, (it) => {
    it('returns a running sandbox as requested', () => {
      const { shared, engine } = get();
      expect(shared).toMatchObject({
        status: 'running',
        engine: engine.name,
        // Newer images of the cloud start in the parent.
        cwd: engine.name === 'oci' ? '/vercel/sandbox' : expect.stringMatching(/^\/vercel(\/sandbox)?$/),
        vcpus: 1,
        memoryMb: 2_048,
        timeoutMs: 1_800_000,
        stopCause: null,
        sourceSnapshotId: null,
      });
      expect(shared.expiresAt ?? 0).toBeGreaterThan(shared.createdAt);
      expect(shared.ports.map(({ port }) => port)).toEqual([8080]);
    });

    it('is found by another process', async () => {
      const { other, shared } = get();
      const found = await other.get(shared.sandboxId, timeoutSignal());
      expect(found).toMatchObject({ sandboxId: shared.sandboxId, status: 'running' });
    });

    it('rejects unknown ids, none of which escapes the state directory', async () => {
      const { engine } = get();
      for (const id of [newSandboxId(), 'sbx_../../../etc', '', '../x', 'sbx_'.padEnd(5_000, 'a')]) {
        await expect(engine.get(id, timeoutSignal())).rejects.toMatchObject({ code: 'not_found' });
      }
    });

    it('lists newest first, in pages without repetition or gap', async () => {
      const { engine, shared, create } = get();
      const second = await create();
      const third = await create();
      const query = { limit: 1, since: shared.createdAt, until: null };
      const ids: string[] = [];
      let cursor: string | null = null;
      do {
        const page: Awaited<ReturnType<typeof engine.list>> = await engine.list(
          { ...query, cursor },
          timeoutSignal(),
        );
        ids.push(...page.items.map(({ sandboxId }) => sandboxId));
        cursor = page.nextCursor;
      } while (cursor !== null);
      expect(new Set(ids).size).toBe(ids.length);
      const own = [third.sandboxId, second.sandboxId, shared.sandboxId];
      expect(ids.filter((id) => own.includes(id))).toEqual(own);
      const none = await engine.list(
        { limit: 10, since: null, until: shared.createdAt - 1, cursor: null },
        timeoutSignal(),
      );
      expect(none.items.map(({ sandboxId }) => sandboxId)).not.toContain(shared.sandboxId);
      await expect(engine.list({ ...query, cursor: 'garbage' }, timeoutSignal())).rejects.toMatchObject({
        code: 'invalid_argument',
      });
    });

    it('extends the deadline by exactly the requested time', async () => {
      const { engine, create } = get();
      const before = await create({ timeoutMs: 60_000 });
      const after = await engine.extendTimeout(before.sandboxId, 30_000, timeoutSignal());
      expect(after.timeoutMs).toBe(90_000);
      expect((after.expiresAt ?? 0) - (before.expiresAt ?? 0)).toBeGreaterThan(29_000);
      expect((after.expiresAt ?? 0) - (before.expiresAt ?? 0)).toBeLessThan(31_000);
    });

    it('stops, reports it, and stays stopped', async () => {
      const { engine, create } = get();
      const { sandboxId } = await create();
      const stopped = await engine.stop(sandboxId, 'requested', timeoutSignal());
      expect(stopped).toMatchObject({ status: 'stopped', stopCause: 'requested', expiresAt: null });
      expect(await engine.stop(sandboxId, 'session_end', timeoutSignal())).toMatchObject({
        stopCause: 'requested',
      });
      expect(await engine.get(sandboxId, timeoutSignal())).toMatchObject({ status: 'stopped' });
      await expect(engine.extendTimeout(sandboxId, 1_000, timeoutSignal())).rejects.toMatchObject({
        code: 'conflict',
      });
      const start = run({ ...get(), shared: stopped }, 'true', []);
      await expect(start).rejects.toMatchObject({ code: 'conflict' });
      await expect(engine.files.stat(sandboxId, '/', null, timeoutSignal())).rejects.toMatchObject({
        code: 'conflict',
      });
    });

    it('can be stopped by another process', async () => {
      const { engine, other, create } = get();
      const { sandboxId } = await create();
      expect(await other.stop(sandboxId, 'requested', timeoutSignal())).toMatchObject({ status: 'stopped' });
      expect(await engine.get(sandboxId, timeoutSignal())).toMatchObject({ status: 'stopped' });
    });

    it('ends at its deadline', async () => {
      const { engine } = get();
      const { sandboxId } = await createShortLived();
      await expect
        .poll(async () => (await engine.get(sandboxId, timeoutSignal())).status, { interval: 50 })
        .toBe('stopped');
      expect(await engine.get(sandboxId, timeoutSignal())).toMatchObject({
        stopCause: 'deadline',
        expiresAt: null,
      });
    });

    it('is forgotten without a trace, and can be forgotten twice', async () => {
      const { engine, create } = get();
      const { sandboxId } = await create();
      await engine.forget(sandboxId, timeoutSignal());
      await engine.forget(sandboxId, timeoutSignal());
      await expect(engine.get(sandboxId, timeoutSignal())).rejects.toMatchObject({ code: 'not_found' });
    });

    it('leaves nothing of a cancelled create', async () => {
      const { engine } = get();
      for (const delay of [0, 5, 20, 40]) {
        const request = createRequest();
        const signal = AbortSignal.timeout(delay);
        const outcome = await engine.create(request, signal).then(
          () => 'made',
          (error: { code?: string; message: string }) => error.code ?? error.message,
        );
        if (outcome === 'made') await engine.forget(request.sandboxId, timeoutSignal());
        else expect(outcome).toBe('cancelled');
        await expect(engine.get(request.sandboxId, timeoutSignal())).rejects.toMatchObject({
          code: 'not_found',
        });
      }
    });

    it('rejects an unsupported network policy, source or runtime, and creates nothing', async () => {
      const { engine } = get();
      const limits = await engine.limits(timeoutSignal());
      const missing = (['allow-all', 'deny-all', 'custom'] as const).filter(
        (mode) => !limits.networkModes.includes(mode),
      );
      for (const mode of missing) {
        const request = createRequest({ networkPolicy: { mode } });
        await expect(engine.create(request, timeoutSignal())).rejects.toMatchObject({ code: 'unsupported' });
        await expect(engine.get(request.sandboxId, timeoutSignal())).rejects.toMatchObject({
          code: 'not_found',
        });
      }
      await expect(
        engine.create(createRequest({ runtime: 'cobol1959' }), timeoutSignal()),
      ).rejects.toMatchObject({
        code: 'invalid_argument',
        message: expect.stringContaining('cobol1959'),
      });
    });
  });
}
