/** A connection to a server on this machine and its first byte, from inside a sandbox and from the host. */
import { execFile } from 'node:child_process';
import { promisify } from 'node:util';
import { z } from 'zod';
import type { Row } from '../row.ts';
import { openServer } from '../server.ts';
import { NAME, openWebServer } from '../web-server.ts';

/**
 * Prints the median of many, in ms: connect to HOST PORT, read one byte, close; with a third argument, look
 * the name up.
 */
const CLIENT = `
import socket, sys, time
host, port, lookup = sys.argv[1], int(sys.argv[2]), len(sys.argv) > 3
times = []
for _ in range(100):
  started = time.perf_counter()
  if lookup:
    socket.getaddrinfo(host, port, socket.AF_INET)
  else:
    s = socket.create_connection((host, port)); s.recv(1); s.close()
  times.append((time.perf_counter() - started) * 1000)
print(sorted(times)[50])
`;
const finished = z.object({ exit_code: z.literal(0), stdout: z.string() });

export const connect: Row = {
  name: 'connect',
  title: 'a TCP connection to its first byte, the median of 100 a run',
  warmUps: 1,
  runs: 20,
  async open(dist) {
    const web = await openWebServer();
    const server = await openServer(dist, 'auto', web.flags);
    const inSandbox = async (policy: Record<string, unknown>, host: string, ...more: string[]) => {
      const sandbox_id = await server.create();
      await server.call('sandbox_update_network_policy', { sandbox_id, network_policy: policy });
      const args = ['-c', CLIENT, host, String(web.greeterPort), ...more];
      return async () =>
        Number(
          finished.parse(await server.call('sandbox_run_command', { sandbox_id, cmd: 'python3', args }))
            .stdout,
        );
    };
    const all = { mode: 'allow-all' };
    return {
      contenders: [
        { label: 'in a sandbox, mode allow-all', run: await inSandbox(all, web.address) },
        { label: 'in a sandbox, only the name lookup', run: await inSandbox(all, NAME, 'lookup') },
        {
          label: "on the host's own network",
          run: async () => {
            const args = ['-c', CLIENT, web.address, String(web.greeterPort)];
            return Number((await promisify(execFile)('python3', args)).stdout);
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
