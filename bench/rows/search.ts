/** A search through 100,000 files, compared with `grep -rn` in the same sandbox. */
import { z } from 'zod';
import type { Row } from '../row.ts';
import { openServer } from '../server.ts';

const FILES = 100_000;
const MATCHES = 20;
/** 1,000 directories of 100 files of 40 lines; every 5,000th file has the word. */
const MAKE = `import os
for d in range(1000):
    path = f'tree/{d % 10}/{d}'
    os.makedirs(path)
    for f in range(100):
        n = d * 100 + f
        lines = [f'const value{i} = compute({n}, {i}); // line {i} of file {n}' for i in range(40)]
        if n % ${FILES / MATCHES} == 0: lines[20] = 'needleWord(42)'
        with open(f'{path}/f{f}.ts', 'w') as out: out.write('\\n'.join(lines) + '\\n')
`;

const found = z.object({ matches: z.literal(MATCHES), files_searched: z.literal(FILES) });
const grepped = z.object({ exit_code: z.literal(0), stdout: z.string() });

export const searchRow: Row = {
  name: 'search',
  title: `sandbox_search_files through ${FILES} files, from the call to its answer`,
  warmUps: 1,
  runs: 5,
  async open(dist) {
    const server = await openServer(dist);
    const sandbox_id = await server.create();
    const made = { sandbox_id, cmd: 'python3', args: ['-c', MAKE], wait_ms: 55_000 };
    z.object({ exit_code: z.literal(0) }).parse(await server.call('sandbox_run_command', made));
    const timed = async (call: () => Promise<unknown>): Promise<number> => {
      const before = performance.now();
      await call();
      return performance.now() - before;
    };
    const search = async (): Promise<void> => {
      const request = { sandbox_id, path: 'tree', pattern: 'needle[A-Z]ord\\(\\d+\\)' };
      found.parse(await server.call('sandbox_search_files', request));
    };
    const grep = async (): Promise<void> => {
      const args = ['-rnE', 'needle[A-Z]ord\\([0-9]+\\)', 'tree'];
      const { stdout } = grepped.parse(
        await server.call('sandbox_run_command', { sandbox_id, cmd: 'grep', args }),
      );
      if (stdout.trim().split('\n').length !== MATCHES) throw new Error('grep found something else');
    };
    return {
      contenders: [
        { label: 'sandbox_search_files', run: () => timed(search) },
        { label: 'grep -rn in sandbox_run_command', run: () => timed(grep) },
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
