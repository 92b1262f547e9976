/** A sandbox ends with its last owner, but not by anything done from inside. */
import { readFile } from 'node:fs/promises';
import { join } from 'node:path';
import { afterEach, describe, expect, it } from 'vitest';
import { TIMEOUT_FACTOR } from '../support/timeout-factor.ts';
import { AgentSandbox, exists } from './support/agent-sandbox.ts';
import { Connection, request } from './support/protocol.ts';

let sandbox: AgentSandbox | null = null;
afterEach(async () => {
  await sandbox?.stop();
  sandbox = null;
});

async function start(owner = true): Promise<AgentSandbox> {
  sandbox = await AgentSandbox.start({ owner });
  return sandbox;
}

async function reason(box: AgentSandbox): Promise<string> {
  return readFile(join(box.dir, 'ended'), 'utf8');
}

describe('an owned sandbox', () => {
  it('ends with everything in it when its only owner disconnects, and reports why', async () => {
    const box = await start();
    const command = await box.run(['sh', '-c', 'trap "" TERM HUP; setsid sleep 1000 & sleep 1000']);
    const began = performance.now();
    box.owner.destroy();
    await box.exited;
    expect(performance.now() - began).toBeLessThan(10_000 * TIMEOUT_FACTOR);
    expect(await reason(box)).toBe('owner');
    expect(await command.rest()).toBeDefined();
    command.close();
  });

  it('lives as long as any of its owners', async () => {
    const box = await start();
    const second = await box.own();
    const third = await box.own();
    box.owner.destroy();
    second.close();
    expect((await box.ask(request.ping)).number(40)).toBe(1);
    // Once a later owner is accepted, both disconnections have been noticed.
    (await box.own()).close();
    expect((await box.ask(request.ping)).number(40)).toBe(1);
    third.close();
    await box.exited;
    expect(await reason(box)).toBe('owner');
  });

  it('is not owned by request connections or programs inside', async () => {
    const box = await start();
    const asking = await box.connect();
    const command = await box.run(['sleep', '1000']);
    box.owner.destroy();
    await box.exited;
    asking.close();
    command.close();
  });

  it('lives until its deadline once an owner has released it', async () => {
    const box = await start();
    const second = await box.own();
    box.owner.end('k');
    second.close();
    // Further owners are neither needed nor accepted.
    await box.own().then(
      (owner) => owner.rest(),
      () => {},
    );
    expect((await box.ask(request.ping)).number(40)).toBe(1);
    expect(await exists(join(box.dir, 'owners'))).toBe(false);
  });

  it('does not leak its descriptors to the programs it runs', async () => {
    const box = await start();
    await box.own();
    const { out } = await box.finish(['sh', '-c', 'ls /proc/self/fd | wc -l'], { sudo: true });
    // The three standard streams and the directory being listed.
    expect(out.trim()).toBe('4');
  });

  it('accepts a limited number of owners', async () => {
    const box = await start();
    const owners = await Promise.all(Array.from({ length: 15 }, () => box.own()));
    const refused = await Connection.open(join(box.dir, 'owners'));
    expect(await refused.next()).toBeNull();
    for (const owner of owners) owner.close();
    expect((await box.ask(request.ping)).number(40)).toBe(1);
  });
});

describe('a sandbox without owners', () => {
  it('has no owner socket', async () => {
    const box = await start(false);
    expect(await exists(join(box.dir, 'owners'))).toBe(false);
    expect((await box.ask(request.ping)).number(40)).toBe(1);
  });
});
