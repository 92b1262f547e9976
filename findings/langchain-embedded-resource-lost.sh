#!/usr/bin/env bash
# The LangChain adapter moves an embedded resource of a tool result (`type: "resource"` with its text) out of the message: the model is given an
# empty content list and no word that something is missing, and the text lies in `artifact`, which is for programs. A `resource_link` of the
# same result stays, but as a `file` block with a `file:` address, as if the model's provider could fetch it. A server that answers text to be read has to
# answer it as a text block.
#
# Seen with: @langchain/mcp-adapters 1.1.4; server by @modelcontextprotocol/sdk 1.32.2.
set -euo pipefail
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
cd "$folder"
npm init --yes >/dev/null
npm install --silent --no-audit --no-fund --ignore-scripts \
  @langchain/mcp-adapters@1.1.4 @langchain/core@1 @modelcontextprotocol/sdk@1.32.2 2>/dev/null

cat >server.mjs <<'JS'
import { Server } from '@modelcontextprotocol/sdk/server/index.js';
import { StdioServerTransport } from '@modelcontextprotocol/sdk/server/stdio.js';
import { CallToolRequestSchema, ListToolsRequestSchema } from '@modelcontextprotocol/sdk/types.js';

const answers = {
  embedded: { type: 'resource', resource: { uri: 'file:///a.txt', mimeType: 'text/plain', text: 'the answer' } },
  linked: { type: 'resource_link', uri: 'file:///a.txt', name: 'a.txt', mimeType: 'text/plain' },
};
const server = new Server({ name: 'resources', version: '1.0.0' }, { capabilities: { tools: {} } });
server.setRequestHandler(ListToolsRequestSchema, () => ({
  tools: Object.keys(answers).map((name) => ({ name, inputSchema: { type: 'object', properties: {} } })),
}));
server.setRequestHandler(CallToolRequestSchema, ({ params }) => ({ content: [answers[params.name]] }));
await server.connect(new StdioServerTransport());
JS

cat >langchain.mjs <<'JS'
import { MultiServerMCPClient } from '@langchain/mcp-adapters';

const client = new MultiServerMCPClient({
  mcpServers: { resources: { transport: 'stdio', command: process.execPath, args: ['server.mjs'] } },
});
for (const tool of await client.getTools()) {
  const message = await tool.invoke({ type: 'tool_call', id: 'call', name: tool.name, args: {} });
  console.log(`${tool.name}: content ${JSON.stringify(message.content)} artifact ${JSON.stringify(message.artifact)}`);
}
await client.close();
JS

seen=$(timeout 120 node langchain.mjs 2>/dev/null)
echo "$seen"
expected='embedded: content [] artifact [{"type":"resource","resource":{"uri":"file:///a.txt","mimeType":"text/plain","text":"the answer"}}]
linked: content [{"type":"file","source_type":"url","url":"file:///a.txt","mime_type":"text/plain"}] artifact []'
[ "$seen" = "$expected" ] || { echo "changed; before it was: $expected" >&2; exit 1; }
