#!/usr/bin/env bash
# `createMcpHandler` of SDK 2 serves clients of both protocol revisions at one URL, the older ones without sessions. For a client of 2025-11-25 that
# turns cancellation upside down. Its `notifications/cancelled` is answered 202 and reaches a fresh server object that knows of no call, so the tool
# runs on to its end, although user or time-out has ended the call; a connection that merely breaks stops the tool, although that revision says a
# broken connection is no cancellation. With sessions, the same tool and the same client behave the other way round. A client of 2026-07-28 stops the
# tool in both cases. So a server that runs commands needs its own limit for each command when it moves to this handler, and must expect that a proxy
# which cuts an idle connection ends the command.
#
# Seen with: @modelcontextprotocol/server 2.4.0, @modelcontextprotocol/node 2.1.2; clients @modelcontextprotocol/sdk 1.32.2 and
# @modelcontextprotocol/client 2.4.0.
set -euo pipefail
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
cd "$folder"
npm init --yes >/dev/null
npm install --silent --no-audit --no-fund --ignore-scripts @modelcontextprotocol/server@2.4.0 @modelcontextprotocol/node@2.1.2 \
  @modelcontextprotocol/sdk@1.32.2 @modelcontextprotocol/client@2.4.0 2>/dev/null

cat >run.mjs <<'JS'
import { randomUUID } from 'node:crypto';
import { EventEmitter, once } from 'node:events';
import { createServer } from 'node:http';
import { Client as Client2, StreamableHTTPClientTransport as Transport2 } from '@modelcontextprotocol/client';
import { NodeStreamableHTTPServerTransport, toNodeHandler } from '@modelcontextprotocol/node';
import { Client as Client1 } from '@modelcontextprotocol/sdk/client/index.js';
import { StreamableHTTPClientTransport as Transport1 } from '@modelcontextprotocol/sdk/client/streamableHttp.js';
import { createMcpHandler, McpServer } from '@modelcontextprotocol/server';

// One tool, which says when it has started and whether it was told to stop within three seconds.
const tool = new EventEmitter();
function server() {
  const mcp = new McpServer({ name: 'commands', version: '1.0.0' });
  mcp.registerTool('run', { description: 'Run a long command' }, async ({ mcpReq: { signal } }) => {
    tool.emit('started');
    const late = new Promise((resolve) => setTimeout(resolve, 3000, 'runs on'));
    tool.emit('outcome', await Promise.race([once(signal, 'abort').then(() => 'stops'), late]));
    return { content: [] };
  });
  return mcp;
}

const handler = toNodeHandler(createMcpHandler(server));
const sessions = new Map();
async function withSessions(request, response) {
  let transport = sessions.get(request.headers['mcp-session-id']);
  if (transport === undefined) {
    transport = new NodeStreamableHTTPServerTransport({
      sessionIdGenerator: randomUUID,
      onsessioninitialized: (id) => sessions.set(id, transport),
    });
    await server().connect(transport);
  }
  await transport.handleRequest(request, response);
}
const http = createServer((request, response) =>
  request.url === '/sessions' ? withSessions(request, response) : handler(request, response),
);
await once(http.listen(0, '127.0.0.1'), 'listening');

async function outcome(path, Client, Transport, mode, end) {
  const connection = new AbortController();
  const cutting = (url, init) => {
    const isCall = typeof init?.body === 'string' && init.body.includes('tools/call');
    return fetch(url, isCall ? { ...init, signal: AbortSignal.any([init.signal, connection.signal]) } : init);
  };
  const client = new Client({ name: 'reader', version: '1.0.0' }, { versionNegotiation: { mode } });
  await client.connect(new Transport(new URL(path, `http://127.0.0.1:${http.address().port}`), { fetch: cutting }));
  const cancel = new AbortController();
  const started = once(tool, 'started');
  const ended = once(tool, 'outcome');
  const options = { signal: cancel.signal };
  const call = { name: 'run', arguments: {} };
  (Client === Client1 ? client.callTool(call, undefined, options) : client.callTool(call, options)).catch(() => {});
  await started;
  (end === 'cancelled' ? cancel : connection).abort();
  const [how] = await ended;
  await client.close();
  return how;
}

const cases = [
  ['sessions, client 1 (2025-11-25)', '/sessions', Client1, Transport1, 'legacy'],
  ['createMcpHandler, client 1 (2025-11-25)', '/mcp', Client1, Transport1, 'legacy'],
  ['createMcpHandler, client 2 (2025-11-25)', '/mcp', Client2, Transport2, 'legacy'],
  ['createMcpHandler, client 2 (2026-07-28)', '/mcp', Client2, Transport2, 'auto'],
];
for (const [title, ...rest] of cases) {
  const cancelled = await outcome(...rest, 'cancelled');
  const broken = await outcome(...rest, 'broken');
  console.log(`${title}: call cancelled: tool ${cancelled}; connection broken: tool ${broken}`);
}
process.exit();
JS

seen=$(timeout 180 node run.mjs)
echo "$seen"
expected='sessions, client 1 (2025-11-25): call cancelled: tool stops; connection broken: tool runs on
createMcpHandler, client 1 (2025-11-25): call cancelled: tool runs on; connection broken: tool stops
createMcpHandler, client 2 (2025-11-25): call cancelled: tool runs on; connection broken: tool stops
createMcpHandler, client 2 (2026-07-28): call cancelled: tool stops; connection broken: tool stops'
[ "$seen" = "$expected" ] || { echo "changed; before it was: $expected" >&2; exit 1; }
