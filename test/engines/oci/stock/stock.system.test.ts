/** A sandbox that was booted ahead becomes what a create requests, and nothing shows that it existed before. */
import { once } from 'node:events';
import { access, readdir, readFile } from 'node:fs/promises';
import { createServer } from 'node:http';
import { join } from 'node:path';
import { setTimeout as delay } from 'node:timers/promises';
import { afterAll, beforeAll, describe, expect, it, onTestFinished } from 'vitest';
import { z } from 'zod';
import type { CreateSandbox, Engine, Sandbox } from '../../../../src/engines/engine.ts';
import { createOciEngine } from '../../../../src/engines/oci/index.ts';
import { newSandboxId } from '../../../../src/shared/ids.ts';
import { createLogger } from '../../../../src/shared/log.ts';
import { createRequest, timeoutSignal } from '../../../conformance/support/requests.ts';
import { run } from '../../../conformance/support/run.ts';
import { HOST_ADDRESS } from '../../../support/source-server.ts';
import { AGENT_PATH, openOciEngines } from '../support/oci-engines.ts';

const stockRecord = z.object({
  sandboxId: z.string(),
  runtime: z.literal('.stock'),
  init: z.object({ pid: z.number() }),
});
type Stocked = z.infer<typeof stockRecord>;

let place: Awaited<ReturnType<typeof openOciEngines>>;
let engine: Engine;

beforeAll(async () => {
  place = await openOciEngines();
  const { stateDir } = place;
  const log = createLogger('silent');
  const egress = { allow: HOST_ADDRESS === null ? [] : [`${HOST_ADDRESS}/32`], dns: [], maxBytes: null };
  engine = createOciEngine({ stateDir, ociRuntime: 'auto', agentPath: AGENT_PATH, egress, warm: 1, log });
});

afterAll(async () => {
  await engine.close();
  expect(await stock()).toEqual([]);
  await place.close();
});

async function stock(): Promise<Stocked[]> {
  const folder = join(place.stateDir, 'sandboxes');
  const found = await Promise.all(
    (await readdir(folder)).map(async (name) => {
      // One that is being made or removed has no record.
      const text = await readFile(join(folder, name, 'record.json'), 'utf8').catch(() => '{}');
      return stockRecord.safeParse(JSON.parse(text)).data ?? [];
    }),
  );
  return found.flat();
}

async function untilStocked(): Promise<Stocked> {
  for (;;) {
    const [first] = await stock();
    // Booted and recorded, its gateway is opened last.
    if (first !== undefined && (await isReady(first))) return first;
    await delay(10);
  }
}

async function isReady({ sandboxId }: Stocked): Promise<boolean> {
  const reserved = engine.stock?.reserve(createRequest()) ?? null;
  if (reserved !== null) engine.stock?.giveBack(reserved);
  return reserved === sandboxId;
}

/** Creates with the id that the engine suggests, as the registry does. */
async function create(request: Partial<CreateSandbox> = {}): Promise<Sandbox> {
  const complete = createRequest(request);
  const sandboxId = engine.stock?.reserve(complete) ?? newSandboxId();
  return engine.create({ ...complete, sandboxId }, timeoutSignal());
}

async function output(sandbox: Sandbox, script: string): Promise<string> {
  const subject = { engine, other: place.other, shared: sandbox, create };
  return (await run(subject, 'sh', ['-c', script])).stdout;
}

