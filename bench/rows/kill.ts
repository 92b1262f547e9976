/** The end of a tree of 60 processes that left their parents and sessions, up to the last process gone. */
import { z } from 'zod';
import { copyBundle } from '../bare-bundle.ts';
import { openRuntimes } from '../bare-runtime.ts';
import type { Row } from '../row.ts';
import { untilSleepers } from '../until-processes.ts';

const TREE_SIZE = 60;
const started = z.object({ command_id: z.string() });

/**
 * Each member leaves its session and forks twice; the number of seconds tells one tree from every other
 * process.
 */
function tree(seconds: number): string[] {
  const member = `(setsid sh -c "sleep ${seconds} &" &)`;
  return [
    '/bin/sh',
    '-c',
    `i=0; while [ $i -lt ${TREE_SIZE} ]; do ${member}; i=$((i+1)); done; wait; sleep 5000`,
  ];
}

export const kill: Row = {
  name: 'kill',
  title: `kill of a tree of ${TREE_SIZE} processes (setsid, double fork) to the last process gone`,
  warmUps: 1,
  runs: 10,
  async open(dist) {
    const runtimes = await openRuntimes(dist);
    const [first] = runtimes;
    const sandbox_id = await first.server.create();
    let seconds = 100_000 + (process.pid % 10_000) * 1_000;
    const timed = async (mark: number, end: () => Promise<unknown>): Promise<number> => {
      await untilSleepers(mark, (count) => count === TREE_SIZE);
      const before = performance.now();
      await end();
      await untilSleepers(mark, (count) => count === 0);
      return performance.now() - before;
    };
    const contenders = [
      {
        label: 'sandbox-mcp: command_kill, the sandbox keeps running',
        run: async () => {
          const mark = seconds++;
          const [cmd, ...args] = tree(mark);
          const answer = await first.server.call('sandbox_run_command_detached', { sandbox_id, cmd, args });
          const { command_id } = started.parse(answer);
          return timed(mark, () => first.server.call('command_kill', { command_id, signal: 'SIGKILL' }));
        },
      },
    ];
    for (const runtime of runtimes) {
      const source = await runtime.server.create();
      contenders.push({
        label: `${runtime.label} delete --force, the whole container`,
        run: async () => {
          const mark = seconds++;
          const bare = await copyBundle(runtime, source, tree(mark));
          const end = [...bare.global, 'delete', '--force', `bare-${mark}`];
          try {
            const begin = [...bare.global, 'run', '--detach', '--bundle', bare.bundle, `bare-${mark}`];
            await runtime.spawner.run(begin, 'none');
            return await timed(mark, () => runtime.spawner.run(end));
          } catch (error) {
            await runtime.spawner.run(end).catch(() => {});
            throw error;
          } finally {
            await bare.remove();
          }
        },
      });
    }
    return {
      contenders,
      async after() {
        for (const runtime of runtimes) await runtime.close();
        return [];
      },
    };
  },
};
