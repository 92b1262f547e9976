/**
 * A tool call over HTTP while this many sessions are open, each calling in turn, compared with the same call over
 * stdio.
 */
import { z } from 'zod';
import { type BenchClient, type BenchHttpServer, openHttpServer } from '../http-server.ts';
import { memoryKb } from '../memory.ts';
import type { Row } from '../row.ts';
import { openServer } from '../server.ts';
import { percentile } from '../statistics.ts';

const MAX_P50_RATIO = 1.5;
const MAX_P99_RATIO = 3;
const MAX_SESSION_MB = 1;
/** With fewer, the garbage between two collections weighs more than they do. */
const WEIGHABLE = 100;
/** How long all sessions call at once. */
const BUSY_MS = 3_000;

const succeeded = z.object({ exit_code: z.literal(0), status: z.literal('finished') });
const created = z.object({ sandbox_id: z.string() });

export function httpRow(sessions: number): Row {
  return {
    name: `http-${sessions}`,
    title: `sandbox_run_command cmd=true with ${sessions} open session${sessions === 1 ? '' : 's'}, to its answer`,
    warmUps: 50,
    runs: 500,
    async open(dist) {
      const { stdio, http, sandboxId, clients, serverMb, sessionMb, sandbox_id } = await openBoth(
        dist,
        sessions,
      );
      const [overHttp, overStdio]: [number[], number[]] = [[], []];
      const ratio = (share: number): string =>
        (percentile(overHttp, share) / percentile(overStdio, share)).toFixed(2);
      let turn = 0;
      return {
        contenders: [
          {
            label: 'over HTTP',
            run: async () => {
              const client = clients[turn % clients.length];
              if (client === undefined) throw new Error('no session is open');
              turn += 1;
              return timed(client, sandbox_id, overHttp);
            },
          },
          { label: 'over stdio', run: () => timed(stdio, sandboxId, overStdio) },
        ],
        async after() {
          const callsPerSecond = await busyRate(clients, sandbox_id);
          await Promise.all([stdio.close(), http.close()]);
          return [
            `p50 ${ratio(0.5)} × (the limit is ${MAX_P50_RATIO}), ` +
              `p99 ${ratio(0.99)} × (the limit is ${MAX_P99_RATIO})`,
            `memory of the server with one sandbox: ${serverMb.toFixed(0)} MB (proportional set size)`,
            ...(sessions < WEIGHABLE
              ? []
              : [`memory a session: ${sessionMb.toFixed(2)} MB (the limit is ${MAX_SESSION_MB} MB)`]),
            `all sessions at once: ${callsPerSecond.toFixed(0)} calls a second, with the clients on the same machine`,
          ];
        },
      };
    },
  };
}

/** Leaves no server behind if one of them fails. */
async function openBoth(dist: string, sessions: number) {
  const stdio = await openServer(dist);
  let http: BenchHttpServer | null = null;
  try {
    const sandboxId = await stdio.create();
    http = await openHttpServer(dist);
    return { stdio, http, sandboxId, ...(await openSessions(http, sessions)) };
  } catch (error) {
    await Promise.all([stdio.close(), http?.close()]);
    throw error;
  }
}

async function timed(client: BenchClient, sandbox_id: string, times: number[]): Promise<number> {
  const started = performance.now();
  const answer = await client.call('sandbox_run_command', { sandbox_id, cmd: 'true' });
  const taken = performance.now() - started;
  succeeded.parse(answer);
  times.push(taken);
  return taken;
}

/** Calls answered in a second while every session makes one after another. */
async function busyRate(clients: readonly BenchClient[], sandbox_id: string): Promise<number> {
  const started = performance.now();
  let answered = 0;
  await Promise.all(
    clients.map(async (client) => {
      while (performance.now() - started < BUSY_MS) {
        succeeded.parse(await client.call('sandbox_run_command', { sandbox_id, cmd: 'true' }));
        answered += 1;
      }
    }),
  );
  return (answered * 1_000) / (performance.now() - started);
}

/** Opens the sessions, after one whose loading of code and first sandbox do not count. */
async function openSessions(http: BenchHttpServer, sessions: number) {
  const first = await http.connect();
  const { sandbox_id } = created.parse(await first.call('sandbox_create'));
  await first.call('sandbox_run_command', { sandbox_id, cmd: 'true' });
  const before = memoryKb(http.pid);
  const clients: BenchClient[] = [];
  for (let opened = 0; opened < sessions; opened++) {
    const client = await http.connect();
    await client.call('sandbox_run_command', { sandbox_id, cmd: 'true' });
    clients.push(client);
  }
  const sessionMb = (memoryKb(http.pid) - before) / 1_024 / sessions;
  return { clients, serverMb: before / 1_024, sessionMb, sandbox_id };
}