describe('a sandbox in stock', () => {
  it('is made after the first create, belongs to nobody and is in no list', async () => {
    const first = await create();
    const { sandboxId } = await untilStocked();
    const { items } = await engine.list(
      { limit: 10, since: null, until: null, cursor: null },
      timeoutSignal(),
    );
    expect(items.map((item) => item.sandboxId)).toEqual([first.sandboxId]);
    expect(await place.other.recover(timeoutSignal())).toEqual([]);
    expect((await stock()).map((each) => each.sandboxId)).toEqual([sandboxId]);
    await engine.forget(first.sandboxId, timeoutSignal());
  });

  it('becomes what is requested: timeout, environment, ports, policy and owner', async () => {
    const stocked = await untilStocked();
    const before = Date.now();
    const sandbox = await create({
      env: { GREETING: 'hello' },
      ports: [8080],
      timeoutMs: 60_000,
      networkPolicy: { mode: 'custom', allow: ['a.example'] },
      interactive: true,
      keep: true,
    });
    expect(sandbox).toMatchObject({
      sandboxId: stocked.sandboxId,
      status: 'running',
      runtime: 'host',
      timeoutMs: 60_000,
      networkPolicy: { mode: 'custom', allow: ['a.example'] },
    });
    expect(sandbox.createdAt).toBeGreaterThanOrEqual(before);
    expect(sandbox.expiresAt).toBeLessThanOrEqual(Date.now() + 60_000);
    expect(sandbox.ports[0]?.url).toMatch(/^http:/);
    expect(sandbox.interactivePort).not.toBeNull();
    expect(await output(sandbox, 'echo "$GREETING"; hostname')).toBe('hello\nsandbox\n');
    // Nobody can become an owner of a kept sandbox: its socket for owners is gone.
    await expect(
      access(join(place.stateDir, 'sandboxes', sandbox.sandboxId, 'agent/owners')),
    ).rejects.toThrow('ENOENT');
    await engine.stop(sandbox.sandboxId, 'requested', timeoutSignal());
  });

  it('reaches what its policy allows, also after a change, and nothing before', async (context) => {
    const { networkModes } = await engine.limits(timeoutSignal());
    if (HOST_ADDRESS === null || !networkModes.includes('custom'))
      return context.skip('needs outbound network and an address that is not loopback');
    const server = createServer((_, response) => response.end('hello')).listen(0, HOST_ADDRESS);
    onTestFinished(() => void server.close());
    await once(server, 'listening');
    const address = server.address();
    const port = typeof address === 'object' ? address?.port : null;
    const { sandboxId } = await untilStocked();
    const networkPolicy = { mode: 'custom' as const, subnets: { allow: [`${HOST_ADDRESS}/32`] } };
    const sandbox = await create({ networkPolicy });
    expect(sandbox.sandboxId).toBe(sandboxId);
    const ask = `node -e "fetch('http://${HOST_ADDRESS}:${port}').then(async (r) => console.log(r.status, await r.text()), () => console.log('none'))"`;
    expect(await output(sandbox, ask)).toBe('200 hello\n');
    await engine.networkPolicies?.update(sandboxId, { mode: 'deny-all' }, timeoutSignal());
    expect(await output(sandbox, ask)).not.toContain('hello');
    await engine.forget(sandboxId, timeoutSignal());
  });

  it('ends at the deadline of the request', async () => {
    await untilStocked();
    const { sandboxId } = await create({ timeoutMs: 300 });
    for (;;) {
      const { status, stopCause } = await engine.get(sandboxId, timeoutSignal());
      if (status === 'stopped') return expect(stopCause).toBe('deadline');
      await delay(20);
    }
  });

  it('is replaced by a boot of the same id if it has died', async () => {
    const stocked = await untilStocked();
    const complete = createRequest();
    const sandboxId = engine.stock?.reserve(complete) ?? '';
    // Reserved, it is not yet what its owner asked for.
    await expect(engine.get(sandboxId, timeoutSignal())).rejects.toMatchObject({ code: 'not_found' });
    expect(sandboxId).toBe(stocked.sandboxId);
    process.kill(stocked.init.pid, 'SIGKILL');
    const sandbox = await engine.create({ ...complete, sandboxId }, timeoutSignal());
    expect(sandbox).toMatchObject({ sandboxId, status: 'running' });
    expect(await output(sandbox, 'echo works')).toBe('works\n');
    await engine.forget(sandboxId, timeoutSignal());
  });

  it('is not taken for another size, an image, a source, volumes or a workspace', async () => {
    await untilStocked();
    const localPath = place.stateDir;
    const unsuitable: Partial<CreateSandbox>[] = [
      { vcpus: 2 },
      { runtime: 'alpine' },
      { source: { type: 'snapshot', snapshotId: 'snap_222222222222' } },
      { volumeMounts: [{ owner: 'local', name: 'v', path: '/v', readOnly: false }] },
      { workspace: { localPath, path: '/w', mode: 'read-only' } },
    ];
    for (const request of unsuitable) expect(engine.stock?.reserve(createRequest(request))).toBeNull();
  });
});
