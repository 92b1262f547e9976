import { once } from 'node:events';
import { mkdir, readdir, readFile, rm, writeFile } from 'node:fs/promises';
import { createConnection } from 'node:net';
import { join } from 'node:path';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import type { Sandbox } from '../../../../src/engines/engine.ts';
import { newCommandId } from '../../../../src/shared/ids.ts';
import { createRequest, timeoutSignal } from '../../../conformance/support/requests.ts';
import { openOciEngines } from '../support/oci-engines.ts';

type Opened = Awaited<ReturnType<typeof openOciEngines>>;

/** Sandboxes that end without a request, or whose record is lost. */
describe('a sandbox that ends without a request', () => {
  let opened: Opened;
  beforeAll(async () => {
    opened = await openOciEngines();
  });
  afterAll(async () => {
    await opened.close();
  });

  const dirOf = ({ sandboxId }: Sandbox) => join(opened.stateDir, 'sandboxes', sandboxId);
  const portOf = ({ ports }: Sandbox) => Number(new URL(ports[0]?.url ?? '').port);
  const refused = async (port: number) => {
    const socket = createConnection({ host: '127.0.0.1', port });
    const [error] = await once(socket, 'error').catch(() => [{ code: 'connected' }]);
    socket.destroy();
    return error.code === 'ECONNREFUSED';
  };
  const start = (sandbox: Sandbox) => {
    const { sandboxId } = sandbox;
    const commandId = newCommandId(sandboxId);
    const request = {
      commandId,
      sandboxId,
      cmd: 'sleep',
      args: ['300'],
      cwd: null,
      env: {},
      sudo: false,
      timeoutMs: null,
    };
    return opened.engine.commands.start(request, timeoutSignal());
  };

  it('is cleaned up at its deadline without a request: port, layers, everything', async () => {
    const sandbox = await opened.engine.create(
      createRequest({ ports: [8080], timeoutMs: 1_000 }),
      timeoutSignal(),
    );
    const port = portOf(sandbox);
    await expect
      .poll(async () => (await readdir(dirOf(sandbox))).sort(), { interval: 50 })
      .toEqual(['agent', 'commands', 'record.json']);
    await expect.poll(() => refused(port)).toBe(true);
    await opened.engine.forget(sandbox.sandboxId, timeoutSignal());
  });

  it('does not end when it is extended after the clock of this machine was set ahead', async () => {
    const sandbox = await opened.engine.create(createRequest(), timeoutSignal());
    const path = join(dirOf(sandbox), 'record.json');
    const record = JSON.parse(await readFile(path, 'utf8'));
    // What was an instant in the future has passed.
    await writeFile(path, JSON.stringify({ ...record, expiresAt: record.expiresAt - 3_600_000 }));
    const extended = await opened.engine.extendTimeout(sandbox.sandboxId, 1_000, timeoutSignal());
    expect(extended).toMatchObject({ status: 'running' });
    expect(Math.abs((extended.expiresAt ?? 0) - record.expiresAt)).toBeLessThan(60_000);
    await opened.engine.forget(sandbox.sandboxId, timeoutSignal());
  });

  it('has its ports closed by its creator when another process has stopped it', async () => {
    const sandbox = await opened.engine.create(createRequest({ ports: [8080] }), timeoutSignal());
    await opened.other.stop(sandbox.sandboxId, 'requested', timeoutSignal());
    const seen = await opened.engine.get(sandbox.sandboxId, timeoutSignal());
    expect(seen).toMatchObject({ status: 'stopped', ports: [{ port: 8080, url: null }] });
    expect(await refused(portOf(sandbox))).toBe(true);
    await opened.engine.forget(sandbox.sandboxId, timeoutSignal());
  });

  it('reports to each waiter of a command why it ended: stopped here, stopped elsewhere, expired', async () => {
    const ends: [string, number, (sandbox: Sandbox) => Promise<unknown>][] = [
      [
        'stopped here',
        60_000,
        ({ sandboxId }) => opened.engine.stop(sandboxId, 'requested', timeoutSignal()),
      ],
      [
        'stopped elsewhere',
        60_000,
        ({ sandboxId }) => opened.other.stop(sandboxId, 'requested', timeoutSignal()),
      ],
      ['expired', 1_000, () => Promise.resolve()],
    ];
    for (const [how, timeoutMs, end] of ends) {
      const sandbox = await opened.engine.create(createRequest({ timeoutMs }), timeoutSignal());
      const { commandId } = await start(sandbox);
      const waiting = opened.engine.commands.wait(commandId, timeoutSignal());
      await end(sandbox);
      const finished = await waiting;
      expect(finished, how).toMatchObject({ status: 'finished', exitCode: 137, endedBy: 'sandbox_stopped' });
      expect(await opened.engine.commands.get(commandId, timeoutSignal()), how).toMatchObject({
        endedBy: 'sandbox_stopped',
        durationMs: finished.durationMs,
      });
      await opened.engine.forget(sandbox.sandboxId, timeoutSignal());
    }
  });

  it('has a specific error when its record is damaged or unreadable, and can still be removed completely', async () => {
    for (const damage of ['{"format":1,', null]) {
      const sandbox = await opened.engine.create(createRequest({ ports: [8080] }), timeoutSignal());
      const neighbour = await opened.engine.create(createRequest(), timeoutSignal());
      const record = join(dirOf(sandbox), 'record.json');
      await rm(record);
      // A directory in place of the record cannot be read at all.
      if (damage === null) await mkdir(record);
      else await writeFile(record, damage);
      await expect(opened.engine.get(sandbox.sandboxId, timeoutSignal())).rejects.toMatchObject({
        code: 'server',
      });
      expect(await opened.engine.get(neighbour.sandboxId, timeoutSignal())).toMatchObject({
        status: 'running',
      });
      const page = await opened.engine.list(
        { limit: 100, since: null, until: null, cursor: null },
        timeoutSignal(),
      );
      expect(page.items.map(({ sandboxId }) => sandboxId)).toContain(neighbour.sandboxId);
      await opened.engine.forget(sandbox.sandboxId, timeoutSignal());
      await expect(readdir(dirOf(sandbox))).rejects.toMatchObject({ code: 'ENOENT' });
      await opened.engine.forget(neighbour.sandboxId, timeoutSignal());
    }
  });
});
