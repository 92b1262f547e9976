/** The whole job with the client of the newest protocol library, which speaks the revisions of both eras. */
import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { chmod, mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { Client, type ClientOptions, StreamableHTTPClientTransport } from '@modelcontextprotocol/client';
import { StdioClientTransport } from '@modelcontextprotocol/client/stdio';
import { describe, expect, it, onTestFinished } from 'vitest';
import { z } from 'zod';
import { waitForCleanUps } from '../support/leftovers.ts';
import { SERVER } from '../support/server.ts';
import { CALL_TIMEOUT_MS, PATIENT } from '../support/timeout-factor.ts';

type Mode = NonNullable<NonNullable<ClientOptions['versionNegotiation']>['mode']>;

const MODES: [string, Mode, string][] = [
  ['legacy', 'legacy', '2025-11-25'],
  ['auto', 'auto', '2026-07-28'],
  ['pinned to 2026-07-28', { pin: '2026-07-28' }, '2026-07-28'],
];

function clientIn(mode: Mode): Client {
  return new Client({ name: 'test', version: '1' }, { versionNegotiation: { mode } });
}

const Answer = z.looseObject({ structuredContent: z.record(z.string(), z.unknown()).default({}) });

/** What it is for: a sandbox, a file, a command, its logs, a snapshot, and the end. */
async function doTheJob(client: Client): Promise<void> {
  const call = async (name: string, args: Record<string, unknown> = {}) => {
    const result = await client.callTool({ name, arguments: args }, { timeout: CALL_TIMEOUT_MS });
    expect(result).not.toHaveProperty('isError', true);
    return Answer.parse(result).structuredContent;
  };
  const { tools } = await client.listTools();
  expect(tools.map(({ name }) => name)).toContain('sandbox_snapshot');
  const created = await call('sandbox_create');
  const { sandbox_id } = created;
  expect(created).toMatchObject({ status: 'running' });
  await call('sandbox_write_files', { files: [{ path: 'note.txt', content: 'mark-4711\n' }] });
  const ran = await call('sandbox_run_command', { cmd: 'cat', args: ['note.txt'] });
  expect(ran).toMatchObject({ sandbox_id, exit_code: 0, stdout: 'mark-4711\n' });
  expect(await call('command_logs', { command_id: ran['command_id'] })).toMatchObject({ done: true });
  // A sandbox goes on after its snapshot only where the host can freeze it, which needs cgroups.
  const keep_running = !/memory/i.test(
    JSON.stringify(await call('session_info'), ['engine', 'not_enforced']),
  );
  const { snapshot_id } = await call('sandbox_snapshot', { keep_running });
  expect(await call('snapshot_get', { snapshot_id })).toMatchObject({ source_sandbox_id: sandbox_id });
  await call('snapshot_delete', { snapshot_id });
  const stopped = await call('sandbox_stop', { blocking: true, sandbox_id });
  expect(stopped).toMatchObject({ sandbox_id, status: 'stopped' });
}

describe('over the standard streams', () => {
  it.each(MODES)('does the whole job for a client %s', async (_name, mode, revision) => {
    const home = await mkdtemp(join(tmpdir(), 's-'));
    await chmod(home, 0o711);
    const stateDir = join(home, 's');
    const transport = new StdioClientTransport({
      command: process.execPath,
      args: [SERVER, '--state-dir', stateDir, ...PATIENT],
      env: { PATH: process.env['PATH'] ?? '', TMPDIR: tmpdir() },
      cwd: home,
      stderr: 'pipe',
    });
    let logged = '';
    transport.stderr?.on('data', (chunk: Buffer) => (logged += chunk.toString('utf8')));
    const closed = transport.stderr === null ? Promise.resolve() : once(transport.stderr, 'close');
    const client = clientIn(mode);
    onTestFinished(async () => {
      await client.close();
      await closed;
      if (logged.includes('leaving them to recovery')) await waitForCleanUps(stateDir);
      await rm(home, { recursive: true, force: true });
    });
    await client.connect(transport, { timeout: CALL_TIMEOUT_MS });
    expect(client.getNegotiatedProtocolVersion()).toBe(revision);
    await doTheJob(client);
  });
});

describe('over HTTP', () => {
  it('does the whole job for clients of all kinds at one server', async () => {
    const stateDir = await mkdtemp(join(tmpdir(), 's-'));
    const flags = ['--transport', 'http', '--port', '0', '--state-dir', stateDir, ...PATIENT];
    const env = { PATH: process.env['PATH'] ?? '', TMPDIR: tmpdir() };
    const server = spawn(process.execPath, [SERVER, ...flags], { env, stdio: ['ignore', 'ignore', 'pipe'] });
    const exited = once(server, 'exit');
    let logged = '';
    onTestFinished(async () => {
      server.kill('SIGTERM');
      await exited;
      if (logged.includes('leaving them to recovery')) await waitForCleanUps(stateDir);
      await rm(stateDir, { recursive: true, force: true });
    });
    const url = await new Promise<string>((resolve, reject) => {
      server.stderr.on('data', (chunk: Buffer) => {
        logged += chunk.toString('utf8');
        const found = /"url":"([^"]+)"/.exec(logged)?.[1];
        if (found !== undefined) resolve(found);
      });
      server.once('exit', () => reject(new Error(`the server did not start:\n${logged}`)));
    });
    for (const [, mode, revision] of MODES) {
      const client = clientIn(mode);
      onTestFinished(() => client.close());
      const transport = new StreamableHTTPClientTransport(new URL(url));
      await client.connect(transport, { timeout: CALL_TIMEOUT_MS });
      expect(client.getNegotiatedProtocolVersion()).toBe(revision);
      expect(transport.sessionId === undefined).toBe(mode !== 'legacy');
      await doTheJob(client);
    }
  });
});
