/** What each tool costs while many sandboxes are alive, or many have ended. */
import { randomInt } from 'node:crypto';
import { cp, readFile, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import type { Contender, Row } from '../row.ts';
import { type BenchServer, openServer } from '../server.ts';

const UNLIMITED = ['--max-sandboxes', '1000', '--max-vcpus', '1000'];
const ID_LETTERS = '23456789abcdefghjkmnpqrstuvwxyz';

/** With this many live sandboxes. */
export function curveRow(live: number): Row {
  return row(`curve-${live}`, `with ${live} live sandbox${live === 1 ? '' : 'es'}`, async (dist) => {
    const server = await openServer(dist, 'auto', UNLIMITED);
    for (let made = 1; made < live; made++) await server.create();
    return server;
  });
}

/** With this many records of ended sandboxes. */
export function finishedRow(count: number): Row {
  return row(`curve-finished-${count}`, `with ${count} finished sandboxes`, async (dist) => {
    const server = await openServer(dist, 'auto', UNLIMITED);
    const sandbox_id = await server.create();
    await server.call('sandbox_stop', { sandbox_id });
    for (let made = 1; made < count; made++) await copyEnded(server.stateDir, sandbox_id);
    return server;
  });
}

function row(name: string, title: string, prepare: (dist: string) => Promise<BenchServer>): Row {
  return {
    name,
    title: `each tool ${title}`,
    warmUps: 2,
    runs: 10,
    async open(dist) {
      const server = await prepare(dist);
      const sandbox_id = await server.create();
      const timed = async (work: () => Promise<unknown>): Promise<number> => {
        const started = performance.now();
        await work();
        return performance.now() - started;
      };
      let made = '';
      const contender = (label: string, work: () => Promise<unknown>): Contender => ({
        label,
        run: () => timed(work),
      });
      return {
        contenders: [
          contender('sandbox_create', async () => {
            made = await server.create();
          }),
          contender('sandbox_stop', () => server.call('sandbox_stop', { sandbox_id: made })),
          contender('sandbox_run_command true', () =>
            server.call('sandbox_run_command', { sandbox_id, cmd: 'true' }),
          ),
          contender('sandbox_get', () => server.call('sandbox_get', { sandbox_id })),
          contender('sandbox_list, a page of 20', () => server.call('sandbox_list', { limit: 20 })),
        ],
        async after() {
          await server.close();
          return [];
        },
      };
    },
  };
}

/** Another sandbox that ended as this one did: its two records. */
async function copyEnded(stateDir: string, sandboxId: string): Promise<void> {
  const copy = `sbx_${Array.from({ length: 12 }, () => ID_LETTERS[randomInt(ID_LETTERS.length)]).join('')}`;
  await cp(join(stateDir, 'sandboxes', sandboxId), join(stateDir, 'sandboxes', copy), { recursive: true });
  const files = [`records/ID.json`, `sandboxes/${copy}/record.json`];
  for (const file of files) {
    const text = await readFile(join(stateDir, file.replace('ID', sandboxId)), 'utf8');
    await writeFile(join(stateDir, file.replace('ID', copy)), text.replaceAll(sandboxId, copy), {
      mode: 0o600,
    });
  }
}
