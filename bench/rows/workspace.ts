/** A sandbox on a folder of 100,000 files, compared with one without a workspace. */
import { execFileSync } from 'node:child_process';
import { mkdirSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { z } from 'zod';
import type { Row } from '../row.ts';
import { openServer } from '../server.ts';

const DIRECTORIES = 1_000;
const FILES_EACH = 100;
const created = z.object({ sandbox_id: z.string() });

export const workspaceRow: Row = {
  name: 'workspace',
  title: `sandbox_create with a workspace of ${DIRECTORIES * FILES_EACH} files`,
  warmUps: 2,
  runs: 10,
  async open(dist) {
    const server = await openServer(dist);
    const folder = join(server.cwd, 'project');
    for (let directory = 0; directory < DIRECTORIES; directory += 1) {
      const path = join(folder, `${directory % 10}`, `${directory}`);
      mkdirSync(path, { recursive: true });
      for (let file = 0; file < FILES_EACH; file += 1)
        writeFileSync(join(path, `f${file}.ts`), 'export {};\n');
    }
    writeFileSync(join(folder, '.env'), 'SECRET=1\n');
    const timed = async (args: Record<string, unknown>): Promise<number> => {
      const before = performance.now();
      const { sandbox_id } = created.parse(await server.call('sandbox_create', args));
      const taken = performance.now() - before;
      await server.call('sandbox_stop', { sandbox_id, blocking: true });
      return taken;
    };
    const find = (): number => {
      const before = performance.now();
      execFileSync('find', [folder, '-name', '.env*']);
      return performance.now() - before;
    };
    return {
      contenders: [
        { label: 'with the workspace', run: () => timed({ workspace: { local_path: 'project' } }) },
        { label: 'without, and find over the folder', run: async () => find() + (await timed({})) },
        { label: 'without', run: () => timed({}) },
      ],
      after: async () => {
        await server.close();
        return ['a folder is walked once, to hide the names that the rules for secrets match'];
      },
    };
  },
};
