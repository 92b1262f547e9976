/**
 * A tool call that runs `true`, through a real client, compared with the runtime's own exec in the same
 * container.
 */
import { z } from 'zod';
import { execLine, openRuntimes } from '../bare-runtime.ts';
import type { Row } from '../row.ts';

const succeeded = z.object({ exit_code: z.literal(0), status: z.literal('finished') });

export const call: Row = {
  name: 'call',
  title: 'sandbox_run_command cmd=true from the client, to its answer',
  warmUps: 20,
  runs: 100,
  async open(dist) {
    const runtimes = await openRuntimes(dist);
    const [first] = runtimes;
    const sandbox_id = await first.server.create();
    const contenders = [
      {
        label: 'sandbox-mcp, one tool call',
        run: async () => {
          const started = performance.now();
          const answer = await first.server.call('sandbox_run_command', { sandbox_id, cmd: 'true' });
          const taken = performance.now() - started;
          succeeded.parse(answer);
          return taken;
        },
      },
    ];
    for (const runtime of runtimes) {
      const id = runtime === first ? sandbox_id : await runtime.server.create();
      const argv = execLine(runtime, id, ['true']);
      contenders.push({
        label: `${runtime.label} exec true`,
        run: async () => (await runtime.spawner.run(argv)).ms,
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
