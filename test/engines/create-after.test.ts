import { expect, it } from 'vitest';
import { delayCreates } from '../../src/engines/delay-creates.ts';
import type { CreateSandbox, Persistence } from '../../src/engines/engine.ts';
import { capabilitiesOf } from '../../src/registry/session/capabilities.ts';
import { MemoryEngine } from '../fakes/memory-engine.ts';

const request: CreateSandbox = {
  sandboxId: 'sbx_222222222222',
  runtime: null,
  ports: [],
  timeoutMs: 60_000,
  vcpus: 1,
  env: {},
  networkPolicy: { mode: 'deny-all' },
  source: null,
  interactive: false,
  keep: false,
};
const { signal } = new AbortController();

/** An engine whose creates wait until the test allows them. */
function gated() {
  let open = (): void => {};
  let fail = (): void => {};
  const ready = new Promise<void>((resolve, reject) => {
    open = resolve;
    fail = () => reject(new Error('recovery failed'));
  });
  const inner = new MemoryEngine(() => 0);
  return { inner, engine: delayCreates(inner, () => ready), open, fail };
}

it('creates once the wait is over, and does everything else at once', async () => {
  const { inner, engine, open } = gated();
  const creating = engine.create(request, signal);
  await expect(engine.list({ limit: 1, since: null, until: null, cursor: null }, signal)).resolves.toEqual({
    items: [],
    nextCursor: null,
  });
  expect(inner.calls).not.toContain(`create ${request.sandboxId}`);
  open();
  await expect(creating).resolves.toMatchObject({ status: 'running' });
  expect(inner.calls).toContain(`create ${request.sandboxId}`);
});

it('creates even if what it waited for has failed', async () => {
  const { engine, fail } = gated();
  fail();
  await expect(engine.create(request, signal)).resolves.toMatchObject({ status: 'running' });
});

it('stops waiting when it is cancelled, and creates nothing', async () => {
  const { inner, engine } = gated();
  const controller = new AbortController();
  const creating = engine.create(request, controller.signal);
  controller.abort();
  await expect(creating).rejects.toMatchObject({ code: 'cancelled' });
  expect(inner.calls).toEqual([]);
});

it('has exactly the capability groups of the engine', () => {
  const { inner, engine } = gated();
  expect(engine.ports).toBe(inner.ports);
  expect(Object.keys(engine)).not.toContain('shells');
  const persistence = new PersistentMemoryEngine(() => 0);
  expect(capabilitiesOf(delayCreates(persistence, async () => {}))).toEqual(capabilitiesOf(persistence));
  expect(capabilitiesOf(persistence)).toEqual(expect.arrayContaining(['regions', 'named_sandboxes']));
});

const unused = (): Promise<never> => Promise.reject(new Error('not called by this test'));

/** With the groups that the memory engine lacks. */
class PersistentMemoryEngine extends MemoryEngine {
  readonly regions = { example: 'here' };
  override persistence: Persistence = {
    ...{ isResumable: unused, resume: unused, adopt: unused, release: unused },
  };
}
