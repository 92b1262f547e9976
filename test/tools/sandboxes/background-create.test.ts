/** Results for a client when creating a sandbox takes longer than the soft timeout. */
import { Client } from '@modelcontextprotocol/sdk/client/index.js';
import { InMemoryTransport } from '@modelcontextprotocol/sdk/inMemory.js';
import { expect, it } from 'vitest';
import { createServer } from '../../../src/server/create-server.ts';
import { SandboxError } from '../../../src/shared/errors.ts';
import { createLogger } from '../../../src/shared/log.ts';
import { TOOLS } from '../../../tools/index.ts';
import { openWorld } from '../../registry/support/registry.ts';
import { config, textOf } from '../../server/support/connected-server.ts';

/** Longer than the soft timeout of `sandbox_create`, shorter than the timeout of common clients. */
const WAIT_MS = 55_000;

async function connect() {
  const world = openWorld();
  const session = world.registry.openSession('local');
  const log = createLogger('silent');
  const { server } = createServer({ session, tools: TOOLS, config, log, version: '1' });
  const client = new Client({ name: 'test', version: '1' });
  const [near, far] = InMemoryTransport.createLinkedPair();
  await Promise.all([server.connect(far), client.connect(near)]);
  await client.listTools();
  const held = world.engine.hold('create');
  const pending = client.callTool({ name: 'sandbox_create', arguments: {} });
  await held.entered;
  world.clock.advance(WAIT_MS);
  const { structuredContent } = await pending;
  const answer = JSON.parse(JSON.stringify(structuredContent));
  const call = (name: string, args: Record<string, unknown> = {}) =>
    client.callTool({ name, arguments: args });
  return { world, held, created: answer, call, client };
}

it('a slow create continues in the background for sandbox_wait_for_status', async () => {
  const { held, created, call, client } = await connect();
  const { sandbox_id } = created;
  expect(created).toMatchObject({
    status: 'pending',
    next: `sandbox_wait_for_status sandbox_id=${sandbox_id} status=running`,
  });
  for (const [name, args] of [
    ['sandbox_run_command', { cmd: 'true' }],
    ['sandbox_read_file', { path: 'a' }],
    ['sandbox_write_files', { files: [{ path: 'a', content: '' }] }],
    ['sandbox_extend_timeout', { duration_ms: 1_000 }],
  ] as const) {
    const refused = await call(name, args);
    expect(textOf(refused)).toContain('Error (conflict)');
    expect(textOf(refused)).toContain('sandbox_wait_for_status');
  }
  const waiting = call('sandbox_wait_for_status', { status: 'running', poll_interval_ms: 50 });
  held.release();
  expect((await waiting).structuredContent).toMatchObject({ sandbox_id, status: 'running' });
  await client.close();
});

it('a failure in the background is reported by sandbox_wait_for_status and sandbox_get', async () => {
  const { world, held, created, call, client } = await connect();
  const { sandbox_id } = created;
  world.engine.fail(
    'create',
    sandbox_id,
    new SandboxError('not_found', 'git said: no such repository', { hint: 'Look.' }),
  );
  const waiting = call('sandbox_wait_for_status', { status: 'running', poll_interval_ms: 50 });
  held.release();
  const text = textOf(await waiting);
  for (const part of ['Error (conflict)', 'is failed', 'git said: no such repository', 'sandbox_create'])
    expect(text).toContain(part);
  const { structuredContent } = await call('sandbox_get', { sandbox_id });
  expect(structuredContent).toMatchObject({
    status: 'failed',
    status_reason: 'git said: no such repository Look.',
    next: null,
  });
  await client.close();
});
