import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { mkdir, rm } from 'node:fs/promises';
import { join } from 'node:path';
import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import {
  findOrphanedInit,
  shutDownOrphanedAgent,
  untilLaunchEnded,
} from '../../../../src/engines/oci/cleanup/orphaned-agent.ts';
import { readRecord } from '../../../../src/engines/oci/state/sandbox-record.ts';
import { StateLayout } from '../../../../src/engines/oci/state/state-layout.ts';
import { newSandboxId } from '../../../../src/shared/ids.ts';
import { isProcessAlive } from '../../../../src/shared/process-identity.ts';
import { createRequest, timeoutSignal } from '../../../conformance/support/requests.ts';
import { openOciEngines } from '../support/oci-engines.ts';

let engines: Awaited<ReturnType<typeof openOciEngines>>;
let layout: StateLayout;

beforeEach(async () => {
  engines = await openOciEngines();
  layout = new StateLayout(engines.stateDir);
});

afterEach(async () => {
  await engines.close();
});

async function running() {
  const { sandboxId } = await engines.engine.create(createRequest(), timeoutSignal());
  const { init } = await readRecord(layout, sandboxId);
  return { sandboxId, paths: layout.sandbox(sandboxId), init };
}

describe('an agent that no record names', () => {
  it('is found by its pid file, or else by the state of the runtime', async () => {
    const { sandboxId, paths, init } = await running();
    expect(await findOrphanedInit(paths, sandboxId)).toEqual(init);
    await rm(paths.pidFile);
    expect(await findOrphanedInit(paths, sandboxId)).toEqual(init);
    await rm(join(paths.runtime, sandboxId), { recursive: true });
    expect(await findOrphanedInit(paths, sandboxId)).toBeNull();
    await engines.engine.forget(sandboxId, timeoutSignal());
  });

  it('ends its sandbox on request', async () => {
    const { sandboxId, paths, init } = await running();
    await shutDownOrphanedAgent(paths);
    while (init !== null && isProcessAlive(init)) await new Promise((resolve) => setImmediate(resolve));
    expect(await engines.other.get(sandboxId, timeoutSignal())).toMatchObject({ status: 'aborted' });
    await engines.engine.forget(sandboxId, timeoutSignal());
  });

  it('is searched for only once the launcher of its server has exited', async () => {
    const paths = layout.sandbox(newSandboxId());
    const args = ['-e', 'process.stdin.resume()', 'launch', 'crun', 'run', '--bundle', paths.bundle];
    const launcher = spawn(process.execPath, args, { stdio: ['pipe', 'ignore', 'ignore'] });
    await once(launcher, 'spawn');
    const exited = once(launcher, 'exit');
    let terminated = false;
    const waited = untilLaunchEnded(paths).then(() => terminated);
    // Of another sandbox: not waited for.
    await untilLaunchEnded(layout.sandbox(newSandboxId()));
    terminated = true;
    launcher.stdin.end();
    await exited;
    expect(await waited).toBe(true);
  });

  it('is not waited for when nothing was started', async () => {
    const paths = layout.sandbox(newSandboxId());
    await shutDownOrphanedAgent(paths);
    await mkdir(paths.runtime, { recursive: true });
    await shutDownOrphanedAgent(paths);
  });
});
