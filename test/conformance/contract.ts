/** The suite that every engine passes: behaviour alone, through `Engine`. */
import { afterAll, beforeAll, describe } from 'vitest';
import type { CreateSandbox, Engine } from '../../src/engines/engine.ts';
import { commandCases } from './contract-commands.ts';
import { fileCases } from './contract-files.ts';
import { imageCases } from './contract-images.ts';
import { interactiveCases } from './contract-interactive.ts';
import { lifecycleCases } from './contract-lifecycle.ts';
import { limitCases } from './contract-limits.ts';
import { networkCases } from './contract-network.ts';
import { outputCases } from './contract-output.ts';
import { portCases } from './contract-ports.ts';
import { shellCases } from './contract-shells.ts';
import { snapshotCases } from './contract-snapshots.ts';
import { sourceCases } from './contract-sources.ts';
import { createRequest, patience } from './requests.ts';
import type { Subject } from './subject.ts';

export interface EngineUnderTest {
  engine: Engine;
  other: Engine;
  close(): Promise<void>;
}

/** Registers the whole suite for an engine. `open` is called once. */
export function describeEngineContract(name: string, open: () => Promise<EngineUnderTest>): void {
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
        return under.engine.create(full, patience());
      };
      const shared = await create({
        ports: [8080],
        // No run of the suite lasts longer.
        timeoutMs: 1_800_000,
        env: { FROM_SANDBOX: 'yes', BOTH: 'sandbox' },
      });
      subject = { engine: under.engine, other: under.other, shared, create };
    });

    afterAll(async () => {
      for (const sandboxId of made) await opened?.engine.forget(sandboxId, patience());
      await opened?.close();
    });

    const get = (): Subject => {
      if (subject === null) throw new Error('the engine under test did not open');
      return subject;
    };
    lifecycleCases(get);
    commandCases(get);
    outputCases(get);
    fileCases(get);
    portCases(get);
    shellCases(get);
    interactiveCases(get);
    snapshotCases(get);
    imageCases(get);
    sourceCases(get);
    networkCases(get);
    limitCases(get);
  });
}
