/** A cancelled call ends, even if it waits for something that may never happen. */
import { once } from 'node:events';
import { createServer } from 'node:net';
import { Readable } from 'node:stream';
import { expect, it, onTestFinished } from 'vitest';
import type { TreeEntry } from '../../../src/engines/engine.ts';
import { DEFAULT_TUNING } from '../../../src/engines/vercel/http/dispatchers.ts';
import { connectShell } from '../../../src/engines/vercel/shells/shell-socket.ts';
import { createRequest, timeoutSignal } from '../../conformance/support/requests.ts';
import { startVercelApi } from '../../fakes/vercel/index.ts';
import { openVercelEngine } from './support/vercel-engines.ts';

const FILE = { path: '', type: 'file', mode: 0o644, linkTarget: null } as const;

it('a terminal connection that is being retried', async () => {
  const listener = createServer((socket) => socket.destroy()).listen(0, '127.0.0.1');
  onTestFinished(() => {
    listener.close();
  });
  await once(listener, 'listening');
  const address = listener.address();
  if (address === null || typeof address === 'string') throw new Error('no port');
  const cancel = new AbortController();
  const connecting = connectShell(
    { url: `ws://127.0.0.1:${address.port}/`, token: 'token' },
    {
      proxy: { http: null, https: null, no: null },
      tuning: { ...DEFAULT_TUNING, retryBaseMs: 3_600_000 },
      plainAllowed: true,
    },
    cancel.signal,
  );
  const rejected = expect(connecting).rejects.toMatchObject({ code: 'cancelled' });
  await once(listener, 'connection');
  cancel.abort();
  await rejected;
});

it.each([0, 3_000_000])('a tree with a file that stalls after %i bytes', async (bytes) => {
  const api = await startVercelApi();
  onTestFinished(() => api.close());
  const { engine, remove } = await openVercelEngine(api);
  onTestFinished(async () => {
    await engine.close();
    await remove();
  });
  const { sandboxId } = await engine.create(createRequest(), timeoutSignal());
  onTestFinished(async () => {
    await engine.forget(sandboxId, timeoutSignal());
  });
  const cancel = new AbortController();
  let notify = (): void => {};
  const stalled = new Promise<void>((resolve) => {
    notify = resolve;
  });
  let isGiven = false;
  const content = new Readable({
    read() {
      if (!isGiven && bytes > 0) this.push(Buffer.alloc(bytes));
      else notify();
      isGiven = true;
    },
  });
  const entries = async function* (): AsyncGenerator<TreeEntry> {
    yield { ...FILE, content };
  };
  const writing = engine.files.writeTree(sandboxId, 'file', null, entries(), cancel.signal);
  const rejected = expect(writing).rejects.toMatchObject({ code: 'cancelled' });
  await stalled;
  cancel.abort();
  await rejected;
});
