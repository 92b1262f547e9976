/**
 * One more sandbox while this many are alive: how long its creation takes, and what all of them cost on the
 * host.
 */
import { memoryKb } from '../memory.ts';
import type { Row } from '../row.ts';
import { openServer } from '../server.ts';

const UNLIMITED = ['--max-sandboxes', '1000', '--max-vcpus', '1000'];

export function liveRow(count: number): Row {
  return {
    name: `live-${count}`,
    title: `${count} live sandbox${count === 1 ? '' : 'es'}: one more by sandbox_create`,
    warmUps: 1,
    runs: 10,
    async open(dist) {
      const server = await openServer(dist, 'auto', UNLIMITED);
      // What the server loads for the first one must not count for any of them.
      await server.call('sandbox_stop', { sandbox_id: await server.create() });
      const before = memoryKb(server.pid);
      for (let made = 0; made < count; made++) await server.create();
      return {
        contenders: [
          {
            label: 'sandbox-mcp, sandbox_create',
            run: async () => {
              const started = performance.now();
              const sandbox_id = await server.create();
              const taken = performance.now() - started;
              await server.call('sandbox_stop', { sandbox_id });
              return taken;
            },
          },
        ],
        async after() {
          const after = memoryKb(server.pid);
          await server.close();
          const each = ((after - before) / count / 1_024).toFixed(2);
          return [
            `memory outside the sandboxes: the server alone, ${megabytes(before)} MB with none and ` +
              `${megabytes(after)} MB with ${count} (proportional set size), ${each} MB for each`,
          ];
        },
      };
    },
  };
}

function megabytes(kilobytes: number): string {
  return (kilobytes / 1_024).toFixed(0);
}
