#!/usr/bin/env bash
# The Vercel AI SDK's client asks a server for revision 2026-07-28 with `server/discover` and falls back to 2025-11-25 when that fails. Over stdio a
# second without an answer counts as failure, from the moment the process is started. So how long a server takes to start decides the revision: one
# that npx has to fetch first, or that starts on a busy machine, is spoken to in the older one, and in the newer one the next time. Over HTTP the client
# waits, and a server as slow gets the newer revision. A server built on SDK 2 still answers the request that nobody waits for: it makes its server
# object for the newer revision, throws it away and makes another. So a server should do nothing with lasting effect while it makes such an object, and
# has to offer the same in both revisions, since the same user will meet both.
#
# Seen with: @ai-sdk/mcp 2.0.99; server by @modelcontextprotocol/server 2.4.0 and @modelcontextprotocol/node 2.1.2.
set -euo pipefail
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
cd "$folder"
npm init --yes >/dev/null
npm install --silent --no-audit --no-fund --ignore-scripts @ai-sdk/mcp@2.0.99 @modelcontextprotocol/server@2.4.0 \
  @modelcontextprotocol/node@2.1.2 zod@4.6.7 2>/dev/null

# A server whose tool says which server objects have been made so far. It starts to read after the given time.
cat >server.mjs <<'JS'
import { createServer } from 'node:http';
import { toNodeHandler } from '@modelcontextprotocol/node';
import { createMcpHandler, McpServer } from '@modelcontextprotocol/server';
import { serveStdio } from '@modelcontextprotocol/server/stdio';

const made = [];
function server({ era }) {
  made.push(era);
  const mcp = new McpServer({ name: 'slow', version: '1.0.0' });
  mcp.registerTool('made', { description: 'Server objects' }, () => ({
    content: [{ type: 'text', text: [...new Set(made)].join(', then ') }],
  }));
  return mcp;
}

const [kind, delay] = process.argv.slice(2);
if (kind === 'stdio') {
  setTimeout(() => serveStdio(server), Number(delay));
} else {
  const handler = toNodeHandler(createMcpHandler(server));
  const http = createServer((request, response) => setTimeout(() => handler(request, response), Number(delay)));
  http.listen(0, '127.0.0.1', () => console.log(http.address().port));
}
JS

# A server without any library, which starts as fast as Node does.
cat >quick.mjs <<'JS'
import { createInterface } from 'node:readline';

const made = [];
const answers = {
  'server/discover': () => ({ supportedVersions: ['2026-07-28'], capabilities: { tools: {} }, ttlMs: 0, cacheScope: 'private' }),
  initialize: () => ({
    protocolVersion: '2025-11-25',
    capabilities: { tools: {} },
    serverInfo: { name: 'quick', version: '1.0.0' },
  }),
  'tools/list': () => ({ tools: [{ name: 'made', inputSchema: { type: 'object' } }], ttlMs: 0, cacheScope: 'private' }),
  'tools/call': () => ({ content: [{ type: 'text', text: made.join(', then ') }] }),
};
for await (const line of createInterface({ input: process.stdin })) {
  const { id, method } = JSON.parse(line);
  if (method === 'server/discover') made.push('modern');
  if (method === 'initialize') made.push('legacy');
  const result = answers[method]?.();
  if (result) console.log(JSON.stringify({ jsonrpc: '2.0', id, result: { resultType: 'complete', ...result } }));
}
JS

cat >client.mjs <<'JS'
import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { createMCPClient } from '@ai-sdk/mcp';
import { Experimental_StdioMCPTransport } from '@ai-sdk/mcp/mcp-stdio';

async function made(transport) {
  const client = await createMCPClient({ transport });
  const tools = await client.tools();
  const { content } = await tools.made.execute({}, { toolCallId: 'call', messages: [] });
  await client.close();
  return content[0].text;
}

const stdio = (...args) => made(new Experimental_StdioMCPTransport({ command: process.execPath, args }));
console.log(`stdio, starts within three seconds: ${await stdio('server.mjs', 'stdio', '3000')}`);

// On a busy machine even this one may need more than a second.
let quick = '';
for (let attempt = 0; attempt < 20 && quick !== 'modern'; attempt += 1) quick = await stdio('quick.mjs');
console.log(`stdio, starts at once: ${quick}`);

const child = spawn(process.execPath, ['server.mjs', 'http', '3000'], { stdio: ['ignore', 'pipe', 'inherit'] });
const [port] = await once(child.stdout, 'data');
console.log(`HTTP, answers after three seconds: ${await made({ type: 'http', url: `http://127.0.0.1:${Number(port)}/mcp` })}`);
child.kill();
process.exit();
JS

seen=$(timeout 180 node client.mjs)
echo "$seen"
expected='stdio, starts within three seconds: modern, then legacy
stdio, starts at once: modern
HTTP, answers after three seconds: modern'
[ "$seen" = "$expected" ] || { echo "changed; before it was: $expected" >&2; exit 1; }
