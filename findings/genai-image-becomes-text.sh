#!/usr/bin/env bash
# `mcpToTool` of Google's SDK copies a whole MCP result into `functionResponse.response`. An image block stays what it is in JSON, a base64 string
# beside `"type": "image"`: the model gets it as text that it cannot look at and that costs tokens by the byte, although the SDK has a place for
# pictures in an answer (`functionResponse.parts` with `inlineData`). A server that answers images should know that such a client turns a small
# screenshot into tens of thousands of tokens.
#
# Seen with: @google/genai 3.3.0; client and server by @modelcontextprotocol/sdk 1.32.2.
set -euo pipefail
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
cd "$folder"
npm init --yes >/dev/null
npm install --silent --no-audit --no-fund --ignore-scripts @google/genai@3.3.0 @modelcontextprotocol/sdk@1.32.2 2>/dev/null

cat >image.mjs <<'JS'
import { mcpToTool } from '@google/genai';
import { Client } from '@modelcontextprotocol/sdk/client/index.js';
import { InMemoryTransport } from '@modelcontextprotocol/sdk/inMemory.js';
import { Server } from '@modelcontextprotocol/sdk/server/index.js';
import { CallToolRequestSchema, ListToolsRequestSchema } from '@modelcontextprotocol/sdk/types.js';

// One transparent pixel.
const data =
  'iVBORw0KGgoAAAANSUhEUgAAAAEAAAABCAYAAAAfFcSJAAAADUlEQVR42mNk+M9QDwADhgGAWjR9awAAAABJRU5ErkJggg==';
const server = new Server({ name: 'camera', version: '1.0.0' }, { capabilities: { tools: {} } });
server.setRequestHandler(ListToolsRequestSchema, () => ({
  tools: [{ name: 'screenshot', description: 'A picture', inputSchema: { type: 'object', properties: {} } }],
}));
server.setRequestHandler(CallToolRequestSchema, () => ({
  content: [{ type: 'image', data, mimeType: 'image/png' }],
}));
const [one, other] = InMemoryTransport.createLinkedPair();
const client = new Client({ name: 'reader', version: '1.0.0' });
await Promise.all([server.connect(one), client.connect(other)]);
const callable = mcpToTool(client);
await callable.tool();
const [part] = await callable.callTool([{ name: 'screenshot', args: {} }]);
const { response, parts } = part.functionResponse;
console.log(`parts for pictures: ${JSON.stringify(parts ?? null)}`);
console.log(`in the JSON answer: ${response.content[0].type} with ${response.content[0].data.length} characters of base64`);
await client.close();
JS

seen=$(timeout 120 node image.mjs)
echo "$seen"
expected='parts for pictures: null
in the JSON answer: image with 96 characters of base64'
[ "$seen" = "$expected" ] || { echo "changed; before it was: $expected" >&2; exit 1; }
