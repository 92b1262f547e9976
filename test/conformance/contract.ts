/** The suite that every engine must pass: it tests behaviour only, through `Engine`. */
import { afterAll, beforeAll, describe } from 'vitest';
import type { CreateSandbox } from '../../src/engines/engine.ts';
import { commandCases } from './cases/commands.ts';
import { environmentCases } from './cases/environment.ts';
import { exploreCases } from './cases/explore.ts';
import { fileCases } from './cases/files.ts';
import { gitCases } from './cases/git.ts';
import { imageCases } from './cases/images.ts';
import { interactiveCases } from './cases/interactive.ts';
import { lifecycleCases } from './cases/lifecycle.ts';
import { limitCases } from './cases/limits.ts';
import { networkCases } from './cases/network.ts';
import { outputCases } from './cases/output.ts';
import { portCases } from './cases/ports.ts';
import { shellCases } from './cases/shells.ts';
import { snapshotCases } from './cases/snapshots.ts';
import { sourceCases } from './cases/sources.ts';
import { workspaceCases } from './cases/workspaces.ts';
import { extentOf } from './sample.ts';
import { createRequest, timeoutSignal } from './support/requests.ts';
import type { EngineUnderTest, Extent, Subject } from './support/subject.ts';

/** Registers the suite for an engine. `open` is called once. */
export function describeEngineContract(
  name: string,
  open: () => Promise<EngineUnderTest>,
  requested: Extent = 'whole',
): void {
  const extent = extentOf(requested);
  describe(`engine contract: ${name}`, () => {
    let opened: EngineUnderTest | null = null;
    let subject: Subject | null = null;
    const made: string[] = [];

    beforeAll(async () => {
      const under = await open();
      opened = under;
      const create = async (request: Partial<CreateSandbox> = {}) => {
        const full = createRequest(request);
        made.push(full.sandboxId);
        return under.engine.create(full, timeoutSignal());
      };
      const shared = await create({
        ports: [8080],
        // Longer than any run of the suite.
        timeoutMs: 1_800_000,
        env: { FROM_SANDBOX: 'yes', BOTH: 'sandbox' },
      });
      const { engine, other, remote = false } = under;
      subject = { engine, other, remote, shared, create };
    });

    afterAll(async () => {
      for (const sandboxId of made) await opened?.engine.forget(sandboxId, timeoutSignal());
      await opened?.close();
    });

    const get = (): Subject => {
      if (subject === null) throw new Error('the engine under test did not open');
      return subject;
    };
    lifecycleCases(get, extent);
    commandCases(get, extent);
    environmentCases(get, extent);
    fileCases(get, extent);
    exploreCases(get, extent);
    workspaceCases(get, extent);
    gitCases(get, extent);
    portCases(get, extent);
    shellCases(get, extent);
    snapshotCases(get, extent);
    imageCases(get, extent);
    sourceCases(get, extent);
    networkCases(get, extent);
    limitCases(get, extent);
    outputCases(get, extent);
    interactiveCases(get, extent);
  });
}
