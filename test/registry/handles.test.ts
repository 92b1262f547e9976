import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import { describe, expect, it, vi } from 'vitest';
import type { NetworkPolicy } from '../../src/engines/engine.ts';
import { RecordStore } from '../../src/registry/records/record-store.ts';
import { callTool } from '../../src/server/call-tool.ts';
import { createLogger } from '../../src/shared/log.ts';
import { TOOLS } from '../../tools/index.ts';
import { config } from '../server/support/connected-server.ts';
import { neverAborted, openWorld, plainRequest, rejection, type World } from './support/registry.ts';

/** The fake engine with changeable policies; returns the policies it received. */
function withPolicies(world: World): { sandboxId: string; policy: NetworkPolicy }[] {
  const updates: { sandboxId: string; policy: NetworkPolicy }[] = [];
  world.engine.engineLimits.networkModes.push('custom');
  Object.assign(world.engine, {
    networkPolicies: {
      update: async (sandboxId: string, policy: NetworkPolicy) => {
        updates.push({ sandboxId, policy });
        return policy;
      },
    },
  });
  return updates;
}

// In two pieces, since the whole would look like a template.
const REFERENCE = ['$', '{secret:KEY}'].join('');

const POLICY: NetworkPolicy = {
  mode: 'custom',
  allow: ['example.com'],
  rules: [{ domain: 'api.example.com', headers: { authorization: 'Bearer abc', 'x-key': REFERENCE } }],
};

describe('a network policy update', () => {
  it('is recorded as the requested policy, without header values', async () => {
    const world = openWorld();
    const updates = withPolicies(world);
    const session = world.registry.openSession('local');
    const { sandboxId } = await session.create(plainRequest, neverAborted);
    await (await session.sandbox(undefined)).updateNetworkPolicy(POLICY, neverAborted);
    expect(updates).toEqual([{ sandboxId, policy: POLICY }]);
    const file = join(world.stateDir, 'records', `${sandboxId}.json`);
    const record: unknown = JSON.parse(readFileSync(file, 'utf8'));
    expect(record).toMatchObject({
      requested: {
        networkPolicy: {
          mode: 'custom',
          rules: [{ headers: { authorization: '***', 'x-key': REFERENCE } }],
        },
      },
    });
  });

  it('is validated like a create', async () => {
    const world = openWorld();
    const updates = withPolicies(world);
    const session = world.registry.openSession('local');
    await session.create(plainRequest, neverAborted);
    const handle = await session.sandbox(undefined);
    const ignored = rejection(
      handle.updateNetworkPolicy({ mode: 'deny-all', allow: ['example.com'] }, neverAborted),
    );
    expect(await ignored).toMatchObject({
      code: 'invalid_argument',
      hint: expect.stringContaining('sandbox_update_network_policy'),
    });
    const mode = rejection(handle.updateNetworkPolicy({ mode: 'allow-all' }, neverAborted));
    expect((await mode).code).toBe('unsupported');
    await handle.stop(neverAborted);
    expect((await rejection(handle.updateNetworkPolicy(POLICY, neverAborted))).code).toBe('conflict');
    expect(updates).toEqual([]);
  });

  it('is rejected by an engine that cannot change policies', async () => {
    const { registry } = openWorld();
    const session = registry.openSession('local');
    await session.create(plainRequest, neverAborted);
    const handle = await session.sandbox(undefined);
    expect((await rejection(handle.updateNetworkPolicy(POLICY, neverAborted))).code).toBe('unsupported');
  });
});

describe('a command call', () => {
  it('reads the ownership record once', async () => {
    const world = openWorld();
    const session = world.registry.openSession('local');
    await session.create(plainRequest, neverAborted);
    const reads = vi.spyOn(RecordStore.prototype, 'read');
    const tools = new Map(TOOLS.map((tool) => [tool.name, tool]));
    const context = {
      session,
      config,
      signal: neverAborted,
      wantsProgress: false,
      confirm: async () => {},
      continueAsTask: null,
      progress: () => {},
      softTimeoutMs: 50_000,
      boundWait: (waitMs: number) => waitMs,
      now: () => world.clock.now(),
    };
    const request = { name: 'sandbox_run_command', arguments: { cmd: 'true', wait_ms: 0 } };
    const callTimeout = { callMs: 55_000, late: () => {} };
    const { isError } = await callTool(tools, request, context, createLogger('silent'), callTimeout);
    expect(isError).toBeUndefined();
    expect(reads).toHaveBeenCalledTimes(1);
    reads.mockRestore();
  });
});
