/** This server beside others that people would choose: its start, the cost of its list, and a trivial call. */
import { chmod, mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { CallToolResultSchema } from '@modelcontextprotocol/sdk/types.js';
import { connectPeer, listCost, openPeers, type PeerServer, peerEnvironment } from '../peers.ts';
import type { Contender, Row } from '../row.ts';
import { untilInitialized } from './start.ts';

const MAX_SHOWN = 200;
const TRIVIAL = { name: 'session_info', arguments: {} };

/** Ours with a state directory of its own, and the others. */
async function openAll(dist: string) {
  const peers = await openPeers();
  const stateDir = await mkdtemp(join(tmpdir(), 'sbxb-'));
  await chmod(stateDir, 0o711);
  const ours: PeerServer = {
    label: 'sandbox-mcp',
    args: [join(dist, 'main.js'), '--state-dir', stateDir, '--log-level', 'error'],
    call: TRIVIAL,
  };
  const servers: readonly [PeerServer, ...PeerServer[]] = [ours, ...peers.servers];
  const close = async (): Promise<void> => {
    await peers.close();
    await rm(stateDir, { recursive: true, force: true, maxRetries: 20 });
  };
  return { servers, home: peers.home, close };
}

export const peersStart: Row = {
  name: 'peers-start',
  title: 'start of the process to the answer of initialize, of this server and of others',
  warmUps: 2,
  runs: 10,
  async open(dist) {
    const { servers, home, close } = await openAll(dist);
    const options = { cwd: home, env: peerEnvironment(home) };
    return {
      contenders: servers.map(({ label, args }) => ({
        label,
        run: () => untilInitialized([...args], options),
      })),
      after: async () => {
        const costs: string[] = [];
        for (const server of servers) {
          const client = await connectPeer(server, home);
          costs.push(`tools/list of ${server.label}: ${await listCost(client)}`);
          await client.close();
        }
        await close();
        return costs;
      },
    };
  },
};

export const peersCall: Row = {
  name: 'peers-call',
  title: 'a call that gives the server next to nothing to do, to its answer',
  warmUps: 10,
  runs: 50,
  async open(dist) {
    const { servers, home, close } = await openAll(dist);
    const contenders: Contender[] = [];
    const closing: (() => Promise<void>)[] = [];
    const remarks: string[] = [];
    const after = async (): Promise<string[]> => {
      for (const end of closing) await end();
      await close();
      return remarks;
    };
    try {
      for (const server of servers) {
        const client = await connectPeer(server, home);
        closing.push(() => client.close());
        const call = async ({ name, arguments: args }: PeerServer['call']): Promise<number> => {
          const before = performance.now();
          const result = CallToolResultSchema.parse(await client.callTool({ name, arguments: args }));
          const taken = performance.now() - before;
          if (result.isError) throw new Error(`${server.label}: ${JSON.stringify(result.content)}`);
          return taken;
        };
        try {
          await call(server.call);
        } catch (error) {
          if (server === servers[0]) throw error;
          // A browser, for example.
          remarks.push(`not called, since it lacks something here: ${String(error).slice(0, MAX_SHOWN)}`);
          continue;
        }
        contenders.push({ label: `${server.label}, ${server.call.name}`, run: () => call(server.call) });
        if (server !== servers[0]) continue;
        await call({ name: 'sandbox_create', arguments: {} });
        const command = { name: 'sandbox_run_command', arguments: { cmd: 'true' } };
        contenders.push({ label: 'sandbox-mcp, a command in a sandbox', run: () => call(command) });
      }
      return { contenders, after };
    } catch (error) {
      await after();
      throw error;
    }
  },
};
