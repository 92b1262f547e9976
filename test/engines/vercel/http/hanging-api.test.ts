/** An API that accepts every request and answers none: every tool still answers within its promise. */
import { Client } from '@modelcontextprotocol/sdk/client/index.js';
import { InMemoryTransport } from '@modelcontextprotocol/sdk/inMemory.js';
import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import { z } from 'zod';
import { createRegistry } from '../../../../src/registry/registry.ts';
import type { Registry, Session } from '../../../../src/registry/types.ts';
import { type Connection, createServer } from '../../../../src/server/create-server.ts';
import type { ServerOptions } from '../../../../src/server/tool-calls.ts';
import { systemClock } from '../../../../src/shared/clock.ts';
import { createLogger } from '../../../../src/shared/log.ts';
import { TOOLS } from '../../../../tools/index.ts';
import {
  SCRIPTED_CREDENTIALS,
  type ScriptedApi,
  startScriptedApi,
} from '../../../fakes/vercel/scripted-api.ts';
import { neverAborted, plainRequest, sleep } from '../../../registry/support/requests.ts';
import { config } from '../../../server/support/connected-server.ts';
import { type OpenedVercel, openVercelEngine } from '../support/vercel-engines.ts';

/** Instead of 55 s, and `wait_ms` + 5 s. */
const CALL_TIMEOUT = { callMs: 400, beyondWaitMs: 200 };
/** Instead of the 52 s after which a create is answered as pending. */
const SOFT_TIMEOUT_MS = 200;
const NETWORK_POLICY = { mode: 'deny-all' };

const answer = z.object({
  content: z.array(z.object({ text: z.string() })),
  structuredContent: z.record(z.string(), z.unknown()).optional(),
  isError: z.boolean().optional(),
});

const log = createLogger('silent');

describe('an API that accepts every request and answers none', () => {
  let api: ScriptedApi;
  let opened: OpenedVercel;
  let registry: Registry;
  let session: Session;
  const connections: Connection[] = [];

  beforeEach(async () => {
    api = await startScriptedApi();
    opened = await openVercelEngine({ url: api.url, credentials: SCRIPTED_CREDENTIALS });
    const { stateDir, engine } = opened;
    registry = createRegistry({ engine, config, log, clock: systemClock, stateDir });
    session = registry.openSession('local');
  });

  afterEach(async () => {
    for (const connection of connections.splice(0)) void connection.endCalls(new Error('the test is over'));
    await registry.close('shutdown');
    await api.close();
    await opened.remove();
  });

  /** Connects to a server over the session. Returns a function that calls its tools. */
  async function connect(limits: Partial<ServerOptions>) {
    const connection = createServer({ session, tools: TOOLS, config, log, version: '1', ...limits });
    connections.push(connection);
    const client = new Client({ name: 'test', version: '1' });
    const [near, far] = InMemoryTransport.createLinkedPair();
    await Promise.all([connection.server.connect(far), client.connect(near)]);
    return async (name: string, args: object) =>
      answer.parse(await client.callTool({ name, arguments: { ...args } }));
  }

  it('leaves a create pending', async () => {
    api.answers.unshift(() => new Promise(() => {}));
    const call = await connect({ softTimeoutMs: SOFT_TIMEOUT_MS });
    expect((await call('sandbox_create', {})).structuredContent).toMatchObject({ status: 'pending' });
  });

  it('does not delay the end of a wait for a status', async () => {
    await session.create(plainRequest, neverAborted);
    api.answers.unshift(() => new Promise(() => {}));
    const call = await connect({});
    const waited = await call('sandbox_wait_for_status', { status: 'stopped', timeout_ms: 100 });
    expect(waited.content[0]?.text).toContain('did not become stopped within 100 ms');
  });

  it('leaves no tool without an answer in time', async () => {
    const { sandboxId } = await session.create(plainRequest, neverAborted);
    const sandbox = await session.sandbox(sandboxId);
    const { commandId: command_id } = await sandbox.run(sleep, neverAborted);
    api.answers.unshift(() => new Promise(() => {}));

    const args: Record<string, object> = {
      sandbox_create: {},
      sandbox_wait_for_status: { status: 'stopped' },
      sandbox_domain: { port: 8_080 },
      sandbox_extend_timeout: { duration_ms: 1_000 },
      sandbox_update_network_policy: { network_policy: NETWORK_POLICY },
      sandbox_run_command: { cmd: 'true', wait_ms: 100 },
      sandbox_run_command_detached: { cmd: 'true' },
      sandbox_get_command: { command_id },
      sandbox_mk_dir: { path: 'd' },
      sandbox_read_file: { path: 'f' },
      sandbox_iter_file: { path: 'f' },
      sandbox_write_files: { files: [{ path: 'f', content: '' }] },
      sandbox_edit_file: { path: 'f', edits: [{ old_text: 'a', new_text: 'b' }] },
      sandbox_download_file: { remote_path: 'f', local_path: '/tmp/never-written' },
      sandbox_upload_file: { remote_path: 'f', local_path: import.meta.filename },
      shell_send: { shell_id: 'shl_222222222222' },
      shell_close: { shell_id: 'shl_222222222222' },
      command_logs: { command_id },
      command_wait: { command_id, wait_ms: 100 },
      command_output: { command_id },
      command_kill: { command_id },
      snapshot_get: { snapshot_id: 'snap_222222222222' },
      snapshot_delete: { snapshot_id: 'snap_222222222222' },
    };
    const call = await connect({ callTimeout: CALL_TIMEOUT });
    const answers = await Promise.all(
      TOOLS.map(async ({ name }) => ({ name, ...(await call(name, args[name] ?? {})) })),
    );
    expect(answers.map(({ name }) => name)).toEqual(TOOLS.map(({ name }) => name));
    const textOf = (tool: string) => answers.find(({ name }) => name === tool)?.content[0]?.text;
    for (const name of ['sandbox_get', 'sandbox_read_file', 'sandbox_list', 'session_info'])
      expect(textOf(name)).toContain(`Error (timeout): No answer to ${name}`);
    // What may have been carried out continues.
    expect(textOf('sandbox_run_command')).toContain('within 0.3 s');
    expect(textOf('sandbox_run_command')).toContain('It continues');
  });
});
