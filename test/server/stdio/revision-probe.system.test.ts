/** Clients that ask a server for its revisions of the protocol in a process of its own, and end it at once. */
import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { readdir, readFile } from 'node:fs/promises';
import { join } from 'node:path';
import { setTimeout as delay } from 'node:timers/promises';
import { describe, expect, it } from 'vitest';
import { temporaryFolder } from '../../tools/support/temporary-folder.ts';
import { call, initialize, initialized, type RawServer, rawServer, request } from '../support/raw-server.ts';

describe('a client that starts two servers at once on one state directory and kills them', () => {
  const KILL_AFTER_MS = [0, 5, 20, 40];
  const WAYS = ['SIGTERM', 'SIGKILL', 'end'] as const;

  const MODERN = {
    'io.modelcontextprotocol/protocolVersion': '2026-07-28',
    'io.modelcontextprotocol/clientInfo': { name: 'test', version: '1' },
    'io.modelcontextprotocol/clientCapabilities': {},
  };

  /** Starts two servers, and ends both this many milliseconds after their answers. */
  async function probe(stateDir: string, way: (typeof WAYS)[number], afterMs: number): Promise<void> {
    const servers = await Promise.all([rawServer(stateDir), rawServer(stateDir)]);
    await Promise.all(
      servers.map(async (server) => {
        server.send(request('probe', 'server/discover'));
        await server.next();
        await delay(afterMs);
        end(server.process, way);
        if (server.process.exitCode === null && server.process.signalCode === null)
          await once(server.process, 'exit');
      }),
    );
  }

  it.each(WAYS)('harms no sandbox and leaves no file: %s', async (way) => {
    const server = await initialized();
    const created = await call(server, 'sandbox_create');
    const command = await call(server, 'sandbox_run_command_detached', { cmd: 'sleep', args: ['1000'] });
    await probe(server.stateDir, way, 40);
    const files = await filesOf(server.stateDir);
    for (const afterMs of KILL_AFTER_MS) await probe(server.stateDir, way, afterMs);
    expect(await filesOf(server.stateDir)).toEqual(files);
    expect(await call(server, 'sandbox_get')).toMatchObject({
      sandbox_id: created['sandbox_id'],
      status: 'running',
    });
    const { command_id } = command;
    expect(await call(server, 'sandbox_get_command', { command_id })).toMatchObject({ status: 'running' });
    expect(await call(server, 'sandbox_run_command', { cmd: 'true' })).toMatchObject({ exit_code: 0 });
  });

  it.each([
    ['initialize', initialize('probe')],
    ['server/discover', request('probe', 'server/discover', { _meta: MODERN })],
  ])('pays for two answers to %s, not for two servers', async (_method, message) => {
    const home = await temporaryFolder();
    const stateDir = join(home, 's');
    let [probed, idle] = [0, 0];
    for (const way of [...WAYS, ...WAYS]) {
      const plain = spawn(process.execPath, ['-e', 'setInterval(() => {}, 1e6); console.log()']);
      await once(plain.stdout, 'data');
      idle += await processorTicks(plain.pid);
      plain.kill('SIGKILL');
      const servers = await Promise.all([rawServer(stateDir), rawServer(stateDir)]);
      for (const server of servers) server.send(message);
      for (const server of servers) expect(await server.next()).toMatchObject({ id: 'probe', result: {} });
      for (const { process: server } of servers) {
        probed += await processorTicks(server.pid);
        expect(await childrenOf(server.pid)).toBe('');
        end(server, way);
      }
      for (const { exited, process: server } of servers) {
        await exited;
        // A code if it has ended by itself: nothing had to be undone first.
        expect([server.exitCode, server.signalCode]).toEqual(way === 'SIGKILL' ? [null, way] : [0, null]);
      }
    }
    // No state, no runtime that is probed, no sandbox.
    expect(await readdir(home)).toEqual([]);
    // Each takes twice as long as a Node that does nothing; one that is loaded takes ten times as long.
    expect(probed / 2).toBeLessThanOrEqual(4 * idle);
  });

  function end(server: RawServer['process'], way: (typeof WAYS)[number]): void {
    if (way === 'end') server.stdin.end();
    else server.kill(way);
  }

  function childrenOf(pid: number | undefined): Promise<string> {
    return readFile(`/proc/${pid}/task/${pid}/children`, 'utf8');
  }

  /** User and system time so far, in ticks of 10 ms. */
  async function processorTicks(pid: number | undefined): Promise<number> {
    const stat = await readFile(`/proc/${pid}/stat`, 'utf8');
    // The fields after the name, which is in brackets and may hold anything, start with the third.
    const fields = stat.slice(stat.lastIndexOf(')') + 2).split(' ');
    return Number(fields[11]) + Number(fields[12]);
  }

  async function filesOf(directory: string): Promise<string[]> {
    const paths: string[] = [];
    for (const entry of await readdir(directory, { withFileTypes: true })) {
      const path = join(directory, entry.name);
      paths.push(path);
      // What a killed server was about to remove stays until the next recovery. The kernel lets nobody but root
      // into the working directory of an overlay.
      if (entry.isDirectory() && !['trash', 'work'].includes(entry.name))
        paths.push(...(await filesOf(path)));
    }
    return paths.toSorted();
  }
});
