/** From nothing to the first output of a program in a new sandbox. */
import { z } from 'zod';
import { copyBundle } from '../bare-bundle.ts';
import { openRuntimes } from '../bare-runtime.ts';
import type { Row } from '../row.ts';

const printed = z.object({ stdout: z.literal('hello\n') });

export const firstOutput: Row = {
  name: 'first-output',
  title: 'a new sandbox to the first line of a program in it',
  warmUps: 2,
  runs: 20,
  async open() {
    const runtimes = await openRuntimes();
    const undo: (() => Promise<void>)[] = [];
    const contenders = [];
    for (const { label, server } of runtimes) {
      contenders.push({
        label: `sandbox-mcp by ${label}: sandbox_create, sandbox_run_command`,
        run: async () => {
          const started = performance.now();
          const sandbox_id = await server.create();
          printed.parse(
            await server.call('sandbox_run_command', { sandbox_id, cmd: 'echo', args: ['hello'] }),
          );
          const taken = performance.now() - started;
          await server.call('sandbox_stop', { sandbox_id });
          return taken;
        },
      });
    }
    for (const runtime of runtimes) {
      const bare = await copyBundle(runtime, await runtime.server.create(), ['/usr/bin/echo', 'hello']);
      undo.push(bare.remove);
      let count = 0;
      contenders.push({
        label: `${runtime.label} run, directories made beforehand`,
        run: async () => {
          const argv = [...bare.global, 'run', '--bundle', bare.bundle, `bare-${count++}`];
          const { first, bytes } = await runtime.spawner.run(argv);
          if (first === null || bytes !== 6) throw new Error(`${runtime.label} printed ${bytes} bytes`);
          return first;
        },
      });
    }
    return {
      contenders,
      async after() {
        for (const step of undo) await step();
        for (const runtime of runtimes) await runtime.close();
        return [];
      },
    };
  },
};
