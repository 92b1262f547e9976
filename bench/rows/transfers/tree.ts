/** A tree of many small files into a sandbox and out of it, compared with `tar` through the runtime alone. */
import { mkdirSync, writeFileSync } from 'node:fs';
import { rm } from 'node:fs/promises';
import { join } from 'node:path';
import { z } from 'zod';
import { type BareRuntime, execLine, openRuntimes } from '../../bare-runtime.ts';
import type { Contender, Row } from '../../row.ts';

const DIRECTORIES = 100;
const FILES_EACH = 100;
const FILES = DIRECTORIES * FILES_EACH;
const CONTENT = 'export const value = 1;\n'.repeat(20);
const transferred = z.object({ files: z.literal(FILES) });
const succeeded = z.object({ exit_code: z.literal(0) });
const INSIDE = '/vercel/sandbox';

type Direction = 'up' | 'down';

function makeTree(folder: string): void {
  for (let directory = 0; directory < DIRECTORIES; directory += 1) {
    const path = join(folder, `d${directory}`);
    mkdirSync(path, { recursive: true });
    for (let file = 0; file < FILES_EACH; file += 1) writeFileSync(join(path, `f${file}.ts`), CONTENT);
  }
}

/** Each run writes to a new folder, which is removed afterwards, unmeasured. */
async function removeInside({ server }: BareRuntime, sandbox_id: string, name: string): Promise<void> {
  const args = { sandbox_id, cmd: 'rm', args: ['-rf', join(INSIDE, name)], sudo: true };
  succeeded.parse(await server.call('sandbox_run_command', args));
}

function ours(runtime: BareRuntime, sandbox_id: string, direction: Direction): Contender {
  const { server } = runtime;
  const tool = direction === 'up' ? 'sandbox_upload_file' : 'sandbox_download_file';
  const [local, inside] = direction === 'up' ? ['tree', 'ours'] : ['ours', 'tree'];
  return {
    label: `sandbox-mcp, ${tool}`,
    async run() {
      const paths = { local_path: join(server.cwd, local), remote_path: join(INSIDE, inside) };
      const started = performance.now();
      transferred.parse(await server.call(tool, { sandbox_id, ...paths }));
      const taken = performance.now() - started;
      if (direction === 'up') await removeInside(runtime, sandbox_id, inside);
      else await rm(paths.local_path, { recursive: true });
      return taken;
    },
  };
}

function bare(runtime: BareRuntime, sandboxId: string, direction: Direction): Contender {
  const { server, spawner, label } = runtime;
  const [inner, outer] =
    direction === 'up'
      ? ['mkdir bare && tar -x -f - -C bare', 'tar -c -f - -C tree . | "$@"']
      : ['tar -c -f - -C tree .', 'mkdir bare && "$@" | tar -x -f - -C bare'];
  const argv = execLine(runtime, sandboxId, ['sh', '-c', `cd ${INSIDE} && ${inner}`]);
  return {
    label: `tar through ${label} exec`,
    async run() {
      const { ms } = await spawner.run(['sh', '-c', `cd "$0" && ${outer}`, server.cwd, ...argv], 'none');
      if (direction === 'up') await removeInside(runtime, sandboxId, 'bare');
      else await rm(join(server.cwd, 'bare'), { recursive: true });
      return ms;
    },
  };
}

export function treeRow(direction: Direction): Row {
  return {
    name: `tree-${direction}`,
    title: `a tree of ${FILES} small files ${direction === 'up' ? 'into a sandbox' : 'out of a sandbox'}`,
    warmUps: 1,
    runs: 5,
    async open(dist) {
      const runtimes = await openRuntimes(dist);
      const contenders: Contender[] = [];
      for (const [index, runtime] of runtimes.entries()) {
        const { server } = runtime;
        const sandbox_id = await server.create();
        makeTree(join(server.cwd, 'tree'));
        if (direction === 'down') {
          const paths = { local_path: join(server.cwd, 'tree'), remote_path: join(INSIDE, 'tree') };
          transferred.parse(await server.call('sandbox_upload_file', { sandbox_id, ...paths }));
        }
        if (index === 0) contenders.push(ours(runtime, sandbox_id, direction));
        contenders.push(bare(runtime, sandbox_id, direction));
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
