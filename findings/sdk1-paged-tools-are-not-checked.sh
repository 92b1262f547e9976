#!/usr/bin/env bash
# A client of SDK 1 checks `structuredContent` against the tool's output schema, as the protocol asks. It builds the checks from each answer to
# `tools/list` and throws the earlier ones away, also while it walks through the pages of one list. Of a list in three pages, only the tools of the
# last are checked; wrong data from the others passes without a word. LangChain's adapter, which reads every page, inherits that. So a server must not
# take the silence of such clients as proof that its answers fit its schemas, and an error that they raise may appear or vanish when a tool moves to
# another page.
#
# Seen with: @modelcontextprotocol/sdk 1.32.2, @langchain/mcp-adapters 1.1.4 with @langchain/core 1.4.0; not in @modelcontextprotocol/client 2.4.0.
set -euo pipefail
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
cd "$folder"
npm init --yes >/dev/null
npm install --silent --no-audit --no-fund --ignore-scripts @modelcontextprotocol/sdk@1.32.2 @modelcontextprotocol/client@2.4.0 \
  @langchain/mcp-adapters@1.1.4 @langchain/core@1.4.0 2>/dev/null

# Three tools, one a page, each of which promises a number and answers text.
cat >server.mjs <<'JS'
import { Server } from '@modelcontextprotocol/sdk/server/index.js';
import { StdioServerTransport } from '@modelcontextprotocol/sdk/server/stdio.js';
import { CallToolRequestSchema, ListToolsRequestSchema } from '@modelcontextprotocol/sdk/types.js';

const outputSchema = { type: 'object', properties: { exit_code: { type: 'number' } }, required: ['exit_code'] };
const tools = ['first', 'second', 'third'].map((name) => ({ name, inputSchema: { type: 'object' }, outputSchema }));
const server = new Server({ name: 'pages', version: '1.0.0' }, { capabilities: { tools: {} } });
server.setRequestHandler(ListToolsRequestSchema, ({ params }) => {
  const page = Number(params?.cursor ?? 0);
  return { tools: [tools[page]], ...(page + 1 < tools.length && { nextCursor: String(page + 1) }) };
});
server.setRequestHandler(CallToolRequestSchema, () => ({
  content: [{ type: 'text', text: 'exit code zero' }],
  structuredContent: { exit_code: 'zero' },
}));
await server.connect(new StdioServerTransport());
JS

cat >clients.mjs <<'JS'
import { MultiServerMCPClient } from '@langchain/mcp-adapters';
import { Client as Client2 } from '@modelcontextprotocol/client';
import { StdioClientTransport as Transport2 } from '@modelcontextprotocol/client/stdio';
import { Client as Client1 } from '@modelcontextprotocol/sdk/client/index.js';
import { StdioClientTransport as Transport1 } from '@modelcontextprotocol/sdk/client/stdio.js';

const command = { command: process.execPath, args: ['server.mjs'] };
const verdict = (call) => call.then(() => 'passes', (error) => (/schema/.test(error.message) ? 'refused' : error.message));

for (const [title, Client, Transport] of [
  ['client 1', Client1, Transport1],
  ['client 2', Client2, Transport2],
]) {
  const client = new Client({ name: 'reader', version: '1.0.0' });
  await client.connect(new Transport(command));
  let cursor;
  do {
    const page = await client.listTools(cursor === undefined ? undefined : { cursor });
    cursor = page.nextCursor;
  } while (cursor !== undefined);
  const verdicts = [];
  for (const name of ['first', 'second', 'third']) verdicts.push(`${name} ${await verdict(client.callTool({ name }))}`);
  console.log(`${title}: ${verdicts.join(', ')}`);
  await client.close();
}

const langchain = new MultiServerMCPClient({ mcpServers: { pages: { transport: 'stdio', ...command } } });
const verdicts = [];
for (const tool of await langchain.getTools()) {
  const call = tool.invoke({ type: 'tool_call', id: 'call', name: tool.name, args: {} });
  verdicts.push(`${tool.name} ${await verdict(call)}`);
}
console.log(`LangChain: ${verdicts.join(', ')}`);
await langchain.close();
JS

seen=$(timeout 120 node clients.mjs 2>/dev/null)
echo "$seen"
expected='client 1: first passes, second passes, third refused
client 2: first refused, second refused, third refused
LangChain: first passes, second passes, third refused'
[ "$seen" = "$expected" ] || { echo "changed; before it was: $expected" >&2; exit 1; }
