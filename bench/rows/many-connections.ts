/** 500 connections at once, held until the last one has its first byte. */
import { execFile } from 'node:child_process';
import { promisify } from 'node:util';
import { z } from 'zod';
import type { Row } from '../row.ts';
import { openServer } from '../server.ts';
import { openWebServer } from '../web-server.ts';

const CONNECTIONS = 500;
/** Prints how long it took until every connection had its first byte, in ms. */
const CLIENT = `
import socket, sys, time, selectors
started = time.perf_counter()
held = [socket.socket() for _ in range(${CONNECTIONS})]
for s in held: s.setblocking(False); s.connect_ex((sys.argv[1], int(sys.argv[2])))
for s in held: s.setblocking(True)
assert all(s.recv(1) == b'x' for s in held)
print((time.perf_counter() - started) * 1000)
`;
const finished = z.object({ exit_code: z.literal(0), stdout: z.string() });

export const manyConnections: Row = {
  name: 'many-connections',
  title: `${CONNECTIONS} TCP connections at once, until each has its first byte`,
  warmUps: 1,
  runs: 20,
  async open(dist) {
    const web = await openWebServer();
    const server = await openServer(dist, 'auto', web.flags);
    const sandbox_id = await server.create();
    const args = ['-c', CLIENT, web.address, String(web.greeterPort)];
    return {
      contenders: [
        {
          label: 'in a sandbox, mode allow-all',
          run: async () =>
            Number(
              finished.parse(await server.call('sandbox_run_command', { sandbox_id, cmd: 'python3', args }))
                .stdout,
            ),
        },
        {
          label: "on the host's own network",
          run: async () => Number((await promisify(execFile)('python3', args)).stdout),
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
