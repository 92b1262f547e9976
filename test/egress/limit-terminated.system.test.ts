/** The quota of `--egress-max-bytes` also applies to connections whose TLS the gateway terminates. */
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { z } from 'zod';
import type { NetworkPolicy } from '../../src/engines/engine.ts';
import { needs } from '../support/needs.ts';
import { type RunningServer, startServer } from '../support/server.ts';
import { ruledServer, say } from './support/ruled-sandbox.ts';
import { openRuledWorld, type RuledWorld } from './support/ruled-world.ts';

const isRoot = process.getuid?.() === 0;
const LIMIT = 2_000_000;
/** An allowance for name lookups, which count but use another path. */
const LOOKUPS = 10_000;
const RULES: NetworkPolicy = {
  mode: 'custom',
  rules: [{ domain: 'api.test', headers: { Authorization: say('TOKEN') } }],
};
const info = z.object({
  sandboxes: z.array(
    z.object({
      network: z.object({
        bytes_in: z.number(),
        bytes_out: z.number(),
        last_refused: z.array(z.object({ rule: z.string() })),
      }),
    }),
  ),
});

describe(
  'the network quota of terminated connections',
  needs('root, for a route to test addresses', isRoot),
  () => {
    let world: RuledWorld;
    let server: RunningServer;

    beforeAll(async () => {
      world = await openRuledWorld();
      const { args = [], env = {} } = ruledServer(world);
      server = await startServer({ args: [...args, '--egress-max-bytes', String(LIMIT)], env });
    });

    afterAll(async () => {
      await server?.close();
      await world?.close();
    });

    const within = '-sS -o /dev/null https://api.test/bytes/500000';
    it.each([
      ['a download by HTTP/1.1', '--http1.1', 'https://api.test/bytes/4000000'],
      ['a download by HTTP/2', '--http2', 'https://api.test/bytes/4000000'],
      ['an HTTP/1.1 upload', '--http1.1', '--data-binary @/tmp/big https://api.test/up'],
      ['an HTTP/2 upload', '--http2', '--data-binary @/tmp/big https://api.test/up'],
      [
        'several concurrent HTTP/2 transfers',
        '--http2',
        '--parallel -o /dev/null -o /dev/null -o /dev/null https://api.test/bytes/90000[1-3]',
      ],
    ])('ends %s', async (_title, version, what) => {
      const created = await server.call('sandbox_create', { network_policy: RULES });
      expect(created.isError, created.text).toBe(false);
      try {
        const lines = [
          'head -c 4000000 /dev/zero > /tmp/big',
          `curl ${version} ${within}; echo "within $?"`,
          `curl ${version} -sS -o /dev/null ${what}; echo "beyond $?"`,
          `curl ${version} -sS --resolve api.test:443:${world.address} https://api.test/over; echo "tls $?"`,
          `curl -sS --resolve api.test:80:${world.address} http://api.test/over`,
        ];
        const { structured } = await server.call('sandbox_run_command', {
          cmd: 'bash',
          args: ['-c', lines.join('\n')],
        });
        const printed = `${structured['stdout']}${structured['stderr']}`;
        expect(printed).toContain('within 0\n');
        expect(printed).toMatch(/beyond [1-9]/);
        expect(printed).toMatch(/tls [1-9]/);
        expect(printed).toContain('access denied');
        expect(printed).toContain(`used up its network quota of ${LIMIT} bytes`);
        expect(world.seen.some(({ path }) => path === '/over')).toBe(false);
        const [only] = info.parse((await server.call('session_info')).structured).sandboxes;
        const moved = (only?.network.bytes_in ?? 0) + (only?.network.bytes_out ?? 0);
        expect(moved).toBeGreaterThanOrEqual(LIMIT);
        expect(moved).toBeLessThan(LIMIT + LOOKUPS);
        expect(only?.network.last_refused[0]?.rule).toContain('--egress-max-bytes');
      } finally {
        await server.call('sandbox_stop', { blocking: true });
      }
    });
  },
);
