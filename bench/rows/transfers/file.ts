/** A file of 1 GB into a sandbox and out of it, compared with `cat` through the runtime alone. */
import { rm, stat } from 'node:fs/promises';
import { join } from 'node:path';
import { z } from 'zod';
import { type BareRuntime, execLine, openRuntimes } from '../../bare-runtime.ts';
import type { Contender, Row } from '../../row.ts';

const BYTES = 1_000_000_000;
const transferred = z.object({ bytes: z.literal(BYTES) });
const succeeded = z.object({ exit_code: z.literal(0) });
const INSIDE = '/vercel/sandbox/data';

type Direction = 'up' | 'down';

function ours({ server }: BareRuntime, sandbox_id: string, direction: Direction): Contender {
  const local = join(server.cwd, direction === 'up' ? 'source' : 'target');
  const tool = direction === 'up' ? 'sandbox_upload_file' : 'sandbox_download_file';
  return {
    label: `sandbox-mcp, ${tool}`,
    async run() {
      if (direction === 'down') await rm(local, { force: true });
      const started = performance.now();
      transferred.parse(await server.call(tool, { sandbox_id, local_path: local, remote_path: INSIDE }));
      return performance.now() - started;
    },
  };
}

function bare(runtime: BareRuntime, sandboxId: string, direction: Direction): Contender {
  const program = direction === 'up' ? ['sh', '-c', `cat > ${INSIDE}`] : ['cat', INSIDE];
  const redirect = direction === 'up' ? 'exec "$@" < "$0"' : 'exec "$@" > "$0"';
  const local = join(runtime.server.cwd, direction === 'up' ? 'source' : 'target');
  return {
    label: `${runtime.label} exec ${direction === 'up' ? "sh -c 'cat > file' < source" : 'cat file > target'}`,
    async run() {
      if (direction === 'down') await rm(local, { force: true });
      const argv = ['sh', '-c', redirect, local, ...execLine(runtime, sandboxId, program)];
      const { ms } = await runtime.spawner.run(argv, 'none');
      if (direction === 'down' && (await stat(local)).size !== BYTES)
        throw new Error(`${runtime.label} returned a file of another size`);
      return ms;
    },
  };
}

export function fileRow(direction: Direction): Row {
  return {
    name: `file-${direction}`,
    title: `a file of 1 GB ${direction === 'up' ? 'into a sandbox' : 'out of a sandbox'}`,
    bytes: BYTES,
    warmUps: 1,
    runs: 3,
    async open(dist) {
      const runtimes = await openRuntimes(dist);
      const contenders: Contender[] = [];
      for (const [index, runtime] of runtimes.entries()) {
        const sandboxId = await runtime.server.create();
        const source = join(runtime.server.cwd, 'source');
        await runtime.spawner.run(
          ['sh', '-c', 'head -c "$1" /dev/zero > "$0"', source, String(BYTES)],
          'none',
        );
        const args = ['-c', `head -c ${BYTES} /dev/zero > ${INSIDE}`];
        const filled = { sandbox_id: sandboxId, cmd: 'sh', args, sudo: true };
        succeeded.parse(await runtime.server.call('sandbox_run_command', filled));
        // Either writer, the tools as the user or the bare runtime as root, may replace it.
        const opened = { sandbox_id: sandboxId, cmd: 'chmod', args: ['666', INSIDE], sudo: true };
        succeeded.parse(await runtime.server.call('sandbox_run_command', opened));
        if (index === 0) contenders.push(ours(runtime, sandboxId, direction));
        contenders.push(bare(runtime, sandboxId, direction));
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
}
