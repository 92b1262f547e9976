/** Lists of a directory of a million files, compared with `find` in the same sandbox. */
import { z } from 'zod';
import type { Row } from '../row.ts';
import { openServer } from '../server.ts';

const FILES = 1_000_000;
/** Of these, ten begin with five nines. */
const MAKE = `import os
os.mkdir('many')
for n in range(${FILES}): os.close(os.open(f'many/{n:06d}', os.O_CREAT))
`;
const LIMIT = 1_000;
const PATTERN = '99999*';

/** The longest that one call waits. */
const WAIT_MS = 55_000;

const making = z.object({ command_id: z.string(), exit_code: z.literal(0).nullable() });
const listing = z.object({ entries: z.array(z.unknown()), next_cursor: z.string().nullable() });
const ran = z.object({ exit_code: z.literal(0), stdout: z.string() });

export const listRow: Row = {
  name: 'list',
  title: `sandbox_list_files of a directory of ${FILES} files, from the call to its answer`,
  warmUps: 1,
  runs: 5,
  async open(dist) {
    const server = await openServer(dist);
    const sandbox_id = await server.create();
    const make = { sandbox_id, cmd: 'python3', args: ['-c', MAKE], wait_ms: WAIT_MS };
    let made = making.parse(await server.call('sandbox_run_command', make));
    while (made.exit_code === null)
      made = making.parse(
        await server.call('command_wait', { command_id: made.command_id, wait_ms: WAIT_MS }),
      );
    // A page ends after 20 s even if little matched: the next goes on from there.
    const listed = async (count: number, args: Record<string, unknown>, pages: number): Promise<number> => {
      const before = performance.now();
      let found = 0;
      let cursor: string | null = null;
      for (let page = 0; page < pages; page++) {
        const more = cursor === null ? {} : { cursor };
        const request = { sandbox_id, path: 'many', ...args, ...more };
        const { entries, next_cursor } = listing.parse(await server.call('sandbox_list_files', request));
        found += entries.length;
        cursor = next_cursor;
        if (cursor === null) break;
      }
      const taken = performance.now() - before;
      if (found !== count) throw new Error(`sandbox_list_files listed ${found} entries, not ${count}`);
      return taken;
    };
    const find = async (): Promise<number> => {
      const before = performance.now();
      const args = ['many', '-name', PATTERN];
      const { stdout } = ran.parse(
        await server.call('sandbox_run_command', { sandbox_id, cmd: 'find', args }),
      );
      const taken = performance.now() - before;
      if (stdout.trim().split('\n').length !== 10) throw new Error('find found something else');
      return taken;
    };
    return {
      contenders: [
        { label: `the first ${LIMIT} entries`, run: () => listed(LIMIT, { limit: LIMIT }, 1) },
        { label: `all that match ${PATTERN}`, run: () => listed(10, { pattern: PATTERN }, Infinity) },
        { label: 'find -name in sandbox_run_command', run: find },
      ],
      async after() {
        // Removing so many files takes longer than the end of a session waits.
        await server.call('sandbox_stop', { sandbox_id, blocking: true });
        await server.close();
        return [];
      },
    };
  },
};
