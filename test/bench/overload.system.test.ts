/** A sandbox that does its worst does not keep the server from answering others. */
import { networkInterfaces } from 'node:os';
import { describe, expect, it } from 'vitest';
import { OVERLOAD } from '../../bench/overload.ts';
import { NAME, openWebServer } from '../../bench/web-server.ts';
import { needs } from '../support/needs.ts';
import { startServer } from '../support/server.ts';
import { TIMEOUT_FACTOR } from '../support/timeout-factor.ts';
import { measureTimerLag } from '../support/timer-lag.ts';

/** The bench measures against 250 ms; here other tests share the processors. */
const WITHIN_MS = 20_000 * TIMEOUT_FACTOR;
const STEPS = 10;
const CALLS = 5;

const hasAddress = Object.values(networkInterfaces()).some((list) =>
  list?.some(({ family, internal }) => family === 'IPv4' && !internal),
);

describe('a sandbox that does its worst', needs('an IPv4 address except loopback', hasAddress), () => {
  it('does not delay session_info', async () => {
    const web = await openWebServer();
    const server = await startServer({ args: web.flags });
    try {
      await server.call('sandbox_create', { resources: { vcpus: 1 } });
      const args = ['-c', OVERLOAD, NAME, String(web.greeterPort)];
      const { structured } = await server.call('sandbox_run_command_detached', { cmd: 'python3', args });
      // The flood has begun.
      await server.call('command_logs', { command_id: structured['command_id'], limit: 1, wait_ms: 50_000 });
      // Under `custom`, the gateway reads the first bytes of every connection.
      for (const network_policy of [{ mode: 'allow-all' }, { mode: 'custom', allow: [NAME] }]) {
        await server.call('sandbox_update_network_policy', { network_policy });
        const lag = measureTimerLag();
        let longest = 0;
        for (let call = 0; call < CALLS; call++) {
          const before = performance.now();
          expect((await server.call('session_info')).isError).toBe(false);
          longest = Math.max(longest, performance.now() - before);
        }
        expect(longest).toBeLessThan(WITHIN_MS + STEPS * lag());
      }
      const command = await server.call('sandbox_get_command', { command_id: structured['command_id'] });
      expect(command.structured).toMatchObject({ status: 'running', stderr: '' });
    } finally {
      await server.close();
      await web.close();
    }
  });
});
