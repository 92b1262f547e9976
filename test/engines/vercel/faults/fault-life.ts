/** The sandbox and terminal calls of the fault suite. */
import { expect } from 'vitest';
import { newSandboxId } from '../../../../src/shared/ids.ts';
import { createRequest, timeoutSignal } from '../../../conformance/support/requests.ts';
import type { Attempt, FaultCall } from './fault-call.ts';

const isSandbox = (value: unknown, { sandboxId }: Attempt): void => {
  expect(value).toMatchObject({ sandboxId, status: 'running', engine: 'vercel', cwd: '/vercel/sandbox' });
};

/** Nothing with this name still costs money, whatever that required. */
async function waitUntilDeleted({ world, sandboxId }: Attempt): Promise<void> {
  await world.patient.forget(sandboxId, timeoutSignal());
  expect(await world.api.alive()).not.toContain(sandboxId);
}

export const LIFE_CALLS: readonly FaultCall[] = [
  {
    name: 'create',
    operations: ['sandbox.create', 'sandbox.get'],
    repeatable: false,
    sandbox: 'none',
    inMemory: true,
    prepare: async () => newSandboxId(),
    run: (engine, { made }) => engine.create(createRequest({ sandboxId: made }), timeoutSignal()),
    right: (value, { made }) => expect(value).toMatchObject({ sandboxId: made, status: 'running' }),
    async after({ world, made, ...rest }, failure) {
      const { created } = world.api.deeds;
      expect(created.filter((name) => name === made).length).toBeLessThanOrEqual(1);
      const lives = (await world.api.alive()).includes(made);
      // An error names the sandbox that it leaves running, so that it can be stopped.
      if (lives && failure !== null) expect(failure.text).toContain(made);
      await waitUntilDeleted({ ...rest, world, made, sandboxId: made });
    },
  },
  {
    name: 'get',
    operations: ['sandbox.get'],
    repeatable: true,
    sandbox: 'shared',
    inMemory: true,
    run: (engine, { sandboxId }) => engine.get(sandboxId, timeoutSignal()),
    right: isSandbox,
  },
  {
    name: 'list',
    operations: ['sandbox.list', 'sandbox.get'],
    repeatable: true,
    sandbox: 'shared',
    inMemory: true,
    run: (engine) => engine.list({ limit: 100, since: null, until: null, cursor: null }, timeoutSignal()),
    right: (value, { sandboxId }) =>
      expect(value).toMatchObject({
        items: expect.arrayContaining([expect.objectContaining({ sandboxId })]),
      }),
  },
  {
    name: 'extend',
    operations: ['session.extend-timeout', 'sandbox.get'],
    repeatable: false,
    sandbox: 'own',
    inMemory: true,
    run: (engine, { sandboxId }) => engine.extendTimeout(sandboxId, 60_000, timeoutSignal()),
    right: (value) => expect(value).toMatchObject({ timeoutMs: 360_000 }),
    async after(attempt, failure) {
      const { timeoutMs } = await attempt.world.patient.get(attempt.sandboxId, timeoutSignal());
      expect(failure === null ? [360_000] : [300_000, 360_000]).toContain(timeoutMs);
    },
  },
  {
    name: 'stop',
    operations: ['session.stop', 'sandbox.get'],
    repeatable: true,
    sandbox: 'own',
    inMemory: true,
    run: (engine, { sandboxId }) => engine.stop(sandboxId, 'requested', timeoutSignal()),
    right: (value) =>
      expect(value).toMatchObject({ status: 'stopped', stopCause: 'requested', expiresAt: null }),
    async after({ world, sandboxId }, failure) {
      if (failure === null) expect(await world.api.alive()).not.toContain(sandboxId);
      const stopped = await world.patient.stop(sandboxId, 'requested', timeoutSignal());
      expect(stopped).toMatchObject({ status: 'stopped', stopCause: 'requested' });
      expect(await world.api.alive()).not.toContain(sandboxId);
    },
  },
  {
    name: 'forget',
    operations: ['sandbox.get', 'session.stop', 'sandbox.delete'],
    repeatable: true,
    sandbox: 'own',
    inMemory: true,
    run: async (engine, { sandboxId }) => {
      await engine.forget(sandboxId, timeoutSignal());
      return 'forgotten';
    },
    right: (value) => expect(value).toBe('forgotten'),
    async after(attempt, failure) {
      // Its record must not be removed here while it runs there.
      if (failure === null) expect(await attempt.world.api.alive()).not.toContain(attempt.sandboxId);
    },
  },
  {
    name: 'update the network policy',
    operations: ['session.network-policy', 'sandbox.get'],
    repeatable: true,
    sandbox: 'own',
    inMemory: true,
    run: async (engine, { sandboxId }) =>
      engine.networkPolicies?.update(
        sandboxId,
        { mode: 'custom', allow: ['example.com'], subnets: { deny: ['10.0.0.0/8'] } },
        timeoutSignal(),
      ),
    right: (value) => expect(value).toMatchObject({ mode: 'custom', allow: ['example.com'] }),
    async after({ world, sandboxId }, failure) {
      const { networkPolicy } = await world.patient.get(sandboxId, timeoutSignal());
      if (failure === null) expect(networkPolicy).toMatchObject({ mode: 'custom', allow: ['example.com'] });
      else expect(['custom', 'deny-all']).toContain(networkPolicy.mode);
    },
  },
  {
    name: 'expose a port',
    operations: ['sandbox.get', 'sandbox.update'],
    repeatable: true,
    sandbox: 'own',
    inMemory: true,
    run: async (engine, { sandboxId }) => {
      await engine.ports?.expose(sandboxId, 8099, timeoutSignal());
      return 'exposed';
    },
    right: (value) => expect(value).toBe('exposed'),
    async after({ world, sandboxId }, failure) {
      const { ports } = await world.patient.get(sandboxId, timeoutSignal());
      if (failure === null) expect(ports.map(({ port }) => port)).toContain(8099);
    },
  },
  {
    name: 'open a shell',
    operations: ['sandbox.get', 'session.interactive'],
    repeatable: true,
    sandbox: 'shared',
    run: async (engine, { sandboxId, marker }) => {
      const command = ['sh', '-c', `echo ${marker}; exit 7`];
      const plain = { env: {}, cwd: null, sudo: false, cols: 80, rows: 24 };
      const shell = await engine.shells?.open({ ...plain, sandboxId, command }, timeoutSignal());
      let text = '';
      for await (const chunk of shell?.output ?? []) text += chunk.toString();
      return { text, exit: await shell?.exit };
    },
    right: (value, { marker }) =>
      expect(value).toEqual({ text: `${marker}\r\n`, exit: { exitCode: 7, signal: null } }),
  },
];
