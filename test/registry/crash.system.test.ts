/**
 * Recovery after servers that were really killed: child processes with their own registry, ended by SIGKILL.
 */
import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { readdirSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { createInterface } from 'node:readline';
import { fileURLToPath } from 'node:url';
import { afterAll, beforeAll, describe, expect, it, onTestFinished } from 'vitest';
import { z } from 'zod';
import { identify, type ProcessIdentity } from '../../src/shared/process-identity.ts';
import { type Bundle, bundle } from '../support/bundle.ts';
import { neverAborted, openWorld, plainRequest, type World } from './support/registry.ts';

const SERVER = fileURLToPath(new URL('fixtures/server.ts', import.meta.url));
const answerSchema = z.object({ sandboxIds: z.array(z.string()) });

let program: Bundle;
beforeAll(async () => {
  program = await bundle(SERVER);
});
afterAll(() => program.remove());

interface Server {
  sandboxIds: string[];
  identity: ProcessIdentity | null;
  kill(): Promise<void>;
}

/** A process that owns sandboxes in this state directory, up to the moment given by `mode`. */
async function startServer(stateDir: string, mode: 'live' | 'creating' | 'keep'): Promise<Server> {
  const child = spawn(process.execPath, [program.path, stateDir, mode], {
    stdio: ['ignore', 'pipe', 'inherit'],
  });
  const exited = once(child, 'exit');
  onTestFinished(() => {
    child.kill('SIGKILL');
  });
  for await (const line of createInterface(child.stdout)) {
    return {
      ...answerSchema.parse(JSON.parse(line)),
      identity: identify(child.pid ?? 0),
      kill: async () => {
        child.kill('SIGKILL');
        await exited;
      },
    };
  }
  throw new Error('The server ended before it was ready.');
}

/**
 * The sandboxes of a dead server's engine, in this process's engine: an engine keeps its state outside the
 * server.
 */
async function adopt({ engine }: World, sandboxIds: string[]): Promise<void> {
  for (const sandboxId of sandboxIds) {
    const networkPolicy = { mode: 'deny-all' as const };
    await engine.create(
      { ...plainRequest, sandboxId, timeoutMs: 300_000, vcpus: 1, networkPolicy },
      neverAborted,
    );
  }
}

describe('after SIGKILL', () => {
  it('stops what the dead server owned, but not while it lives', async () => {
    const world = openWorld();
    const server = await startServer(world.stateDir, 'live');
    expect(server.sandboxIds).toHaveLength(3);
    await adopt(world, server.sandboxIds);
    expect(await world.registry.recover(neverAborted)).toEqual({ stopped: [], forgotten: [], failed: [] });
    await server.kill();
    const { stopped } = await world.registry.recover(neverAborted);
    expect(stopped.sort()).toEqual(server.sandboxIds.sort());
  });

  it('leaves nothing of a create in progress', async () => {
    const world = openWorld();
    const server = await startServer(world.stateDir, 'creating');
    await adopt(world, server.sandboxIds);
    await server.kill();
    expect((await world.registry.recover(neverAborted)).forgotten).toEqual(server.sandboxIds);
    expect((await world.engine.list()).items).toEqual([]);
    expect(readdirSync(join(world.stateDir, 'records'))).toEqual([]);
  });

  it('leaves kept sandboxes running', async () => {
    const world = openWorld();
    const server = await startServer(world.stateDir, 'keep');
    await adopt(world, server.sandboxIds);
    await server.kill();
    expect(await world.registry.recover(neverAborted)).toEqual({ stopped: [], forgotten: [], failed: [] });
  });

  it('removes the partial record that the dead server was writing', async () => {
    const world = openWorld();
    const server = await startServer(world.stateDir, 'keep');
    const { pid, startTime } = server.identity ?? { pid: 0, startTime: '' };
    const half = `sbx_aaaaaaaaaaaa.json.${pid}-${startTime}-0123456789ab.tmp`;
    writeFileSync(join(world.stateDir, 'records', half), '{"version":');
    await world.registry.recover(neverAborted);
    expect(readdirSync(join(world.stateDir, 'records'))).toContain(half);
    await server.kill();
    await world.registry.recover(neverAborted);
    expect(readdirSync(join(world.stateDir, 'records'))).not.toContain(half);
  });

  it('counts the sandboxes of a dead server against the limits, but none of a living one', async () => {
    const world = openWorld({ maxSandboxes: 3 });
    const server = await startServer(world.stateDir, 'keep');
    await adopt(world, server.sandboxIds);
    const session = world.registry.openSession('local');
    await session.create(plainRequest, neverAborted);
    await server.kill();
    await expect(session.create(plainRequest, neverAborted)).rejects.toMatchObject({
      code: 'limit_exceeded',
    });
  });
});
