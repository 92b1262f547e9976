/**
 * session_info while a sandbox makes as much work for the server as it can, compared with one that is idle.
 */
import { processorTimes } from '../../test/support/timer-lag.ts';
import { OVERLOAD } from '../overload.ts';
import type { Row } from '../row.ts';
import { openServer } from '../server.ts';
import { NAME, openWebServer } from '../web-server.ts';

const LIMIT_MS = 250;

const POLICIES = {
  'allow-all': { mode: 'allow-all' },
  /** The gateway reads the first bytes of every connection. */
  custom: { mode: 'custom', allow: [NAME] },
};

export const sessionInfoRow = (mode: keyof typeof POLICIES): Row => ({
  name: `session-info-${mode}`,
  title: 'session_info from the client, to its answer',
  warmUps: 5,
  runs: 100,
  async open(dist) {
    const web = await openWebServer();
    const [busy, idle] = [await openServer(dist, 'auto', web.flags), await openServer(dist)];
    await idle.create();
    const sandbox_id = await busy.create();
    await busy.call('sandbox_update_network_policy', { sandbox_id, network_policy: POLICIES[mode] });
    const args = ['-c', OVERLOAD, NAME, String(web.greeterPort)];
    await busy.call('sandbox_run_command_detached', { sandbox_id, cmd: 'python3', args });
    const longest = new Map([busy, idle].map((server) => [server, { ms: 0, waitedMs: 0 }]));
    const timed = async (server: typeof busy): Promise<number> => {
      const before = { at: performance.now(), ...processorTimes(server.pid) };
      await server.call('session_info');
      const ms = performance.now() - before.at;
      if (ms > (longest.get(server)?.ms ?? 0))
        longest.set(server, { ms, waitedMs: processorTimes(server.pid).waitedMs - before.waitedMs });
      return ms;
    };
    const worst = (server: typeof busy): string => {
      const { ms, waitedMs } = longest.get(server) ?? { ms: 0, waitedMs: 0 };
      return `${ms.toFixed(0)} ms, of which the server waited ${waitedMs.toFixed(0)} ms for a processor`;
    };
    return {
      contenders: [
        {
          label: `while a sandbox floods connections, DNS, TLS hellos, headers and lines, mode ${mode}`,
          run: () => timed(busy),
        },
        { label: 'idle', run: () => timed(idle) },
      ],
      async after() {
        await Promise.all([busy.close(), idle.close()]);
        await web.close();
        return [`the longest under load (at most ${LIMIT_MS} ms): ${worst(busy)}; idle: ${worst(idle)}`];
      },
    };
  },
});
