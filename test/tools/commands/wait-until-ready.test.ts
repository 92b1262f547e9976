import { expect, it } from 'vitest';
import type { Listener } from '../../../src/engines/engine.ts';
import { readinessOf, waitFor, waitUntilReady } from '../../../tools/commands/wait-until-ready.ts';
import { neverAborted, openWorld, plainRequest } from '../../registry/support/registry.ts';

const PORT = 3_000;
/** Longer than any test. */
const WAIT_MS = 1e9;

/**
 * Whether a command became ready, when these are what listens in its sandbox in turn, the first before it starts. It
 * ends with the last of them.
 */
async function isReady(...found: (Listener | null)[]): Promise<boolean> {
  const { registry, engine } = openWorld();
  const session = registry.openSession('local');
  const { sandboxId } = await session.create(plainRequest, neverAborted);
  const sandbox = await session.sandbox(sandboxId);
  let commandId = '';
  engine.ports.listeners = async () => {
    const next = found.shift() ?? null;
    if (found.length === 0) engine.commands.finish(commandId, 0);
    return next === null ? [] : [next];
  };
  const readiness = await readinessOf(waitFor.parse({ port: PORT }), sandbox, neverAborted);
  const command = await sandbox.run(
    { cmd: 'serve', args: [], cwd: null, env: {}, sudo: false, timeoutMs: null },
    neverAborted,
  );
  commandId = command.commandId;
  return waitUntilReady(command, readiness, WAIT_MS, neverAborted);
}

const listener = (pid: number | null): Listener => ({ port: PORT, pid, program: null });

it('a command is ready once its port has a listener that is not the one from before', async () => {
  expect(await isReady(null, null, listener(7), null)).toBe(true);
  expect(await isReady(listener(6), listener(6), listener(7), null)).toBe(true);
  expect(await isReady(listener(6), listener(6), listener(6))).toBe(false);
});

it('a command is ready once its port was free and is taken, also where nobody sees by whom', async () => {
  expect(await isReady(listener(null), listener(null), null, listener(null), null)).toBe(true);
  expect(await isReady(listener(6), null, listener(6), null)).toBe(true);
  expect(await isReady(listener(null), listener(null), listener(null))).toBe(false);
});
