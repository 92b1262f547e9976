/** A download through the gateway, compared with the same one over the host's own network. */
import { execFile } from 'node:child_process';
import { promisify } from 'node:util';
import { z } from 'zod';
import type { Row } from '../row.ts';
import { openServer } from '../server.ts';
import { NAME, openWebServer } from '../web-server.ts';

const BYTES = 1_000_000_000;
const CURL = ['-sS', '-o', '/dev/null', '-w', '%{size_download} %{time_total}'];
const finished = z.object({ exit_code: z.literal(0), stdout: z.string() });

/** Milliseconds as measured by curl itself. */
function timeOf(printed: string): number {
  const [size, seconds] = printed.split(' ').map(Number);
  if (size !== BYTES || seconds === undefined) throw new Error(`curl printed ${printed}`);
  return seconds * 1_000;
}

export const download: Row = {
  name: 'download',
  title: 'curl gets 1 GB by HTTP from a server on this machine',
  bytes: BYTES,
  warmUps: 1,
  runs: 10,
  async open(dist) {
    const web = await openWebServer();
    const server = await openServer(dist, 'auto', web.flags);
    const inSandbox = async (policy: Record<string, unknown>, host: string) => {
      const sandbox_id = await server.create();
      await server.call('sandbox_update_network_policy', { sandbox_id, network_policy: policy });
      const args = [...CURL, `http://${host}:${web.webPort}/${BYTES}`];
      return async () =>
        timeOf(
          finished.parse(await server.call('sandbox_run_command', { sandbox_id, cmd: 'curl', args })).stdout,
        );
    };
    const custom = { mode: 'custom', allow: [NAME] };
    return {
      contenders: [
        {
          label: 'in a sandbox, mode allow-all',
          run: await inSandbox({ mode: 'allow-all' }, web.address),
        },
        { label: 'in a sandbox, by an allowed name', run: await inSandbox(custom, NAME) },
        {
          label: "on the host's own network",
          run: async () => {
            const url = `http://${web.address}:${web.webPort}/${BYTES}`;
            return timeOf((await promisify(execFile)('curl', [...CURL, url])).stdout);
          },
        },
      ],
      async after() {
        await server.close();
        await web.close();
        return [];
      },
    };
  },
};
