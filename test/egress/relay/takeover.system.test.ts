/**
 * When the process that holds the connections dies or is replaced, the network is down until the next one is
 * up.
 */
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { needs } from '../../support/needs.ts';
import { type RunningServer, startServer } from '../../support/server.ts';
import { PRELUDE } from '../support/attempts.ts';
import { isRunning, relaysOf } from '../support/relays.ts';
import { openWorld, type World } from '../support/world.ts';

const isRoot = process.getuid?.() === 0;
const GOOD_ONLY = { mode: 'custom' as const, allow: ['good.test'] };
const FETCH = { cmd: 'curl', args: ['-sS', '-m', '20', 'http://good.test/'] };

describe('the end of a gateway', needs('root, for routes to test addresses', isRoot), () => {
  let world: World;
  const servers: RunningServer[] = [];

  beforeAll(async () => {
    world = await openWorld();
  });
  afterAll(async () => {
    await world?.close();
  });

  const start = async (stateDir?: string) => {
    const args = ['--egress-dns', world.dns, '--on-disconnect', 'keep'];
    const server = await startServer({ args, ...(stateDir === undefined ? {} : { stateDir }) });
    servers.push(server);
    return server;
  };
  const create = async (server: RunningServer) => {
    const { structured } = await server.call('sandbox_create', {
      network_policy: GOOD_ONLY,
      timeout_ms: 600_000,
    });
    return String(structured['sandbox_id']);
  };
  const fetchGood = async (server: RunningServer, sandbox_id: string) =>
    (await server.call('sandbox_run_command', { ...FETCH, sandbox_id })).structured['stdout'];
  const end = async (last: RunningServer, sandbox_id: string) => {
    await last.call('sandbox_stop', { sandbox_id, blocking: true });
    for (const server of servers.splice(0)) await server.close();
  };

  it('returns it to the first server once the second, which took over, is dead', async () => {
    const first = await start();
    const sandbox_id = await create(first);
    try {
      const second = await start(first.stateDir);
      await second.call('sandbox_get', { sandbox_id });
      expect(await fetchGood(second, sandbox_id)).toBe('good 0\n');
      const { structured } = await second.call('session_info');
      expect(JSON.stringify(structured['sandboxes'])).toMatch(/"connections":1,/);
      process.kill(second.pid, 'SIGKILL');
      await expect.poll(() => fetchGood(first, sandbox_id)).toBe('good 0\n');
    } finally {
      await end(first, sandbox_id);
    }
  });

  it('closes the connections of a relay that died, starts the next, and logs it', async () => {
    const server = await start();
    const sandbox_id = await create(server);
    try {
      const held = `s = tcp('good.test', 7777); print(s.recv(6), flush=True)
try: print('end', s.recv(6))
except OSError as e: print('end', e)`;
      const { structured } = await server.call('sandbox_run_command_detached', {
        sandbox_id,
        cmd: 'python3',
        args: ['-c', `${PRELUDE}\n${held}`],
      });
      const command_id = structured['command_id'];
      const output = async () => (await server.call('command_output', { command_id })).text;
      await expect.poll(output).toContain('hello');
      const [relay = 0, ...others] = relaysOf(server.pid);
      expect(others).toEqual([]);
      process.kill(relay, 'SIGKILL');
      await expect.poll(output).toContain('end');
      await expect.poll(() => fetchGood(server, sandbox_id)).toBe('good 0\n');
      expect(server.stderr()).toContain('the relay of a sandbox exited');
    } finally {
      await end(server, sandbox_id);
    }
  });

  it('leaves no relay, however the server ends', async () => {
    const server = await start();
    const [stopped, kept] = [await create(server), await create(server)];
    expect(relaysOf(server.pid)).toHaveLength(2);
    await server.call('sandbox_stop', { sandbox_id: stopped, blocking: true });
    const left = relaysOf(server.pid);
    expect(left).toHaveLength(1);
    process.kill(server.pid, 'SIGKILL');
    await expect.poll(() => left.filter(isRunning)).toEqual([]);
    await end(await start(server.stateDir), kept);
  });
});
