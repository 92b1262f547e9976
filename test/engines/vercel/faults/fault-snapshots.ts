/** The snapshot calls of the fault suite. */
import { expect } from 'vitest';
import { timeoutSignal } from '../../../conformance/support/requests.ts';
import type { Attempt, FaultCall } from './fault-call.ts';

const everySnapshot = { limit: 100, since: null, until: null, cursor: null };

/** A fault while querying a snapshot does not mean that it is gone. */
const isThere = async ({ world, made }: Attempt): Promise<void> => {
  expect(await world.patient.snapshots?.get(made, timeoutSignal())).toMatchObject({ status: 'created' });
};

export const SNAPSHOT_CALLS: readonly FaultCall[] = [
  {
    name: 'take a snapshot',
    operations: ['session.snapshot', 'sandbox.get'],
    repeatable: false,
    sandbox: 'own',
    inMemory: true,
    run: async (engine, { sandboxId }) => engine.snapshots?.take(sandboxId, null, timeoutSignal()),
    right: (value, { sandboxId }) =>
      expect(value).toMatchObject({
        sourceSandboxId: sandboxId,
        status: 'created',
        sizeBytes: expect.any(Number),
      }),
    async after({ world, sandboxId }, failure) {
      const listed = await world.patient.snapshots?.list(everySnapshot, timeoutSignal());
      const own = (listed?.items ?? []).filter(({ sourceSandboxId }) => sourceSandboxId === sandboxId);
      expect(own.length).toBeLessThanOrEqual(1);
      if (failure === null) expect(own).toHaveLength(1);
      // If it was taken despite the error, the error says where to find it.
      else if (own.length === 1) expect(failure.text).toContain('snapshot_list');
      const { status } = await world.patient.get(sandboxId, timeoutSignal());
      // If taken, the sandbox is stopped and reported so; if not, it still works.
      expect(status).toBe(own.length === 1 ? 'stopped' : 'running');
      for (const { snapshotId } of own) await world.patient.snapshots?.delete(snapshotId, timeoutSignal());
    },
  },
  {
    name: 'get a snapshot',
    operations: ['snapshot.get'],
    repeatable: true,
    sandbox: 'none',
    inMemory: true,
    prepare: ({ world }) => world.sharedSnapshot(),
    run: async (engine, { made }) => engine.snapshots?.get(made, timeoutSignal()),
    right: (value, { made }) => expect(value).toMatchObject({ snapshotId: made, status: 'created' }),
    after: isThere,
  },
  {
    name: 'list snapshots',
    operations: ['snapshot.list'],
    repeatable: true,
    sandbox: 'none',
    inMemory: true,
    prepare: ({ world }) => world.sharedSnapshot(),
    run: async (engine) => engine.snapshots?.list(everySnapshot, timeoutSignal()),
    right: (value, { made }) =>
      expect(value).toMatchObject({
        items: expect.arrayContaining([expect.objectContaining({ snapshotId: made })]),
      }),
    after: isThere,
  },
  {
    name: 'delete a snapshot',
    operations: ['snapshot.get', 'snapshot.delete'],
    repeatable: true,
    sandbox: 'none',
    inMemory: true,
    prepare: ({ world }) => world.snapshot(),
    run: async (engine, { made }) => engine.snapshots?.delete(made, timeoutSignal()),
    right: (value, { made }) => expect(value).toMatchObject({ snapshotId: made, status: 'deleted' }),
    async after({ world, made }) {
      await world.patient.snapshots?.delete(made, timeoutSignal()).catch(() => undefined);
      await expect(world.patient.snapshots?.get(made, timeoutSignal())).rejects.toMatchObject({
        code: 'not_found',
      });
    },
  },
];
