/** Network traffic of a sandbox is counted, logged on disk, and can be limited. */
import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { z } from 'zod';
import { needs } from '../support/needs.ts';
import { type RunningServer, startServer } from '../support/server.ts';
import { ALL, PRELUDE } from './support/attempts.ts';
import { openWorld, type World } from './support/world.ts';

const isRoot = process.getuid?.() === 0;
const GOOD_ONLY = { mode: 'custom' as const, allow: ['good.test'] };
const network = z.object({
  connections: z.number(),
  bytes_in: z.number(),
  bytes_out: z.number(),
  max_bytes: z.number().nullable(),
  refused: z.number(),
  last_refused: z.array(z.object({ time: z.number(), domain: z.string().nullable(), rule: z.string() })),
});
const info = z.object({ sandboxes: z.array(z.object({ network })) });

describe('network accounting', needs('root, for routes to test addresses', isRoot), () => {
  let world: World;
  beforeAll(async () => {
    world = await openWorld();
  });
  afterAll(async () => {
    await world?.close();
  });

  const start = (more: string[] = [], stateDir?: string) =>
    startServer({
      args: ['--egress-dns', world.dns, '--on-disconnect', 'keep', ...more],
      ...(stateDir === undefined ? {} : { stateDir }),
    });
  const accounts = async (server: RunningServer) => {
    const { structured } = await server.call('session_info');
    const [first] = info.parse(structured).sandboxes;
    if (first === undefined) throw new Error('the session has no sandbox');
    return first.network;
  };
  const python = async (server: RunningServer, script: string) => {
    const names = `GOOD = ${JSON.stringify(world.good)}; EVIL = ${JSON.stringify(world.evil)}`;
    const args = ['-c', `${PRELUDE}\n${names}\n${script}`];
    const { structured } = await server.call('sandbox_run_command', { cmd: 'python3', args });
    return `${structured['stdout']}${structured['stderr']}`;
  };

  it('counts transferred bytes exactly, and logs every connection on disk', async () => {
    const server = await start();
    const { structured } = await server.call('sandbox_create', { network_policy: ALL });
    try {
      await python(server, `s = tcp(GOOD, 7777); s.recv(6); s.sendall(b'x' * 50000); s.close()`);
      await expect.poll(async () => (await accounts(server)).bytes_out).toBe(50_000);
      expect(await accounts(server)).toMatchObject({
        connections: 1,
        bytes_in: 6,
        refused: 0,
        max_bytes: null,
      });
      await server.call('sandbox_update_network_policy', { network_policy: GOOD_ONLY });
      await python(server, `tell(EVIL, 80, get(b'evil.test'))`);
      const file = join(server.stateDir, 'sandboxes', String(structured['sandbox_id']), 'network.jsonl');
      const refused = {
        protocol: 'http',
        domain: 'evil.test',
        address: world.evil,
        port: 80,
        outcome: 'refused',
      };
      await expect
        .poll(() =>
          readFileSync(file, 'utf8')
            .trim()
            .split('\n')
            .map((line): unknown => JSON.parse(line).connection)
            .filter((connection) => connection !== null),
        )
        .toMatchObject([
          {
            protocol: 'tcp',
            address: world.good,
            port: 7777,
            rule: 'mode allow-all',
            bytesIn: 6,
            bytesOut: 50_000,
          },
          refused,
        ]);
    } finally {
      await server.call('sandbox_stop', { blocking: true });
      await server.close();
    }
  });

  it('closes and refuses connections over the limit with a readable reason, also in the next server', async () => {
    const limit = ['--egress-max-bytes', '200KB'];
    const first = await start(limit);
    const created = await first.call('sandbox_create', { network_policy: ALL });
    const sandbox_id = String(created.structured['sandbox_id']);
    let second: RunningServer | null = null;
    try {
      const within = await python(
        first,
        `s = tcp(GOOD, 7778); s.sendall(b'x' * 50000); print(len(s.recv(50000, socket.MSG_WAITALL)))`,
      );
      expect(within.trim()).toBe('50000');
      const beyond = `
s = tcp(GOOD, 7778); n = 0
try:
  s.sendall(b'x' * 90000); s.shutdown(socket.SHUT_WR)
  while True:
    d = s.recv(65536)
    if not d: break
    n += len(d)
  print('whole', n)
except OSError as e: print('cut', n, e)
tell(GOOD, 80, get(b'good.test'))`;
      const printed = await python(first, beyond);
      expect(printed).toContain('cut');
      expect(printed).toContain('403 Forbidden');
      expect(printed).toContain('used up its network quota of 200000 bytes');
      const reported = await accounts(first);
      expect(reported.max_bytes).toBe(200_000);
      expect(reported.bytes_in + reported.bytes_out).toBe(200_000);
      expect(reported.last_refused[0]?.rule).toContain('--egress-max-bytes');
      process.kill(first.pid, 'SIGKILL');
      second = await start(limit, first.stateDir);
      await second.call('sandbox_get', { sandbox_id });
      const later = await accounts(second);
      expect(later.bytes_in + later.bytes_out).toBe(200_000);
      expect(later.last_refused).toEqual(reported.last_refused);
      expect(await python(second, `tell(GOOD, 80, get(b'good.test'))`)).toContain('--egress-max-bytes');
    } finally {
      await (second ?? first).call('sandbox_stop', { sandbox_id, blocking: true });
      await second?.close();
      await first.close();
    }
  });
});
