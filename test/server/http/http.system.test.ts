/** The built server over HTTP, with real sandboxes, driven by the SDK's client. */
import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { mkdtemp, rm } from 'node:fs/promises';
import { request as httpRequest } from 'node:http';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { text as streamText } from 'node:stream/consumers';
import { Client } from '@modelcontextprotocol/sdk/client/index.js';
import { StreamableHTTPClientTransport } from '@modelcontextprotocol/sdk/client/streamableHttp.js';
import { expect, it, onTestFinished } from 'vitest';
import { z } from 'zod';
import { waitForCleanUps } from '../../support/leftovers.ts';
import { SERVER } from '../../support/server.ts';
import { CALL_TIMEOUT_MS, PATIENT } from '../../support/timeout-factor.ts';
import { startTraceCollector } from './support/trace-collector.ts';

const TOKENS = { ann: 'token-of-ann-0123456789', bob: 'token-of-bob-0123456789' };

async function startServer(variables: Record<string, string>) {
  const stateDir = await mkdtemp(join(tmpdir(), 's-'));
  const flags = ['--transport', 'http', '--port', '0', '--state-dir', stateDir, ...PATIENT];
  const tokens = Object.entries(TOKENS).map((entry) => entry.join(':'));
  const env = {
    PATH: process.env['PATH'] ?? '',
    TMPDIR: tmpdir(),
    SANDBOX_MCP_AUTH_TOKENS: tokens.join(','),
    ...variables,
  };
  const child = spawn(process.execPath, [SERVER, ...flags], { env, stdio: ['ignore', 'pipe', 'pipe'] });
  const exited = once(child, 'exit');
  let logged = '';
  const url = await new Promise<string>((resolve, reject) => {
    child.stderr.on('data', (chunk: Buffer) => {
      logged += chunk.toString('utf8');
      const found = /"url":"([^"]+)"/.exec(logged)?.[1];
      if (found !== undefined) resolve(found);
    });
    child.once('exit', () => reject(new Error(`the server did not start:\n${logged}`)));
  });
  onTestFinished(async () => {
    child.kill('SIGTERM');
    await exited;
    if (logged.includes('leaving them to recovery')) await waitForCleanUps(stateDir);
    await rm(stateDir, { recursive: true, force: true });
  });
  return { child, exited, url, logged: () => logged };
}

async function connect(url: string, token: string) {
  const client = new Client({ name: 'test', version: '1' });
  const requestInit = { headers: { authorization: `Bearer ${token}` } };
  await client.connect(new StreamableHTTPClientTransport(new URL(url), { requestInit }));
  onTestFinished(() => client.close());
  return async (name: string, args: Record<string, unknown> = {}, _meta: Record<string, unknown> = {}) => {
    const params = { name, arguments: args, _meta };
    const result = await client.callTool(params, undefined, { timeout: CALL_TIMEOUT_MS });
    const { content, structuredContent } = z
      .object({
        content: z.array(z.object({ text: z.string() })),
        structuredContent: z.record(z.string(), z.unknown()).default({}),
      })
      .parse(result);
    return { structured: structuredContent, text: content.map(({ text }) => text).join('\n') };
  };
}

/** Names below `localhost` are not resolved everywhere, so the connection is made to the server's address. */
async function visit(server: string, preview: URL): Promise<string> {
  const { port } = new URL(server);
  const request = httpRequest({
    host: '127.0.0.1',
    port,
    headers: { host: preview.host },
    agent: false,
  }).end();
  const [response] = await once(request, 'response');
  return streamText(response);
}

/** Of a client that traces its calls. */
const TRACE_PARENT = '00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01';

it('two principals work in sandboxes of their own, and SIGTERM answers and ends everything', async () => {
  const collector = await startTraceCollector();
  const { child, exited, url, logged } = await startServer({
    OTEL_EXPORTER_OTLP_ENDPOINT: collector.url,
    OTEL_RESOURCE_ATTRIBUTES: 'deployment.environment.name=test',
  });
  const [ann, bob] = await Promise.all([connect(url, TOKENS.ann), connect(url, TOKENS.bob)]);
  await Promise.all([ann('sandbox_create', { interactive: true, ports: [3000] }), bob('sandbox_create')]);
  await ann('sandbox_write_files', { files: [{ path: 'note', content: 'from ann' }] });
  const [read, missing] = await Promise.all([
    ann('sandbox_run_command', { cmd: 'cat', args: ['note'] }, { traceparent: TRACE_PARENT }),
    bob('sandbox_read_file', { path: 'note' }),
  ]);
  expect(read.text).toContain('from ann');
  expect(missing.structured).toMatchObject({ exists: false });
  const program = "require('http').createServer((q, s) => s.end('from ' + q.headers.host)).listen(3000)";
  await ann('sandbox_run_command_detached', { cmd: 'node', args: ['-e', program], wait_for: { port: 3000 } });
  const preview = new URL(String((await ann('sandbox_domain', { port: 3000 })).structured['url']));
  expect(await visit(url, preview)).toBe(`from ${preview.host}`);
  const { structured: shell } = await ann('sandbox_shell');
  const foreign = await bob('shell_send', { shell_id: shell['shell_id'], text: 'x' });
  expect(foreign.text).toContain('Error (not_found)');
  expect(foreign.text).not.toContain('running');
  expect((await ann('sandbox_upload_file', { local_path: 'f', remote_path: 'f' })).text).toContain(
    'does not allow access to any host folder',
  );

  const waiting = bob('sandbox_run_command', { cmd: 'sleep', args: ['1000'] });
  await expect.poll(async () => (await bob('session_info')).text).toContain('sleep');
  child.kill('SIGTERM');
  // The second signal ends the wait for running calls.
  child.kill('SIGINT');
  expect((await waiting).text).toMatch(/cancelled|session/i);
  expect(await exited).toEqual([0, null]);
  expect(logged()).not.toContain(TOKENS.ann);

  expect(collector.refused).toEqual([]);
  expect(collector.resources[0]).toMatchObject({
    'service.name': 'sandbox-mcp',
    'deployment.environment.name': 'test',
  });
  const spanOf = (tool: string) => collector.spans.find(({ name }) => name === `tools/call ${tool}`);
  expect(spanOf('sandbox_create')).toMatchObject({
    kind: 2,
    attributes: { 'gen_ai.tool.name': 'sandbox_create', 'sandbox_mcp.engine': 'oci' },
  });
  expect(spanOf('shell_send')).toMatchObject({
    attributes: { 'error.type': 'not_found' },
    status: { code: 2 },
  });
  const [, traceId, parentSpanId] = TRACE_PARENT.split('-');
  expect(collector.spans).toContainEqual(
    expect.objectContaining({ name: 'tools/call sandbox_run_command', traceId, parentSpanId }),
  );
  // Sent at the end, after the signal.
  expect(collector.spans.filter(({ name }) => name === 'tools/call sandbox_run_command')).toHaveLength(2);
  expect(JSON.stringify(collector.spans)).not.toMatch(/sbx_|from ann|note/);
});
