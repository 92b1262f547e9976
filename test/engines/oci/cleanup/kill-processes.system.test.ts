import { readFile, writeFile } from 'node:fs/promises';
import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import { findFreezer } from '../../../../src/engines/oci/host/cgroups.ts';
import { readRecord } from '../../../../src/engines/oci/state/sandbox-record.ts';
import { StateLayout } from '../../../../src/engines/oci/state/state-layout.ts';
import { isProcessAlive } from '../../../../src/shared/process-identity.ts';
import { createRequest, timeoutSignal } from '../../../conformance/support/requests.ts';
import { needs } from '../../../support/needs.ts';
import { openOciEngines } from '../support/oci-engines.ts';

let engines: Awaited<ReturnType<typeof openOciEngines>>;

beforeEach(async () => {
  engines = await openOciEngines();
});

afterEach(async () => {
  await engines.close();
});

describe('a sandbox that a dead server left frozen', () => {
  it('ends when it is stopped', needs('root and cgroups', process.getuid?.() === 0), async () => {
    const { sandboxId } = await engines.engine.create(createRequest(), timeoutSignal());
    const { init, cgroups } = await readRecord(new StateLayout(engines.stateDir), sandboxId);
    const freezer = findFreezer(cgroups);
    if (freezer === null || init === null) throw new Error('it cannot be frozen');
    await writeFile(freezer.file, freezer.on);
    while (!(await readFile(freezer.state, 'utf8')).includes(freezer.frozen));
    await engines.engine.forget(sandboxId, timeoutSignal());
    expect(isProcessAlive(init)).toBe(false);
  });
});
