import { request as httpRequest } from 'node:http';
import { describe, expect, it } from 'vitest';
import { SandboxError } from '../../../src/shared/errors.ts';
import { TOOLS } from '../../../tools/index.ts';
import { toolOf } from '../support/connected-server.ts';
import { connect, INITIALIZE, post, startHttp } from './support/http-server.ts';

const TOKEN = 'token-for-metrics-0123';
const failing = toolOf('failing', async () => {
  throw new SandboxError('conflict', 'It is busy.');
});

async function metricsOf(url: string): Promise<string> {
  const response = await fetch(`${url}/metrics`);
  expect(response.status).toBe(200);
  expect(response.headers.get('content-type')).toMatch(/^text\/plain/);
  return response.text();
}

describe('/metrics', () => {
  it('counts sessions, sandboxes, commands, calls, errors, responses and bytes', async () => {
    const server = await startHttp({ tools: [...TOOLS, failing] });
    const { client } = await connect(server);
    await client.callTool({ name: 'sandbox_create', arguments: {} });
    await client.callTool({ name: 'sandbox_run_command_detached', arguments: { cmd: 'sleep' } });
    await client.callTool({ name: 'failing', arguments: {} });
    await client.callTool({ name: 'sandbox_get', arguments: { sandbox_id: 7 } });
    await client.callTool({ name: 'invented', arguments: {} });
    await post(server, INITIALIZE, { origin: 'https://evil.example' });
    const text = await metricsOf(server.url);
    for (const line of [
      'sandbox_mcp_sessions 1',
      'sandbox_mcp_in_use{kind="sandboxes"} 1',
      'sandbox_mcp_in_use{kind="commands"} 1',
      'sandbox_mcp_in_use{kind="shells"} 0',
      'sandbox_mcp_calls_total{tool="sandbox_create",result="ok"} 1',
      'sandbox_mcp_calls_total{tool="failing",result="conflict"} 1',
      'sandbox_mcp_calls_total{tool="sandbox_get",result="invalid_argument"} 1',
      'sandbox_mcp_calls_total{tool="unknown",result="not_found"} 1',
      'sandbox_mcp_call_duration_seconds_count{tool="sandbox_create"} 1',
      'sandbox_mcp_http_responses_total{status="403"} 1',
    ])
      expect(text.split('\n')).toContain(line);
    expect(text).not.toContain('invented');
    const sent = (from: string) => Number(/^sandbox_mcp_sent_bytes_total (\d+)$/m.exec(from)?.[1]);
    expect(sent(text)).toBeGreaterThan(1_000);
    expect(sent(await metricsOf(server.url))).toBeGreaterThan(sent(text) + text.length);
  });

  it('are for this machine only, and not for what a proxy passes on', async () => {
    const server = await startHttp();
    for (const name of ['x-forwarded-for', 'forwarded', 'via', 'x-real-ip']) {
      const response = await fetch(`${server.url}/metrics`, { headers: { [name]: '127.0.0.1' } });
      expect(response.status).toBe(403);
    }
  });

  it('need the token, from everywhere, if there is one', async () => {
    const server = await startHttp({ env: { SANDBOX_MCP_METRICS_TOKEN: TOKEN } });
    const statusFor = async (headers: Record<string, string>) =>
      (await fetch(`${server.url}/metrics`, { headers })).status;
    expect(await statusFor({})).toBe(401);
    expect(await statusFor({ authorization: `Bearer ${TOKEN}x` })).toBe(401);
    expect(await statusFor({ authorization: `Basic ${TOKEN}` })).toBe(401);
    expect(await statusFor({ authorization: `Bearer ${TOKEN}`, 'x-forwarded-for': '192.0.2.1' })).toBe(200);
  });

  it('cannot be read by a page whose name was rebound to this machine', async () => {
    const server = await startHttp();
    const status = await new Promise((resolve, reject) => {
      const options = { headers: { host: 'evil.example' }, agent: false };
      httpRequest(`${server.url}/metrics`, options, (response) => {
        response.resume();
        resolve(response.statusCode);
      })
        .on('error', reject)
        .end();
    });
    expect(status).toBe(403);
  });
});
