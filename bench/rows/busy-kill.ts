/**
 * A kill in a sandbox in which fifty commands run and write, compared with one in an otherwise idle sandbox.
 */
import { z } from 'zod';
import type { Row } from '../row.ts';
import { openServer } from '../server.ts';
import { untilSleepers } from '../until-processes.ts';

const OTHERS = 49;
const LIMIT_MS = 500;
const TALK = ['-c', 'while :; do echo still here; sleep 0.1; done'];
const started = z.object({ command_id: z.string() });
const ended = z.object({ status: z.literal('finished'), ended_by: z.literal('killed') });

export const busyKill: Row = {
  name: 'busy-kill',
  title: `command_kill of one among ${OTHERS + 1} running commands, to its process gone`,
  warmUps: 2,
  runs: 20,
  async open(dist) {
    const server = await openServer(dist, 'auto', ['--max-running-commands', String(OTHERS + 10)]);
    const busy = await server.create();
    const idle = await server.create();
    for (let count = 0; count < OTHERS; count++) {
      await server.call('sandbox_run_command_detached', { sandbox_id: busy, cmd: 'sh', args: TALK });
    }
    let seconds = 20_000_000 + (process.pid % 10_000) * 1_000;
    let longest = 0;
    const killIn = async (sandbox_id: string): Promise<number> => {
      const mark = seconds++;
      const request = { sandbox_id, cmd: 'sleep', args: [String(mark)] };
      const answer = await server.call('sandbox_run_command_detached', request);
      const { command_id } = started.parse(answer);
      await untilSleepers(mark, (count) => count === 1);
      const before = performance.now();
      const killed = server.call('command_kill', { command_id });
      await untilSleepers(mark, (count) => count === 0);
      const taken = performance.now() - before;
      ended.parse(await killed);
      return taken;
    };
    return {
      contenders: [
        {
          label: `among ${OTHERS} others that write ten lines a second each`,
          run: async () => {
            const taken = await killIn(busy);
            longest = Math.max(longest, taken);
            return taken;
          },
        },
        { label: 'alone', run: () => killIn(idle) },
      ],
      async after() {
        await server.close();
        return [`the longest among others: ${longest.toFixed(0)} ms (the limit is ${LIMIT_MS} ms)`];
      },
    };
  },
};
