#!/usr/bin/env bash
# In Mastra's MCP client an output schema costs a tool its images. A tool with a schema gets a `toModelOutput` that keeps the text blocks of an
# answer's `content` and drops all others without a word: the model reads "The screen:" and gets no screen. The same blocks from a tool without a
# schema are handed on whole. So a server that adds an output schema to a screenshot tool, which the protocol calls optional, makes its pictures
# vanish in this client.
#
# Seen with: @mastra/mcp 2.0.0, @mastra/core 1.71.0; server by @modelcontextprotocol/sdk 1.32.2; Node 24.22.3, since Mastra needs 22 or newer.
set -euo pipefail
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
cd "$folder"
npm init --yes >/dev/null
npm install --silent --no-audit --no-fund --ignore-scripts @mastra/mcp@2.0.0 @mastra/core@1.71.0 @modelcontextprotocol/sdk@1.32.2 2>/dev/null
node=node
if [ "$(node -p 'process.versions.node.split(".")[0] >= 22')" != true ]; then
  npm install --silent --no-audit --no-fund --ignore-scripts "node-linux-$(node -p process.arch)@24.22.3" 2>/dev/null
  node=$(echo "$folder"/node_modules/node-linux-*/bin/node)
fi

cat >server.mjs <<'JS'
import { Server } from '@modelcontextprotocol/sdk/server/index.js';
import { StdioServerTransport } from '@modelcontextprotocol/sdk/server/stdio.js';
import { CallToolRequestSchema, ListToolsRequestSchema } from '@modelcontextprotocol/sdk/types.js';

// One transparent pixel.
const data =
  'iVBORw0KGgoAAAANSUhEUgAAAAEAAAABCAYAAAAfFcSJAAAADUlEQVR42mNk+M9QDwADhgGAWjR9awAAAABJRU5ErkJggg==';
const content = [
  { type: 'text', text: 'The screen:' },
  { type: 'image', data, mimeType: 'image/png' },
];
const inputSchema = { type: 'object', properties: {} };
const outputSchema = { type: 'object', properties: { width: { type: 'number' } }, required: ['width'] };
const server = new Server({ name: 'camera', version: '1.0.0' }, { capabilities: { tools: {} } });
server.setRequestHandler(ListToolsRequestSchema, () => ({
  tools: [
    { name: 'plain', description: 'A picture', inputSchema },
    { name: 'described', description: 'A picture', inputSchema, outputSchema },
  ],
}));
server.setRequestHandler(CallToolRequestSchema, ({ params }) =>
  params.name === 'plain' ? { content } : { content, structuredContent: { width: 1 } },
);
await server.connect(new StdioServerTransport());
JS

cat >client.mjs <<'JS'
import { MCPClient } from '@mastra/mcp';

const client = new MCPClient({ servers: { camera: { command: process.execPath, args: ['server.mjs'] } } });
const tools = await client.listTools();
for (const name of ['camera_plain', 'camera_described']) {
  const tool = tools[name];
  const output = await tool.execute({}, {});
  const shown = JSON.stringify(tool.toModelOutput === undefined ? output : tool.toModelOutput(output));
  const image = shown.includes('image/png') ? 'with its image' : 'without the image';
  console.log(`${name}: ${image}${tool.toModelOutput === undefined ? '' : `: ${shown}`}`);
}
await client.disconnect();
process.exit();
JS

seen=$(timeout 120 "$node" client.mjs 2>/dev/null)
echo "$seen"
expected='camera_plain: with its image
camera_described: without the image: {"type":"text","value":"The screen:"}'
[ "$seen" = "$expected" ] || { echo "changed; before it was: $expected" >&2; exit 1; }
