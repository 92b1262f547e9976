/** From nothing to a new sandbox, and to the first output of a program in it. */
import { z } from 'zod';
import { copyBundle } from '../bare-bundle.ts';
import { type BareRuntime, openRuntimes } from '../bare-runtime.ts';
import type { Contender, Row } from '../row.ts';

const printed = z.object({ stdout: z.literal('hello\n') });

interface FirstOutput {
  name: string;
  title: string;
  /** Whether a sandbox that was booted ahead is there. */
  inStock: boolean;
  /** Whether the sandbox alone is measured, without a program in it. */
  createOnly?: boolean;
}

export const firstOutput = firstOutputRow({
  name: 'first-output',
  title: 'a new sandbox to the first line of a program in it',
  inStock: false,
});

export const firstOutputInStock = firstOutputRow({
  name: 'first-output-in-stock',
  title: 'the same while a sandbox is in stock',
  inStock: true,
});

export const createInStock = firstOutputRow({
  name: 'create-in-stock',
  title: 'sandbox_create to its answer while a sandbox is in stock',
  inStock: true,
  createOnly: true,
});

function firstOutputRow({ name, title, inStock, createOnly = false }: FirstOutput): Row {
  return {
    name,
    title,
    warmUps: 2,
    runs: 20,
    async open(dist) {
      const runtimes = await openRuntimes(dist, inStock ? 1 : 0);
      const undo: (() => Promise<void>)[] = [];
      const contenders = runtimes.map((runtime) => ours(runtime, inStock, createOnly));
      for (const runtime of runtimes) {
        const bare = await copyBundle(runtime, await runtime.server.create(), ['/usr/bin/echo', 'hello']);
        undo.push(bare.remove);
        let count = 0;
        contenders.push({
          label: `${runtime.label} run, directories made beforehand, to the first line of a program`,
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
}

function ours({ label, server }: BareRuntime, inStock: boolean, createOnly: boolean): Contender {
  return {
    label: `sandbox-mcp by ${label}: sandbox_create${createOnly ? '' : ', sandbox_run_command'}`,
    run: async () => {
      if (inStock) await server.untilStocked();
      const started = performance.now();
      const sandbox_id = await server.create();
      if (!createOnly) {
        printed.parse(await server.call('sandbox_run_command', { sandbox_id, cmd: 'echo', args: ['hello'] }));
      }
      const taken = performance.now() - started;
      await server.call('sandbox_stop', { sandbox_id });
      return taken;
    },
  };
}
