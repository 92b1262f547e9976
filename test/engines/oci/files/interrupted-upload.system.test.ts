import { Readable } from 'node:stream';
import { afterAll, beforeAll, expect, it } from 'vitest';
import type { TreeEntry } from '../../../../src/engines/engine.ts';
import { createRequest, timeoutSignal } from '../../../conformance/support/requests.ts';
import { run } from '../../../conformance/support/run.ts';
import type { EngineUnderTest } from '../../../conformance/support/subject.ts';
import { openOciEngines } from '../support/oci-engines.ts';

/** So many that removing them takes the agent longer than starting a program. */
const FILES = 4_000;

let under: EngineUnderTest;
beforeAll(async () => {
  under = await openOciEngines();
});
afterAll(() => under.close());

async function* tree(end: () => void): AsyncGenerator<TreeEntry> {
  yield { path: '', type: 'directory', mode: 0o755, linkTarget: null, content: null };
  for (let index = 0; index < FILES; index++) {
    const content = Readable.from([Buffer.from('x')], { objectMode: false });
    yield { path: `file-${index}`, type: 'file', mode: 0o644, linkTarget: null, content };
  }
  end();
  yield { path: 'one-more', type: 'directory', mode: 0o755, linkTarget: null, content: null };
}

it('an interrupted upload leaves nothing by the time its error is reported', async () => {
  const { engine, other } = under;
  const sandbox = await engine.create(createRequest({}), timeoutSignal());
  try {
    const controller = new AbortController();
    const entries = tree(() => controller.abort());
    const upload = engine.files.writeTree(sandbox.sandboxId, 'up', null, entries, controller.signal);
    await expect(upload).rejects.toMatchObject({ code: 'cancelled' });
    const subject = { engine, other, shared: sandbox, create: async () => sandbox };
    expect(await run(subject, 'ls', ['-A'])).toMatchObject({ exitCode: 0, stdout: '' });
  } finally {
    await engine.forget(sandbox.sandboxId, timeoutSignal());
  }
});
