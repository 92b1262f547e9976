#!/usr/bin/env bash
# Hugging Face's MCP client replaces a picture in a tool's answer by its size and a sentence of its own: the model reads "The task is complete and the
# content accessible to the User". It reads that also for a call that failed: `isError` is not passed on, so nothing but the server's text can say so. A
# screenshot taken in the middle of a job, for the model to look at, thus tells it to stop. A link to a resource is left out without a word, and an
# answer that holds nothing else is empty. So a server should write in its text that a call failed, what is still to do after a picture, and where a
# linked file is.
#
# Seen with: @huggingface/mcp-client 0.2.3; server by @modelcontextprotocol/sdk 1.32.2.
set -euo pipefail
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
cd "$folder"
npm init --yes >/dev/null
npm install --silent --no-audit --no-fund --ignore-scripts @huggingface/mcp-client@0.2.3 @modelcontextprotocol/sdk@1.32.2 2>/dev/null

cat >server.mjs <<'JS'
import { Server } from '@modelcontextprotocol/sdk/server/index.js';
import { StdioServerTransport } from '@modelcontextprotocol/sdk/server/stdio.js';
import { CallToolRequestSchema, ListToolsRequestSchema } from '@modelcontextprotocol/sdk/types.js';

// One transparent pixel.
const data =
  'iVBORw0KGgoAAAANSUhEUgAAAAEAAAABCAYAAAAfFcSJAAAADUlEQVR42mNk+M9QDwADhgGAWjR9awAAAABJRU5ErkJggg==';
const image = { type: 'image', data, mimeType: 'image/png' };
const answers = {
  screenshot: { content: [{ type: 'text', text: 'The screen:' }, image] },
  failed: { content: [{ type: 'text', text: 'The page did not load. The screen:' }, image], isError: true },
  linked: { content: [{ type: 'resource_link', uri: 'file:///screen.png', name: 'screen.png', mimeType: 'image/png' }] },
};
const server = new Server({ name: 'camera', version: '1.0.0' }, { capabilities: { tools: {} } });
server.setRequestHandler(ListToolsRequestSchema, () => ({
  tools: Object.keys(answers).map((name) => ({ name, inputSchema: { type: 'object', properties: {} } })),
}));
server.setRequestHandler(CallToolRequestSchema, ({ params }) => answers[params.name]);
await server.connect(new StdioServerTransport());
JS

cat >client.mjs <<'JS'
import { once } from 'node:events';
import { createServer } from 'node:http';
import { McpClient } from '@huggingface/mcp-client';

// A model that calls one tool.
let name;
const http = createServer((_request, response) => {
  const call = { index: 0, id: 'call', type: 'function', function: { name, arguments: '{}' } };
  const chunk = { choices: [{ index: 0, delta: { role: 'assistant', tool_calls: [call] } }] };
  response.setHeader('content-type', 'text/event-stream').end(`data: ${JSON.stringify(chunk)}\n\ndata: [DONE]\n\n`);
});
await once(http.listen(0, '127.0.0.1'), 'listening');

const endpointUrl = `http://127.0.0.1:${http.address().port}`;
const client = new McpClient({ endpointUrl, model: 'scripted', apiKey: 'none' });
await client.addMcpServer({ command: process.execPath, args: ['server.mjs'] });
for (name of ['screenshot', 'failed', 'linked']) {
  const messages = [{ role: 'user', content: 'go' }];
  for await (const _chunk of client.processSingleTurnWithTools(messages));
  console.log(`${name}: ${JSON.stringify(messages.at(-1).content)}`);
}
await client.cleanup();
process.exit();
JS

seen=$(timeout 120 node client.mjs)
echo "$seen"
expected='screenshot: "The screen:\n[Binary Content: Image image/png, 70 bytes]\nThe task is complete and the content accessible to the User"
failed: "The page did not load. The screen:\n[Binary Content: Image image/png, 70 bytes]\nThe task is complete and the content accessible to the User"
linked: ""'
[ "$seen" = "$expected" ] || { echo "changed; before it was: $expected" >&2; exit 1; }
